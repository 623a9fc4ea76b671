"""Cold starts as figures, and the loop that collects them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from synthetic_trials import JOB, make_samples, make_trial

from edgekit.core.errors import DeviceError, RuntimeMissingError
from edgekit.measure.cold import collect_cold, start_of
from edgekit.measure.measurement import MeasuredModel, measurement_from
from edgekit.measure.plan import QUICK, STANDARD, make_plan
from edgekit.runner.protocol import Cold, Job, Trial

GONE = Cold(
    dropped="yes", reason="", files=2, bytes=9_000_000, left_bytes=0, everything=False, major_faults=9, read_bytes=9
)


def cold_trial(init_ns: int = 30_000_000, cold: Cold = GONE) -> Trial:
    return replace(make_trial(), mode="cold", latency_ns=(), init_ns=init_ns, cold=cold)


def test_the_cold_start_is_that_of_cold_processes_and_the_warm_one_of_timed_ones() -> None:
    start = start_of([cold_trial(), cold_trial(31_000_000), cold_trial(29_000_000)], [make_trial()])
    assert (start.cold_ns, start.warm_ns) == (37_500_000, 10_500_000)
    assert start.cold_ci95_ns == (36_500_000, 38_500_000)
    assert (start.cache, start.note, start.processes) == ("dropped", "", 3)


def test_without_cold_processes_the_figure_is_called_warm() -> None:
    start = start_of([], [make_trial()])
    assert (start.cold_ns, start.warm_ns, start.cache) == (10_500_000, 10_500_000, "warm")
    assert start.note == "no process started cold"


def test_the_least_that_any_process_achieved_is_what_is_said() -> None:
    kept = replace(GONE, dropped="no", reason="a file system in memory")
    some = replace(GONE, dropped="partly", reason="another process may use it")
    assert start_of([cold_trial(cold=some), cold_trial()], []).cache == "partly"
    found = start_of([cold_trial(), cold_trial(cold=kept), cold_trial(cold=some)], [])
    assert (found.cache, found.note) == ("kept", "a file system in memory")


def test_a_measurement_has_both_with_what_became_of_the_page_cache() -> None:
    samples = replace(make_samples(), cold=(cold_trial(), cold_trial()))
    latency = measurement_from(samples, device="pi4", model=MeasuredModel(name="m", sha256="0" * 64)).latency
    assert (latency.cold_start_ns, latency.warm_start_ns) == (37_500_000, 10_500_000)
    assert latency.cold_start_cache == "dropped"


def test_every_plan_starts_cold_and_a_job_of_that_mode_keeps_its_kernels() -> None:
    assert STANDARD.cold_processes > QUICK.cold_processes > 0
    job = make_plan("standard").job(replace(JOB, kernels="builtin"), "cold")
    assert (job.mode, job.kernels) == ("cold", "builtin")


def test_models_take_turns_and_one_that_fails_stops_no_other() -> None:
    order: list[str] = []

    def runs(name: str, error: Exception | None = None):
        def run(job: Job, _: float) -> Trial:
            order.append(name)
            if error:
                raise error
            return cold_trial()

        return run, JOB

    plan = replace(QUICK, cold_processes=2, retries=1)
    found = collect_cold({"a": runs("a"), "lost": runs("lost", RuntimeMissingError("gone")), "b": runs("b")}, plan=plan)
    assert order == ["a", "lost", "b", "a", "b"]
    assert {key: len(trials) for key, trials in found.trials.items()} == {"a": 2, "b": 2}
    assert found.problems["lost"].message == "gone"


def test_a_crash_may_be_bad_luck_and_is_tried_again() -> None:
    answers: list[Trial | DeviceError] = [cold_trial(), DeviceError("it crashed")]

    def run(job: Job, _: float) -> Trial:
        answer = answers.pop()
        if isinstance(answer, DeviceError):
            raise answer
        return answer

    found = collect_cold({"a": (run, JOB)}, plan=replace(QUICK, retries=1))
    assert len(found.trials["a"]) == 1
    assert not found.problems


def test_a_plan_without_cold_processes_runs_none() -> None:
    def run(job: Job, _: float) -> Trial:
        pytest.fail("nothing was to run")

    assert not collect_cold({"a": (run, JOB)}, plan=replace(QUICK, cold_processes=0)).trials
