"""Cold starts: load, initialise and first inference in fresh processes whose files have to come from storage."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from edgekit.core.errors import DeviceError, EdgekitError, MeasurementError
from edgekit.core.events import Event, EventSink, ignore, task
from edgekit.measure import statistics
from edgekit.runner.protocol import Job, Trial

if TYPE_CHECKING:
    from edgekit.measure.plan import Plan
    from edgekit.measure.turn import Run

Key = TypeVar("Key", bound=Hashable)
Cache = Literal["dropped", "partly", "kept", "warm"]

_TASK = "cold starts"
_OF_A_TRIAL: dict[str, Cache] = {"yes": "dropped", "partly": "partly", "no": "kept"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What it takes until the first result is there, in ns: open the library, load, build, run once; the sum of these.

    The start of Python itself is no part of it; the import of a runtime that is a Python module is.

    Attributes:
        cold_ns: median over the cold processes; where none ran, that of the timed ones (``cache`` is ``warm``).
        cold_ci95_ns: bootstrap interval of it over cold processes; None with fewer than two.
        warm_ns: median over the timed processes, whose files the kernel has in its page cache.
        cache: what the cold processes found: ``dropped``: nothing of their files in memory; ``partly``: some of it;
            ``kept``: the kernel would not let go; ``warm``: no cold process ran.
        note: why it is not ``dropped``; else empty.
        processes: cold ones.
    """

    cold_ns: int | None
    cold_ci95_ns: tuple[int, int] | None
    warm_ns: int | None
    cache: Cache
    note: str
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStarts(Generic[Key]):
    """What came of cold starts of several models in turn: trials, or why there are none."""

    trials: dict[Key, tuple[Trial, ...]] = field(default_factory=dict)
    problems: dict[Key, EdgekitError] = field(default_factory=dict)


def collect_cold(runs: Mapping[Key, tuple[Run, Job]], *, plan: Plan, on_event: EventSink = ignore) -> ColdStarts[Key]:
    """Runs the plan's cold processes, those of all models in turn.

    They come after the timed ones: dropping the page cache would disturb these.

    Args:
        runs: as :func:`edgekit.measure.collect.collect_many` takes them.
        plan: how many.
        on_event: gets one event per process.

    Returns:
        Trials by key. A failure ends only its own key's turn, and is no failure of the measurement.
    """
    found: dict[Key, list[Trial]] = {key: [] for key in runs}
    problems: dict[Key, EdgekitError] = {}
    schedule = [(index, key) for index in range(plan.cold_processes) for key in runs]
    if not schedule:
        return ColdStarts()
    with task(_TASK, on_event):
        for done, (index, key) in enumerate(schedule):
            if key in problems:
                continue
            message = " ".join(filter(None, (str(key), f"cold start {index + 1} of {plan.cold_processes}")))
            on_event(Event(state="progress", task=_TASK, message=message, fraction=done / len(schedule)))
            run, job = runs[key]
            try:
                found[key].append(_repeated(run, plan.job(job, "cold"), plan))
            except EdgekitError as error:
                problems[key] = error
    return ColdStarts(trials={key: tuple(trials) for key, trials in found.items() if trials}, problems=problems)


def _repeated(run: Run, job: Job, plan: Plan) -> Trial:
    """One process; a crash may be bad luck."""
    for left in range(plan.retries, -1, -1):
        try:
            return run(job, plan.time_limit_s)
        except (MeasurementError, DeviceError) as error:
            if not left or type(error) not in (DeviceError, MeasurementError):
                raise
    raise AssertionError("unreachable")


def start_of(cold: Sequence[Trial], timed: Sequence[Trial], *, seed: int = 0) -> Start:
    """The figures of a start, from the raw trials.

    Args:
        cold: of mode ``cold``.
        timed: of mode ``latency``.
        seed: of the bootstrap.
    """
    colds = [taken for trial in cold if (taken := start_ns(trial)) is not None]
    warm = _median([taken for trial in timed if (taken := start_ns(trial)) is not None])
    if not colds:
        return Start(
            cold_ns=warm, cold_ci95_ns=None, warm_ns=warm, cache="warm", note="no process started cold", processes=0
        )
    interval = statistics.bootstrap_interval(colds, seed=seed)
    cache, note = _cache(cold)
    return Start(
        cold_ns=_median(colds),
        cold_ci95_ns=None if interval is None else (round(interval[0]), round(interval[1])),
        warm_ns=warm,
        cache=cache,
        note=note,
        processes=len(colds),
    )


def start_ns(trial: Trial) -> int | None:
    """Library, load, build and first run of one process; None where one of them is not known."""
    parts = (trial.library_ns, trial.load_ns, trial.init_ns, trial.first_ns)
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _cache(trials: Sequence[Trial]) -> tuple[Cache, str]:
    """The least that was achieved for any of them, and why it was not all."""
    worst: tuple[Cache, str] = ("dropped", "")
    order: tuple[Cache, ...] = ("dropped", "partly", "kept")
    for trial in trials:
        now = (_OF_A_TRIAL[trial.cold.dropped], trial.cold.reason) if trial.cold else ("kept", "the runner did not say")
        if order.index(now[0]) > order.index(worst[0]):
            worst = now
    return worst


def _median(values: Sequence[int]) -> int | None:
    found = statistics.median_of(values)
    return None if found is None else round(found)
