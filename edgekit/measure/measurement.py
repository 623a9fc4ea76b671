"""The measurement: what is shown and kept of samples, derived from them and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from edgekit.core.decode import to_json
from edgekit.core.notice import Notice
from edgekit.measure import statistics
from edgekit.measure.cold import Cache, start_of
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.memory import Memory, memory_of
from edgekit.measure.plan import Plan
from edgekit.measure.reason import Reason
from edgekit.measure.samples import Samples
from edgekit.measure.verdict import Status, judge
from edgekit.runner.conditions import Conditions
from edgekit.runner.protocol import RuntimeUsed, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredModel:
    """The model that ran.

    Attributes:
        name: for people.
        sha256: of the .tflite.
        kind: ``int8``, ``float32``, ``dynamic``, …; None for a bare file.
        size_bytes: of the .tflite.
        source_sha256: of the trained model it was made from; the same for all its modes.
    """

    name: str
    sha256: str
    kind: str | None = None
    size_bytes: int | None = None
    source_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Times in ns; None where there is none, and ``missing`` says why.

    Attributes:
        median_ns: median of the processes' medians.
        ci95_ns: bootstrap interval of it, over processes.
        p90_ns, p95_ns, p99_ns: medians of the processes' percentiles.
        p90_upper_ns, p95_upper_ns, p99_upper_ns: medians of the processes' upper bounds of them, 99 % confidence each.
        cpu_median_ns: as ``median_ns``, of the CPU time of the inferences: other programs do not lengthen it, a slow
            clock does; ``cpu_ci95_ns`` as ``ci95_ns``.
        min_ns: the quickest iteration of all (of the quickest batch, for models too quick for the clock).
        library_ns, load_ns, init_ns, first_ns: medians over processes: open the library, load, build, first run.
        cold_start_ns: median of the sums of these four over the cold processes (:mod:`edgekit.measure.cold`); where
            none ran, ``warm_start_ns``. ``cold_start_cache`` says which, ``cold_start_note`` why it is not ``dropped``.
        cold_start_ci95_ns: bootstrap interval of it.
        warm_start_ns: median of the sums over the timed processes, whose files the kernel has in its page cache.
        missing: field name → reason.
    """

    median_ns: int | None
    ci95_ns: tuple[int, int] | None
    p90_ns: int | None
    p95_ns: int | None
    p99_ns: int | None
    min_ns: int | None
    first_ns: int | None
    library_ns: int | None
    load_ns: int | None
    init_ns: int | None
    cold_start_ns: int | None
    cold_start_ci95_ns: tuple[int, int] | None = None
    cold_start_cache: Cache = "warm"
    cold_start_note: str = ""
    warm_start_ns: int | None = None
    p90_upper_ns: int | None = None
    p95_upper_ns: int | None = None
    p99_upper_ns: int | None = None
    cpu_median_ns: int | None = None
    cpu_ci95_ns: tuple[int, int] | None = None
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How well the processes agree: the verdict's figures, as fractions; None where there is too little to tell.

    Attributes:
        cv: coefficient of variation of the processes' medians.
        half_width: longer arm of the 95 % interval over the median.
        drift: last fifth of the processes against the first.
        drift_within: last fifth of a process against its first; median over processes.
        cpu_per_wall: CPU time over wall time of the measured loops; the number of threads at most.
    """

    cv: float | None
    half_width: float | None
    drift: float | None
    drift_within: float | None
    cpu_per_wall: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The board before the first and after the last timed process."""

    before: Conditions | None
    after: Conditions | None


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What the board is, and what runs on it; None: it does not tell.

    Attributes:
        board: as it names itself; ``revision``: of a Raspberry Pi.
        os_name: for people; ``os_build``: its maker's name for this build of it.
        kernel, libc: with their versions.
        cpu: kind of the cores, the fastest first.
    """

    board: str | None
    revision: str | None
    os_name: str | None
    os_build: str | None
    kernel: str | None
    libc: str | None
    cpu: str | None
    memory_total_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One model on one board with one thread count: figures, what they depend on, and whether they may be used.

    Attributes:
        device: the board's name; ``emulated``: it is none, its processor is a program.
        system: the board and its software; None: nobody asked.
        cpus: cores that the processes could run on.
        iterations: fewest measured inferences of a process.
        samples: the raw trials; not part of the document, kept in a file of their own.
    """

    device: str
    emulated: bool
    model: MeasuredModel
    runtime: RuntimeUsed | None
    num_threads: int
    processes: int
    iterations: int
    latency: Latency
    memory: Memory
    spread: Spread
    verdict: Status
    reasons: tuple[Reason, ...]
    facts: Facts
    plan: Plan
    notices: tuple[Notice, ...]
    created: str
    samples: Samples
    system: System | None = None
    cpus: tuple[int, ...] = ()


