"""This machine's own LiteRT library, and short jobs for the payload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from both_runners import Played, Runner

from edgekit.core.hashing import sha256_file
from edgekit.runner.native import sources_folder
from edgekit.runner.native_build import compile_runner
from edgekit.runner.runtimes import fetch_library


@pytest.fixture(scope="session")
def library() -> str:
    """This machine's own LiteRT library."""
    from importlib.metadata import version
    from platform import machine

    return str(fetch_library(version("ai-edge-litert"), machine()).path)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The native runner of this machine, as it is shipped."""
    from platform import machine

    path = tmp_path_factory.mktemp("native") / "runner"
    compile_runner(sources_folder(), machine(), "glibc", path)
    return path


@pytest.fixture(params=["payload", "native"])
def runner(request: pytest.FixtureRequest, program: Path) -> Runner:
    """Each of the two runners in turn."""
    return Runner(request.param, program)


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    """Makes programs that a runner finds before the system's own."""
    return Played(tmp_path / "bin", lambda path: monkeypatch.setenv("PATH", path))


@pytest.fixture
def job(tmp_path: Path, library: str) -> Callable[..., dict[str, Any]]:
    """Makes a short job for a model and the samples given as arrays."""

    def make(model: Path, samples: list[list[numpy.ndarray]], **changes: Any) -> dict[str, Any]:
        paths = []
        for number, sample in enumerate(samples):
            paths.append([str(tmp_path / f"sample-{number}-{index}.raw") for index in range(len(sample))])
            for path, array in zip(paths[-1], sample):
                array.tofile(path)
        request = {
            "mode": "smoke",
            "model": str(model),
            "model_sha256": sha256_file(model),
            "library": library,
            "module": None,
            "num_threads": 1,
            "samples": paths,
            "warmup_runs": 1,
            "warmup_s": 0.01,
            "warmup_max_s": 0.05,
            "min_runs": 20,
            "min_s": 0.05,
            "max_s": 5.0,
            "cpus": [],
            "library_version": "",
            "time_limit_s": 30,
        }
        return {**request, **changes}

    return make
