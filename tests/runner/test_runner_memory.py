"""Memory by both runners: the same figures from both, whatever the page cache has been through."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny_tflite
from both_runners import Runner

from edgekit.core.hashing import sha256_file
from edgekit.measure.memory import memory_of
from edgekit.runner.answer import read_trial
from edgekit.runner.protocol import Trial

COLUMNS = 1_000_000  # weights of 16 MB, an input of 4 MB
# one piece of 64 kB that the kernel maps at a time of each of C library, maths library, runtime and model
PIECES = 4 << 16


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tflite.write(tmp_path_factory.mktemp("model"), tiny_tflite.dense(columns=COLUMNS))


@pytest.fixture
def memory_job(model: Path, job: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    sample = [numpy.ones((1, COLUMNS), "float32")]
    return lambda **changes: job(model, [sample], mode="memory", min_runs=3, min_s=0, **changes)


def followed(runner: Runner, request: dict[str, Any]) -> Trial:
    done = runner(request)
    assert done.status == 0, done.stderr
    sha256 = sha256_file(Path(request["model"]))
    return read_trial(done.answer, board="here", mode="memory", model_sha256=sha256)


def test_both_runners_find_the_same_share_of_the_model(program, memory_job):
    found = {}
    for name in ("payload", "native"):
        memory = memory_of([followed(Runner(name, program), memory_job()) for _ in range(3)])
        assert memory.missing == {}
        assert memory.model_bytes > 16_000_000
        assert memory.uss_bytes <= memory.pss_bytes <= memory.peak_rss_bytes
        assert [phase.phase for phase in memory.phases][-1] == "steady"
        found[name] = memory
    assert abs(found["payload"].model_bytes - found["native"].model_bytes) <= PIECES
    assert abs(found["payload"].model_anon_bytes - found["native"].model_anon_bytes) <= PIECES


def test_the_figures_do_not_depend_on_how_the_files_came_into_memory(runner, memory_job, library, tmp_path):
    copy = tmp_path / "libLiteRt.so"
    shutil.copy(library, copy)
    shares = []
    for read_whole in (False, True, False):
        descriptor = os.open(copy, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        while read_whole and os.read(descriptor, 16384):
            pass  # in order, so that the kernel reads ahead in ever larger pieces
        os.close(descriptor)
        memory = memory_of([followed(runner, memory_job(library=str(copy)))])
        shares.append(memory.model_file_bytes)
    assert max(shares) - min(shares) <= PIECES