def measurement_from(
    samples: Samples,
    *,
    device: str,
    model: MeasuredModel,
    limits: BoardLimits | None = None,
    notices: Sequence[Notice] = (),
    system: System | None = None,
) -> Measurement:
    """Derives everything from samples; the same samples give the same measurement.

    Args:
        samples: what the plan's processes measured.
        device: the board's name.
        model: what ran.
        limits: the board's, for the verdict.
        notices: what else the user should know about it.
        system: the board and its software.
    """
    verdict = judge(samples, limits)
    timed = samples.latency
    every = timed + samples.memory
    return Measurement(
        device=device,
        emulated=limits is not None and limits.emulated,
        model=model,
        runtime=every[0].runtime if every else None,
        num_threads=samples.num_threads,
        processes=len(timed),
        iterations=min((len(trial.latency_ns) * trial.batch for trial in timed), default=0),
        latency=_latency(timed, samples.cold, samples.plan.seed),
        memory=memory_of(samples.memory),
        spread=_spread(timed, samples.plan.seed),
        verdict=verdict.status,
        reasons=verdict.reasons,
        facts=Facts(before=timed[0].before if timed else None, after=timed[-1].after if timed else None),
        plan=samples.plan,
        notices=tuple(notices),
        created=samples.created,
        samples=samples,
        system=system,
        cpus=every[0].cpus if every else (),
    )


def to_document(measurement: Measurement, *, samples_file: str | None = None) -> dict[str, Any]:
    """The measurement in JSON values, without its raw samples.

    Args:
        measurement: to be shown or kept.
        samples_file: where the raw samples are.
    """
    names = [name for name in Measurement.__slots__ if name not in ("samples", "reasons")]
    document: dict[str, Any] = {name: to_json(getattr(measurement, name)) for name in names}
    return {
        **document,
        "reasons": [str(reason) for reason in measurement.reasons],
        "samples_file": samples_file,
    }


def _latency(trials: Sequence[Trial], cold: Sequence[Trial], seed: int) -> Latency:
    series = [trial.latency_ns for trial in trials]
    medians = statistics.process_medians(series)
    interval = statistics.bootstrap_interval(medians, seed=seed)
    cpu_medians = statistics.process_medians([trial.cpu_latency_ns or () for trial in trials])
    missing: dict[str, str] = {}
    if len(cpu_medians) < len(medians) or not cpu_medians:  # a median of other processes would be another figure
        cpu_medians = ()
        why = (trial.cpu_latency_missing for trial in trials if not trial.cpu_latency_ns)
        missing["cpu_median_ns"] = next(filter(None, why), "the runner did not tell")
    cpu_interval = statistics.bootstrap_interval(cpu_medians, seed=seed)
    if interval is None:
        missing["ci95_ns"] = "needs 2 processes"
    tails = {percent: _tail(trials, percent) for percent in (90, 95, 99)}
    missing |= {f"p{percent}_ns": tail.missing for percent, tail in tails.items() if tail.missing}
    parts = {name: _over(trials, attrgetter(name)) for name in ("library_ns", "load_ns", "init_ns", "first_ns")}
    start = start_of(cold, trials, seed=seed)
    parts |= {"cold_start_ns": start.cold_ns, "warm_start_ns": start.warm_ns}
    silence = "the runtime did not tell" if trials else "no process was timed"
    missing |= {name: silence for name, value in parts.items() if value is None}
    if not medians:
        missing |= dict.fromkeys(("median_ns", "min_ns"), "no process was timed")
    return Latency(
        median_ns=_whole(statistics.median_of(medians)),
        ci95_ns=_whole_pair(interval),
        p90_ns=_whole(tails[90].value),
        p95_ns=_whole(tails[95].value),
        p99_ns=_whole(tails[99].value),
        p90_upper_ns=_whole(tails[90].upper),
        p95_upper_ns=_whole(tails[95].upper),
        p99_upper_ns=_whole(tails[99].upper),
        cpu_median_ns=_whole(statistics.median_of(cpu_medians)),
        cpu_ci95_ns=_whole_pair(cpu_interval),
        min_ns=min((min(samples) for samples in series if samples), default=None),
        cold_start_ci95_ns=start.cold_ci95_ns,
        cold_start_cache=start.cache,
        cold_start_note=start.note,
        missing=missing,
        **parts,
    )


def _tail(trials: Sequence[Trial], percent: int) -> statistics.Estimate:
    batch = max((trial.batch for trial in trials), default=1)
    if batch > 1:
        return statistics.Estimate(
            value=None, missing=f"too quick for the clock: each sample is the mean of {batch} inferences"
        )
    return statistics.percentile([trial.latency_ns for trial in trials], percent)


def _spread(trials: Sequence[Trial], seed: int) -> Spread:
    medians = statistics.process_medians([trial.latency_ns for trial in trials])
    interval = statistics.bootstrap_interval(medians, seed=seed)
    shares = [trial.cpu_ns / trial.wall_ns for trial in trials if trial.cpu_ns is not None and trial.wall_ns]
    return Spread(
        cv=statistics.coefficient_of_variation(medians),
        half_width=statistics.half_width(interval, statistics.median_of(medians)),
        drift=statistics.drift(medians),
        drift_within=statistics.drift_within([trial.latency_ns for trial in trials]),
        cpu_per_wall=statistics.median_of(shares),
    )


def _over(trials: Sequence[Trial], figure: Callable[[Trial], int | None]) -> int | None:
    """Median over the processes that have the figure."""
    return _whole(statistics.median_of([found for trial in trials if (found := figure(trial)) is not None]))


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _whole_pair(values: tuple[float, float] | None) -> tuple[int, int] | None:
    return None if values is None else (round(values[0]), round(values[1]))
