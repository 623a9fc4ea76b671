"""Every reason of a verdict has a test that triggers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from synthetic_trials import BLIND, CALM, WATCHED, make_memory_trial, make_samples, make_trial

from edgekit.measure.conditions import BoardLimits, passing
from edgekit.measure.plan import make_plan
from edgekit.measure.samples import Repeated, Samples
from edgekit.measure.verdict import Verdict, judge
from edgekit.runner.conditions import Conditions, During, Reading
from edgekit.runner.protocol import Trial


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


def seen_during(**changes: Any) -> dict[str, Any]:
    return {"during": replace(WATCHED, **changes)}


INVALID = [
    ("thermal-status", {"after": replace(CALM, thermal_status=1)}),
    ("thermal-status", seen_during(thermal_status=3)),
    ("clock-changed", seen_during(slowest_hz=1_500_000_000, readings=(Reading(at_ns=1, clock_hz=1_500_000_000),))),
    (
        "swapped-in",
        {"before": replace(CALM, swapped_in_pages=7), "after": replace(CALM, swapped_in_pages=9), "major_faults": 2},
    ),
    ("foreign-load", {"busy_ns": int(1.5e9), "cpu_ns": int(1.2e9), "wall_ns": int(1.3e9), "cpus": (3,)}),
    ("foreign-load", {"busy_ns": int(2.5e9), "cpu_ns": int(1.0e9), "wall_ns": int(1.3e9), "cpus": (0, 1)}),
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
def test_f50_one_bad_process_makes_the_run_invalid(code: str, changes: dict[str, Any]) -> None:
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


# ---------------------------------------------------------------------------- what passes is repeated, and named alike


LASTING = {"not-finite", "output-differs", "model-differs", "rebooted", "too-few-iterations"}


@pytest.mark.parametrize(("code", "changes"), INVALID, ids=lambda value: value if isinstance(value, str) else "")
def test_f50_what_may_pass_is_a_reason_to_run_the_process_again(code: str, changes: dict[str, Any]) -> None:
    reason = passing(replace(make_trial(), **changes), BoardLimits())
    assert (reason.code if reason else None) == (None if code in LASTING else code)


def test_f50_a_phone_whose_thermal_status_rises_during_a_run_is_named_with_it() -> None:
    verdict = judge(with_trial(4, **seen_during(thermal_status=1)))
    assert str(verdict.reasons[0]) == ("thermal-status: LIGHT, the board slows itself down (process 5); let it cool")


def test_a_phone_without_throttle_bits_tells_by_its_thermal_status() -> None:
    phone = replace(CALM, throttle_bits=None, thermal_status=0)
    watched = seen_during(throttle_bits=None, thermal_status=0)
    assert judge(make_samples(before=phone, after=phone, **watched)).reasons == ()


def test_f52_sensors_that_nobody_followed_during_the_runs_are_unknown_there() -> None:
    for unseen in ({"during": None}, seen_during(throttle_bits=None, hottest_c=None)):
        (reason,) = judge(make_samples(**unseen)).reasons
        assert str(reason) == "uncontrolled: temperature during the runs, throttle bits during the runs"


# ---------------------------------------------------------------------------------------------------- other programs


def shared(**changes: Any) -> Trial:
    """One second of a single thread."""
    return make_trial(**{"wall_ns": int(1e9), "cpu_ns": int(0.99e9), "busy_ns": int(1.0e9), "cpus": (3,), **changes})


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("its own", {}),
        ("others on cores that the model does not need", {"cpus": (0, 1, 2, 3), "busy_ns": int(3.5e9)}),
        ("a model that waits by itself", {"cpu_ns": int(0.5e9), "busy_ns": int(0.5e9)}),
        ("too short to tell, the kernel counts in hundredths", {"wall_ns": int(2e7), "cpu_ns": 1, "busy_ns": int(2e7)}),
        ("within what the counting may be wrong by", {"busy_ns": int(1.09e9)}),
        ("not told", {"busy_ns": None}),
    ],
)
def test_not_every_busy_core_is_a_disturbed_one(why: str, changes: dict[str, Any]) -> None:
    assert passing(shared(**changes), BoardLimits()) is None


def test_f53_other_programs_on_a_measured_core_are_told_by_how_much() -> None:
    reason = passing(shared(busy_ns=int(1.25e9)), BoardLimits())
    assert str(reason) == "foreign-load: other programs took 25 % of a measured core, the limit is 10 %"


def test_f53_threads_on_all_cores_are_disturbed_by_whoever_else_runs() -> None:
    all_four = {"num_threads": 4, "cpus": (0, 1, 2, 3), "cpu_ns": int(3.2e9)}
    assert passing(shared(**all_four, busy_ns=int(3.25e9)), BoardLimits()) is None
    assert passing(shared(**all_four, busy_ns=int(3.6e9)), BoardLimits()) is not None


# ---------------------------------------------------------------------------------------------------- clocks


def test_f53_a_clock_that_nobody_fixes_and_that_changes_during_the_runs_is_unstable() -> None:
    free = replace(CALM, governor="ondemand")
    trials = tuple(
        make_trial(seed=i, before=free, after=free, **seen_during(slowest_hz=1_700_000_000 - i % 2 * 200_000_000))
        for i in range(10)
    )
    verdict = judge(make_samples(trials=trials))
    assert (verdict.status, codes(verdict)) == ("unstable", ["clock-uncontrolled"])
    assert "1500 to 1800 MHz" in verdict.reasons[0].message


def test_f53_a_governor_that_changes_mid_run_is_flagged() -> None:
    verdict = judge(with_trial(4, after=replace(CALM, governor="ondemand")))
    assert (verdict.status, verdict.reasons[0].code) == ("unstable", "governor-changed")


def at_moment(wall_s: float, monotonic_s: float) -> Conditions:
    return replace(CALM, wall_s=wall_s, monotonic_s=monotonic_s)


def stepping(step_s: float) -> Samples:
    """Ten processes of 3 s, after the fifth of which somebody set the clock."""
    trials = []
    for i in range(10):
        begin, off = 3.0 * i, step_s if i > 4 else 0.0
        times = {
            "before": at_moment(1.7e9 + begin + off, begin),
            "after": at_moment(1.7e9 + begin + 3 + off, begin + 3),
        }
        trials.append(make_trial(seed=i, median_ns=2e6, **times))
    return make_samples(trials=tuple(trials))


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_f53_a_clock_that_is_set_meanwhile_is_told_and_changes_no_figure(step_s: float) -> None:
    verdict = judge(stepping(step_s))
    assert verdict.status == "valid"
    (reason,) = verdict.reasons
    assert reason.code == "clock-set"
    assert f"set by {step_s:+.0f} s" in reason.message


def test_f53_a_clock_that_ntp_only_nudges_is_not_mentioned() -> None:
    assert judge(stepping(0.03)).reasons == ()


# ---------------------------------------------------------------------------------------------------- before the runs


def test_f53_a_board_with_other_work_to_do_is_noted() -> None:
    busy_board = replace(CALM, runnable=2)
    verdict = judge(make_samples(before=busy_board))
    assert (verdict.status, codes(verdict)) == ("valid", ["busy-before"])
    assert "0.5 other tasks wanted to run on each core" in verdict.reasons[0].message
    assert judge(make_samples(before=replace(CALM, runnable=0))).reasons == ()


def test_a_board_with_less_than_twice_the_memory_is_noted() -> None:
    samples = make_samples(before=replace(CALM, memory_available_bytes=20_000_000))
    samples = replace(samples, memory=(make_memory_trial(),))
    verdict = judge(samples)
    assert (verdict.status, codes(verdict)) == ("valid", ["little-memory"])


# ---------------------------------------------------------------------------------------------------- the delegate


def test_f58_a_model_that_no_delegate_took_says_so() -> None:
    verdict = judge(make_samples(runtime=replace(make_trial().runtime, delegate="none", ops=7)))
    (reason,) = [one for one in verdict.reasons if one.code == "delegate-fell-back"]
    assert str(reason) == (
        "delegate-fell-back: no delegate took any of the 7 ops: the runtime's own kernels computed them"
    )


def test_f58_a_process_that_lost_the_delegate_that_others_had_is_invalid() -> None:
    verdict = judge(with_trial(1, runtime=replace(make_trial().runtime, delegate="none")))
    assert "delegate-fell-back: 1 of 10 processes ran without their delegate" in map(str, verdict.reasons)
    assert verdict.status == "invalid"


def test_f58_a_delegate_where_the_runtimes_own_kernels_were_asked_for_is_invalid() -> None:
    verdict = judge(make_samples(runtime=replace(make_trial().runtime, kernels="builtin")))
    assert (verdict.status, codes(verdict)[0]) == ("invalid", "delegate-fell-back")
