"""The models and the one process with TensorFlow that the tests of this room share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from model_making import made

from edgekit.core.child import Child


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.getbasetemp(), "keras")


@pytest.fixture(scope="session")
def tflites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.getbasetemp(), "tflite")


@pytest.fixture(scope="session")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    log = tmp_path_factory.mktemp("child") / "log.txt"
    here = str(Path(__file__).parent)
    with Child(log=log, purpose="test", preload=("tensorflow",), environment={"PYTHONPATH": here}) as process:
        yield process
