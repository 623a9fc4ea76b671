"""Every reason of a verdict has a test that triggers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from synthetic_trials import BLIND, CALM, make_samples, make_trial

from edgekit.measure.conditions import BoardLimits
from edgekit.measure.plan import make_plan
from edgekit.measure.samples import Repeated, Samples
from edgekit.measure.verdict import Verdict, judge
from edgekit.runner.protocol import During, Trial


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def with_trial(index: int, **changes: Any) -> Samples:
    """A calm run in which one process differs."""
    samples = make_samples()
    changed = replace(samples.latency[index], **changes)
    return replace(samples, latency=(*samples.latency[:index], changed, *samples.latency[index + 1 :]))


def with_medians(factor: Callable[[int], float]) -> Samples:
    """A run whose n-th process is slower by ``factor(n)``."""
    trials = tuple(make_trial(median_ns=2e6 * factor(i), seed=i) for i in range(10))
    return make_samples(trials=trials)


def test_a_calm_run_is_valid_without_any_reason() -> None:
    assert judge(make_samples()) == Verdict(status="valid", reasons=())


def test_calm_runs_are_hardly_ever_called_unstable() -> None:
    # Between-process variation of 1.2 % and within of 1.1 % is what a quiet machine shows.
    verdicts = [judge(make_samples(between=0.012, noise=0.011, seed=seed)).status for seed in range(60)]
    assert verdicts.count("valid") >= 57


def test_rare_long_interruptions_do_not_make_a_run_unstable() -> None:
    spiky = tuple((*make_trial(seed=i).latency_ns[:-3], 90_000_000, 2_000_000, 45_000_000) for i in range(10))
    trials = tuple(
        make_trial(seed=i, latency_ns=series, wall_ns=sum(series), cpu_ns=sum(series)) for i, series in enumerate(spiky)
    )
    assert judge(make_samples(trials=trials)).status == "valid"


INVALID = [
    ("throttled", {"after": replace(CALM, throttle_bits=0x4)}),
    ("throttled", {"before": replace(CALM, throttle_bits=0x50001)}),
    ("not-finite", {"finite": False}),
    ("output-differs", {"output_sha256": "ff" * 32}),
    ("model-differs", {"model_sha256": "00" * 32}),
    ("throttled", {"during": During(glances=2, throttle_bits=4, hottest_c=70, slowest_hz=None, fastest_hz=None)}),
    ("rebooted", {"after": replace(CALM, boot_id="another")}),
    ("clock-changed", {"after": replace(CALM, clock_hz=1_500_000_000)}),
    ("too-few-iterations", {"latency_ns": (2_000_000,) * 63}),
]


@pytest.mark.parametrize(("code", "changes"), INVALID, ids=lambda value: value if isinstance(value, str) else "")
def test_one_bad_process_makes_the_run_invalid(code: str, changes: dict[str, Any]) -> None:
    verdict = judge(with_trial(4, **changes))
    assert verdict.status == "invalid"
    assert codes(verdict)[0] == code


def test_the_throttling_is_named_with_its_process() -> None:
    verdict = judge(with_trial(4, after=replace(CALM, throttle_bits=0x5)))
    assert str(verdict.reasons[0]) == "throttled: under-voltage, throttled (process 5); check power supply and cooling"


def test_throttling_that_has_passed_is_only_noted() -> None:
    verdict = judge(with_trial(4, before=replace(CALM, throttle_bits=0x50000)))
    assert (verdict.status, codes(verdict)) == ("valid", ["throttled-earlier"])


def test_a_different_runtime_in_one_process_is_invalid() -> None:
    runtime = replace(make_trial().runtime, delegate="none")
    assert codes(judge(with_trial(1, runtime=runtime))) == ["runtime-differs", "delegate-fell-back"]


def test_outputs_may_differ_where_the_model_is_not_deterministic() -> None:
    samples = with_trial(4, output_sha256="ff" * 32)
    assert judge(samples, BoardLimits(deterministic=False)).status == "valid"


def test_a_board_above_its_profiles_limit_is_invalid() -> None:
    samples = with_trial(2, after=replace(CALM, temperature_c=81.3))
    assert judge(samples).status == "valid"
    assert codes(judge(samples, BoardLimits(temperature_limit_c=80.0))) == ["too-hot"]


def test_fewer_processes_than_the_plan_asks_for_are_invalid() -> None:
    samples = make_samples()
    assert codes(judge(replace(samples, latency=samples.latency[:9]))) == ["too-few-processes"]


def test_nothing_measured_is_invalid() -> None:
    assert codes(judge(replace(make_samples(), latency=()))) == ["nothing-measured"]


def test_a_batch_counts_as_so_many_iterations() -> None:
    assert judge(with_trial(0, latency_ns=(2_000_000,) * 16, batch=4)).status == "valid"


def test_processes_that_differ_are_unstable() -> None:
    verdict = judge(with_medians(lambda i: 1 + 0.06 * (-1) ** i))
    assert verdict.status == "unstable"
    assert {"spread", "wide-interval"} <= set(codes(verdict))


def test_a_wide_interval_alone_is_unstable() -> None:
    verdict = judge(with_medians(lambda i: 1 + 0.035 * (-1) ** i))
    assert codes(verdict) == ["wide-interval"]


def test_processes_that_get_slower_one_after_the_other_drift() -> None:
    verdict = judge(with_medians(lambda i: 1 + 0.005 * i))
    assert verdict.status == "unstable"
    assert "drift" in codes(verdict)


def test_iterations_that_get_slower_drift() -> None:
    series = tuple(int(2e6 * (1 + 0.0006 * i)) for i in range(100))
    trials = tuple(make_trial(latency_ns=series, cpu_ns=1, wall_ns=1) for _ in range(10))
    verdict = judge(make_samples(trials=trials))
    assert (verdict.status, codes(verdict)) == ("unstable", ["drift"])


def test_two_outlying_processes_are_unstable_and_one_is_noted() -> None:
    one = judge(with_medians(lambda i: 1.4 if i == 5 else 1.0))
    assert ("outliers", "note") in [(reason.code, reason.weight) for reason in one.reasons]
    two = judge(with_medians(lambda i: 1.4 if i in (3, 5) else 1.0))
    assert ("outliers", "unstable") in [(reason.code, reason.weight) for reason in two.reasons]


def busy(trial: Trial, share: float) -> Trial:
    assert trial.wall_ns is not None
    return replace(trial, cpu_ns=int(trial.wall_ns * share))


def test_a_core_shared_with_other_work_is_unstable() -> None:
    samples = make_samples()
    verdict = judge(replace(samples, latency=tuple(busy(trial, 0.6) for trial in samples.latency)))
    assert (verdict.status, codes(verdict)) == ("unstable", ["contended"])
    assert "60 %" in verdict.reasons[0].message


def test_one_process_with_a_shared_core_is_noted() -> None:
    samples = make_samples()
    verdict = judge(replace(samples, latency=(busy(samples.latency[0], 0.6), *samples.latency[1:])))
    assert (verdict.status, codes(verdict)) == ("valid", ["contended"])


def test_with_several_threads_the_boards_cpu_pressure_tells_of_other_work() -> None:
    samples = make_samples()
    pressed = tuple(replace(trial, pressure_us=(trial.wall_ns or 0) // 2000, cpu_ns=1) for trial in samples.latency)
    verdict = judge(replace(samples, latency=pressed, num_threads=4))
    assert (verdict.status, codes(verdict)) == ("unstable", ["contended"])


def test_a_slower_calibration_after_the_runs_is_unstable() -> None:
    samples = make_samples()
    slowed = tuple(replace(trial, calibration_ns=(9_000_000, 10_800_000)) for trial in samples.latency)
    assert codes(judge(replace(samples, latency=slowed))) == ["slowed-down"]


def test_heat_between_the_ends_of_a_process_counts() -> None:
    during = During(glances=2, throttle_bits=0, hottest_c=82.0, slowest_hz=None, fastest_hz=None)
    assert codes(judge(with_trial(2, during=during), BoardLimits(temperature_limit_c=80.0))) == ["too-hot"]


def test_a_process_that_never_got_steady_is_unstable() -> None:
    assert codes(judge(with_trial(2, steady=False))) == ["no-steady-state"]


def test_reading_the_model_from_disk_again_and_again_is_unstable() -> None:
    samples = make_samples(major_faults=12)
    assert codes(judge(samples)) == ["paging"]
    assert judge(with_trial(2, major_faults=12)).status == "valid"


def test_swapped_memory_is_unstable() -> None:
    samples = make_samples()
    phases = tuple(replace(phase, swap_bytes=4096) for phase in samples.memory[0].memory)
    assert codes(judge(replace(samples, memory=(replace(samples.memory[0], memory=phases),)))) == ["swapping"]


def test_a_peak_that_could_not_be_reset_is_noted() -> None:
    samples = make_samples()
    memory = (replace(samples.memory[0], peak_resets=False),)
    verdict = judge(replace(samples, memory=memory))
    assert (verdict.status, codes(verdict)) == ("valid", ["peak-since-start"])


def test_a_governor_that_changes_is_unstable() -> None:
    assert codes(judge(with_trial(3, after=replace(CALM, governor="powersave")))) == ["governor-changed"]


def test_a_clock_that_follows_the_load_is_no_fault_under_a_governor_that_does_so() -> None:
    idle = replace(CALM, governor="ondemand", clock_hz=600_000_000)
    trials = tuple(make_trial(seed=i, before=idle, after=replace(idle, clock_hz=1_800_000_000)) for i in range(10))
    assert judge(make_samples(trials=trials)).status == "valid"


def test_silent_sensors_are_named_and_never_taken_for_fine() -> None:
    verdict = judge(make_samples(before=BLIND, after=BLIND))
    assert verdict.status == "valid"
    assert [str(reason) for reason in verdict.reasons] == ["uncontrolled: temperature, clock, governor, throttle bits"]


def test_a_quick_run_is_flagged_as_indicative() -> None:
    verdict = judge(make_samples(plan=make_plan("quick")))
    assert (verdict.status, codes(verdict)) == ("valid", ["indicative"])


def test_an_emulated_board_is_flagged() -> None:
    assert codes(judge(make_samples(), BoardLimits(emulated=True))) == ["emulated"]


def test_repeated_processes_are_told() -> None:
    repeated = Repeated(mode="latency", index=2, reason="crashed: SIGSEGV", trial=None)
    verdict = judge(replace(make_samples(), repeated=(repeated,)))
    assert [str(reason) for reason in verdict.reasons] == ["repeated: 1 process was run again (crashed: SIGSEGV)"]


def test_what_invalidates_comes_first() -> None:
    samples = with_trial(4, after=replace(BLIND, throttle_bits=1, boot_id=CALM.boot_id))
    weights = [reason.weight for reason in judge(samples).reasons]
    assert weights == sorted(weights, key=("invalid", "unstable", "note").index)
    assert weights[0] == "invalid"
