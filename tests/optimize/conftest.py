"""One process with TensorFlow and one set of small models for all tests of optimize."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from optimize_models import write_data
from optimize_workshop import Workshop

from edgekit.core.child import Child

_open: list[Workshop] = []


@pytest.fixture(scope="module", autouse=True)
def no_layers_of_others() -> Iterator[None]:
    """The one process outlives a file of tests; what those have registered must not reach the next file's."""
    yield
    for shop in _open:
        shop.reference("forget_custom")


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("optimize")
    write_data(folder)
    with Child(log=folder / "log.txt", purpose="conversion", preload=("tensorflow",)) as child:
        shop = Workshop(child=child, folder=folder)
        shop.reference("make", folder=str(folder))
        _open.append(shop)
        yield shop
        _open.remove(shop)
