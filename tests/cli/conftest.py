"""The real command, run as a user runs it; and one cache in which TensorFlow's work on the example is done once."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from cli_run import Edgekit, copied_example, with_steps


@pytest.fixture
def edgekit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edgekit:
    """``edgekit("audit", "model.tflite")`` in an empty folder, with a home of its own."""
    kept = {"EDGEKIT_HOME", "EDGEKIT_LOCK_DIR", "EDGEKIT_SSH_CONFIG"}
    for name in [name for name in os.environ if name.startswith("EDGEKIT_") and name not in kept]:
        monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "work"
    folder.mkdir()
    return Edgekit(folder=folder)


@pytest.fixture(scope="session")
def steps_of_the_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every step of ``prune-int8`` for the shipped example; made once, by whoever comes first."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    home = base / "example-home"
    with (base / "example-home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "done").exists():
            folder = copied_example(base / "example-first")
            made = Edgekit(folder=folder, home=home)("optimize")
            assert made.status == 0, made.err
            (home / "done").touch()
    return home / "cache" / "steps"


@pytest.fixture
def example(edgekit: Edgekit, steps_of_the_example: Path) -> Path:
    """A copy of ``examples/digits`` as the command's working folder; its steps are in the cache already."""
    with_steps(Path(os.environ["EDGEKIT_HOME"]), steps_of_the_example)
    edgekit.folder = copied_example(edgekit.folder / "digits")
    return edgekit.folder
