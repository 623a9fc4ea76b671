"""The verdict: may these samples be used, and why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.measure import statistics
from edgekit.measure.conditions import BoardLimits, heat, throttled_earlier, throttling, unknown_sensors
from edgekit.measure.samples import Samples
from edgekit.runner.protocol import Trial

Status = Literal["valid", "unstable", "invalid"]

MAX_CV = 0.05
MAX_HALF_WIDTH = 0.025
MAX_DRIFT = 0.03
MIN_CPU_PER_WALL = 0.9
MAX_PRESSURE = 0.1
MAX_SLOWING = 1.1
MAX_CLOCK_RANGE = 0.02
_FIXED_GOVERNORS = ("performance", "powersave", "userspace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One finding about samples.

    Attributes:
        code: stable name for scripts, e.g. ``contended``.
        weight: ``invalid`` and ``unstable`` decide the verdict; ``note`` is only to be known.
        message: one phrase with the figure and its limit.
    """

    code: str
    weight: Literal["invalid", "unstable", "note"]
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Valid, unstable (shown, but not to be built on) or invalid (not to be used), with every reason."""

    status: Status
    reasons: tuple[Reason, ...]


def judge(samples: Samples, limits: BoardLimits | None = None) -> Verdict:
    """Judges samples by what they say themselves and by what the board's sensors said meanwhile."""
    limits = limits or BoardLimits()
    reasons = tuple(reason for check in _CHECKS for reason in check(samples, limits))
    weights = {reason.weight for reason in reasons}
    status: Status = "invalid" if "invalid" in weights else "unstable" if "unstable" in weights else "valid"
    order = ("invalid", "unstable", "note")
    return Verdict(status=status, reasons=tuple(sorted(reasons, key=lambda reason: order.index(reason.weight))))


def _invalid(code: str, message: str) -> Reason:
    return Reason(code=code, weight="invalid", message=message)


def _unstable(code: str, message: str) -> Reason:
    return Reason(code=code, weight="unstable", message=message)


def _note(code: str, message: str) -> Reason:
    return Reason(code=code, weight="note", message=message)


# ---------------------------------------------------------------------------------------- were they the right runs?


def _identity(samples: Samples, limits: BoardLimits) -> Iterator[Reason]:
    trials = samples.latency + samples.memory
    if not samples.latency:
        yield _invalid("nothing-measured", "no process measured anything")
    if wrong := [trial.model_sha256 for trial in trials if trial.model_sha256 != samples.model_sha256]:
        yield _invalid("model-differs", f"the board ran {wrong[0][:12]}…, not {samples.model_sha256[:12]}…")
    if not all(trial.finite for trial in trials):
        yield _invalid("not-finite", "the model's output has NaN or infinity")
    outputs = {trial.output_sha256 for trial in trials if trial.output_sha256 is not None}
    if limits.deterministic and len(outputs) > 1:
        yield _invalid("output-differs", f"{len(outputs)} different outputs for the same input")
    runtimes = {(trial.runtime.name, trial.runtime.version, trial.runtime.delegate) for trial in trials}
    if len(runtimes) > 1:
        names = "; ".join(sorted(" ".join(runtime) for runtime in runtimes))
        yield _invalid("runtime-differs", f"not every process used the same runtime ({names})")
    boots = {c.boot_id for trial in trials for c in (trial.before, trial.after) if c.boot_id}
    if len(boots) > 1:
        yield _invalid("rebooted", "the board was restarted in between")


