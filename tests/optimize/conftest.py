"""One process with TensorFlow and one set of small models for all tests of optimize, and what their runs share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny_tflite
from digits_runs import DIGITS, ROWS
from optimize_models import write_data
from optimize_workshop import Workshop

import edgekit
from edgekit.core.artifact import Artifact
from edgekit.core.child import Child
from edgekit.optimize.recipe import Recipe

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


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EDGEKIT_HOME of a whole file of tests, with ``one_home``."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def one_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for the whole file: a conversion takes seconds."""
    monkeypatch.setenv("EDGEKIT_HOME", str(home))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Artifact]:
    """Optimizes the digits classifier; options as of :func:`edgekit.optimize`."""

    def run(recipe: Recipe | str = "int8", **options: Any) -> Artifact:
        given = {"model": DIGITS, "data": str(ROWS), "output": tmp_path / "out.tflite", **options}
        return edgekit.optimize(recipe=recipe, **given)

    return run


@pytest.fixture
def no_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Puts a package before TensorFlow that cannot be used; whether anybody tried to."""
    package, notes = tmp_path / "shadow" / "tensorflow", tmp_path / "imported"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        f"import pathlib\npathlib.Path({str(notes)!r}).touch()\nraise ImportError('not in this test')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return lambda: not notes.exists()


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, Any]:
    """A float .tflite with an open batch, and rows for it."""
    numpy.save(tmp_path / "rows.npy", numpy.random.default_rng(8).normal(size=(150, 8)).astype("float32"))
    return {
        "model": tiny_tflite.write(tmp_path, tiny_tflite.dense(dynamic=True)),
        "data": str(tmp_path / "rows.npy"),
        "output": tmp_path / "out.tflite",
    }
