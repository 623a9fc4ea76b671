"""Memory of a model from the memory processes of a plan: by phase, absolute and beyond the runtime's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgekit.measure import statistics
from edgekit.runner.protocol import MemoryPhase, Trial

#: the last phase that belongs to the runtime and not to the model
BASELINE_PHASE = "library"
_BEFORE_MODEL = ("start", BASELINE_PHASE)
_LAST = "steady"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseMemory:
    """Resident memory at the end of one phase; medians over the memory processes; None where it could not be read.

    Attributes:
        phase: ``start``, ``library``, ``model``, ``init``, ``first`` or ``steady``.
        rss_bytes: of the whole process.
        peak_rss_bytes: highest within the phase, where the kernel lets the peak be reset; else since the start.
        anon_bytes: of the process's own making: it stays in memory, or goes to swap.
        file_bytes: of files (the model's weights, libraries): the kernel may drop it and read it again.
        model_rss_bytes, model_peak_bytes: the same two without the baseline: what the model has added so far. Empty
            before there is a model.
    """

    phase: str
    rss_bytes: int | None
    peak_rss_bytes: int | None
    anon_bytes: int | None
    file_bytes: int | None
    model_rss_bytes: int | None
    model_peak_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory; medians over the memory processes; None where it could not be read.

    All are resident set sizes (RSS) but two. RSS counts a page of a shared library or file in full in every process
    that has it. PSS divides it by the number of processes: it is what the process costs the board, and it changes
    with what else runs there. USS counts only pages that nobody else has: what ending the process would free.

    Absolute figures are those of the runner's process; with the runner in Python, 10 MB of them are Python. The
    model's share is the same in both runners: to 1 % where it is 13 MB or more, else to 130 kB (two of the pieces of
    64 kB in which the kernel maps files; where they begin is random). The part of it that is of files depends on the
    kernel and its page size; the anonymous part hardly does.

    Attributes:
        peak_rss_bytes: highest from the loading of the model on.
        baseline_bytes: with the runtime's library loaded and no model.
        model_bytes: the model's share: peak minus baseline.
        model_anon_bytes, model_file_bytes: its share in the steady state: of its own making, and of files.
        pss_bytes, uss_bytes: of the process in the steady state.
        phases: in order.
        missing: field name → reason.
    """

    peak_rss_bytes: int | None
    model_bytes: int | None
    baseline_bytes: int | None
    model_anon_bytes: int | None = None
    model_file_bytes: int | None = None
    pss_bytes: int | None = None
    uss_bytes: int | None = None
    phases: tuple[PhaseMemory, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)


def memory_of(trials: Sequence[Trial]) -> Memory:
    """Memory from the trials of mode ``memory``; none of them: every figure is missing, and says so."""
    figures: dict[str, Callable[[Trial], int | None]] = {
        "peak_rss_bytes": peak_bytes,
        "model_bytes": lambda trial: _minus(peak_bytes(trial), _baseline(trial)),
        "baseline_bytes": _baseline,
        "model_anon_bytes": lambda trial: _grown(trial, "anon_bytes"),
        "model_file_bytes": lambda trial: _grown(trial, "file_bytes"),
        "pss_bytes": lambda trial: trial.pss_bytes,
        "uss_bytes": lambda trial: trial.uss_bytes,
    }
    values = {name: _over(trials, figure) for name, figure in figures.items()}
    reason = "the board does not tell" if trials else "no memory process ran"
    missing = {name: reason for name, value in values.items() if value is None}
    names = [phase.phase for phase in trials[0].memory] if trials else []
    return Memory(**values, phases=tuple(_phase(trials, name) for name in names), missing=missing)


def _phase(trials: Sequence[Trial], name: str) -> PhaseMemory:
    def over(figure: Callable[[MemoryPhase], int | None], *, beyond: bool = False) -> int | None:
        def of(trial: Trial) -> int | None:
            found = _find(trial, name)
            value = figure(found) if found else None
            return _minus(value, _baseline(trial)) if beyond else value

        return None if beyond and name in _BEFORE_MODEL else _over(trials, of)

    return PhaseMemory(
        phase=name,
        rss_bytes=over(lambda phase: phase.rss_bytes),
        peak_rss_bytes=over(_highest),
        anon_bytes=over(lambda phase: phase.anon_bytes),
        file_bytes=over(lambda phase: phase.file_bytes),
        model_rss_bytes=over(lambda phase: phase.rss_bytes, beyond=True),
        model_peak_bytes=over(_highest, beyond=True),
    )


def _find(trial: Trial, name: str) -> MemoryPhase | None:
    return next((phase for phase in trial.memory if phase.phase == name), None)


def _highest(phase: MemoryPhase) -> int | None:
    """The peak; the kernel counts it in batches, so that it may lie a little below the size at the end."""
    return max((size for size in (phase.peak_rss_bytes, phase.rss_bytes) if size is not None), default=None)


def peak_bytes(trial: Trial) -> int | None:
    """Highest resident memory of one process from the loading of the model on; None where it could not be read."""
    phases = [phase for phase in trial.memory if phase.phase not in _BEFORE_MODEL]
    return max((size for phase in phases if (size := _highest(phase)) is not None), default=None)


def _baseline(trial: Trial) -> int | None:
    phase = _find(trial, BASELINE_PHASE)
    return phase.rss_bytes if phase else None


def _grown(trial: Trial, name: str) -> int | None:
    """What a kind of memory has grown by from the baseline to the steady state; it may be negative."""
    first, last = _find(trial, BASELINE_PHASE), _find(trial, _LAST)
    return _minus(getattr(last, name), getattr(first, name)) if first and last else None


def _minus(value: int | None, other: int | None) -> int | None:
    return None if value is None or other is None else value - other


def _over(trials: Sequence[Trial], figure: Callable[[Trial], int | None]) -> int | None:
    """Median over the processes that have the figure."""
    middle = statistics.median_of([found for trial in trials if (found := figure(trial)) is not None])
    return None if middle is None else round(middle)