def _amount(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    counts = [len(trial.latency_ns) * trial.batch for trial in samples.latency]
    if counts and min(counts) < samples.plan.min_runs:
        yield _invalid(
            "too-few-iterations",
            f"{min(counts)} in {samples.plan.max_s:g} s, the plan needs {samples.plan.min_runs} (--num-runs)",
        )
    if samples.latency and len(samples.latency) < samples.plan.processes:
        yield _invalid("too-few-processes", f"{len(samples.latency)}, the plan needs {samples.plan.processes}")


# ---------------------------------------------------------------------------------------- what did the board do?


def _heat(samples: Samples, limits: BoardLimits) -> Iterator[Reason]:
    slowed = [(i, bits) for i, trial in enumerate(samples.latency, 1) if (bits := throttling(trial))]
    if slowed:
        where = ", ".join(str(i) for i, _ in slowed)
        yield _invalid("throttled", f"{slowed[0][1]} (process {where}); check power supply and cooling")
    elif throttled_earlier(samples.latency):
        yield _note("throttled-earlier", "the board remembers throttling; none was seen around these processes")
    hot = [found for trial in samples.latency if (found := heat(trial, limits)) is not None]
    if hot:
        yield _invalid("too-hot", f"{max(hot):.0f} °C, the limit is {limits.temperature_limit_c:.0f} °C; let it cool")


def _clock(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    seen = [c for trial in samples.latency for c in (trial.before, trial.after)]
    governors = {c.governor for c in seen if c.governor}
    if len(governors) > 1:
        yield _unstable("governor-changed", f"between {' and '.join(sorted(governors))}")
    clocks = [c.clock_hz for c in seen if c.clock_hz]
    if (
        governors <= set(_FIXED_GOVERNORS)
        and governors
        and clocks
        and min(clocks) < max(clocks) * (1 - MAX_CLOCK_RANGE)
    ):
        yield _invalid(
            "clock-changed", f"{min(clocks) / 1e6:.0f} to {max(clocks) / 1e6:.0f} MHz under a fixed governor"
        )
    slowing = [t.calibration_ns[-1] / t.calibration_ns[0] for t in samples.latency if _calibrated(t)]
    ratio = statistics.median_of(slowing)
    if ratio is not None and ratio > MAX_SLOWING:
        yield _unstable("slowed-down", f"a fixed piece of work took {ratio:.2f} times as long after the runs as before")


def _calibrated(trial: Trial) -> bool:
    return len(trial.calibration_ns) > 1 and trial.calibration_ns[0] > 0


def _contention(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    timed = [trial for trial in samples.latency if trial.wall_ns]
    if samples.num_threads == 1:
        ratios = [trial.cpu_ns / trial.wall_ns for trial in timed if trial.cpu_ns is not None and trial.wall_ns]
        low = [ratio for ratio in ratios if ratio < MIN_CPU_PER_WALL]
        middle = statistics.median_of(ratios)
        if middle is not None and middle < MIN_CPU_PER_WALL:
            yield _unstable(
                "contended", f"the process had its core for {middle * 100:.0f} % of the time; other work runs there"
            )
        elif low:
            yield _note("contended", f"{len(low)} of {len(ratios)} processes had their core for less than 90 %")
        return
    waits = [t.pressure_us * 1000 / t.wall_ns for t in timed if t.pressure_us is not None and t.wall_ns]
    wait = statistics.median_of(waits)
    if wait is not None and wait > MAX_PRESSURE:
        yield _unstable(
            "contended", f"work waited for a core during {wait * 100:.0f} % of the time; other work runs there"
        )


def _memory(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    read = statistics.median_of([t.major_faults for t in samples.latency if t.major_faults is not None])
    if read:
        yield _unstable("paging", f"{read:.0f} pages were read from disk during the runs: memory is short")
    if any(phase.swap_bytes for trial in samples.memory for phase in trial.memory):
        yield _unstable("swapping", "part of the process was swapped out: its memory is more than what is shown")
    if not all(trial.peak_resets for trial in samples.memory):
        yield _note("peak-since-start", "this kernel does not reset the peak: loading the library may be part of it")


# ---------------------------------------------------------------------------------------- do the figures agree?


def _agreement(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    series = [trial.latency_ns for trial in samples.latency]
    medians = statistics.process_medians(series)
    center = statistics.median_of(medians)
    cv = statistics.coefficient_of_variation(medians)
    if cv is not None and cv > MAX_CV:
        yield _unstable("spread", f"the processes' medians vary by {cv * 100:.1f} %, the limit is {MAX_CV * 100:.0f} %")
    arm = statistics.half_width(statistics.bootstrap_interval(medians, seed=samples.plan.seed), center)
    if arm is not None and arm > MAX_HALF_WIDTH:
        yield _unstable(
            "wide-interval",
            f"the 95 % interval reaches {arm * 100:.1f} % from the median, limit {MAX_HALF_WIDTH * 100:.1f} %",
        )
    odd = statistics.outliers(medians)
    if odd:
        which = ", ".join(str(i + 1) for i in odd)
        make = _unstable if len(odd) > 1 else _note
        yield make("outliers", f"process {which} lies far from the others")
    if restless := [i for i, trial in enumerate(samples.latency, 1) if not trial.steady]:
        yield _unstable("no-steady-state", f"{len(restless)} of {len(medians)} processes were still warming up")
    yield from _drifts(series, medians)


def _drifts(series: Sequence[Sequence[int]], medians: Sequence[float]) -> Iterator[Reason]:
    within = statistics.drift_within(series)
    if within is not None and abs(within) > MAX_DRIFT:
        yield _unstable(
            "drift",
            f"each process ends {within * 100:+.1f} % from where it began, the limit is {MAX_DRIFT * 100:.0f} %",
        )
    across = statistics.drift(medians)
    if across is not None and abs(across) > MAX_DRIFT:
        yield _unstable(
            "drift",
            f"the last processes are {across * 100:+.1f} % from the first, the limit is {MAX_DRIFT * 100:.0f} %",
        )


# ---------------------------------------------------------------------------------------- what else must be known?


def _notes(samples: Samples, limits: BoardLimits) -> Iterator[Reason]:
    if limits.emulated:
        yield _note("emulated", "an emulated processor: the times say nothing about a real board")
    if weaker := samples.plan.indicative:
        yield _note("indicative", f"{', '.join(weaker)} (not for comparing or publishing)")
    if samples.latency and (silent := unknown_sensors(samples.latency)):
        yield _note("uncontrolled", ", ".join(silent))
    if samples.repeated:
        causes = "; ".join(dict.fromkeys(repeated.reason for repeated in samples.repeated))
        times = "1 process was" if len(samples.repeated) == 1 else f"{len(samples.repeated)} processes were"
        yield _note("repeated", f"{times} run again ({causes})")


_CHECKS: tuple[Callable[[Samples, BoardLimits], Iterator[Reason]], ...] = (
    _identity,
    _amount,
    _heat,
    _clock,
    _contention,
    _memory,
    _agreement,
    _notes,
)
