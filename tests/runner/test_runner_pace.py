"""The pace that both runners take between iterations: enough of it, and each in its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny_tflite
from both_runners import Runner

from edgekit.core.hashing import sha256_file
from edgekit.measure import pace
from edgekit.runner.answer import read_trial
from edgekit.runner.protocol import Trial

CORES = sorted(os.sched_getaffinity(0))

Job = Callable[..., dict[str, Any]]


@pytest.fixture
def trial_of(tmp_path: Path, job: Job, runner: Runner) -> Callable[..., Trial]:
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense())

    def measured(**changes: Any) -> Trial:
        request = job(model, [[numpy.ones((1, 8), "float32")]], **{"mode": "latency", "cpus": CORES[:1], **changes})
        done = runner(request)
        assert done.status == 0, done.stderr
        return read_trial(done.answer, board="here", mode=request["mode"], model_sha256=sha256_file(model))

    return measured


def test_the_pace_is_taken_before_between_and_after_the_iterations(trial_of: Callable[..., Trial]) -> None:
    trial = trial_of(min_s=0.4)
    assert (trial.pace_at[0], trial.pace_at[-1]) == (0, len(trial.latency_ns))
    assert all(one < other for one, other in pairwise(trial.pace_at))
    assert len(trial.pace_at) == len(trial.pace_ns) >= 3  # every 50 ms, on a busy machine less often
    assert len(trial.pace_ns) <= 0.4 / 0.05 * 2 + 3
    assert min(trial.pace_ns) > 0
    assert max(trial.pace_ns) < 1e9


def test_a_loop_of_one_iteration_has_a_pace_on_both_sides_of_it(trial_of: Callable[..., Trial]) -> None:
    trial = trial_of(min_s=0.0, min_runs=1, max_s=0.0)
    assert (trial.pace_at, len(trial.latency_ns)) == ((0, 1), 1)
    assert pace.calm_iterations(trial, max(trial.pace_ns)) == list(trial.latency_ns)


def test_other_modes_have_none(trial_of: Callable[..., Trial]) -> None:
    assert trial_of(mode="memory").pace_ns == ()
