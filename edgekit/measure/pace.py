"""The board's pace while processes measured: which of their iterations had cores that nothing else slowed down.

A neighbour on the other half of a core, on a shared cache or behind a hypervisor, and throttling that no sensor tells
of, slow a model by a third and show in no counter. They slow a fixed piece of work as well, which the runner does every
50 ms between two iterations. What it says does not depend on which model is measured, so leaving out what it calls
disturbed favours neither side of a comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from edgekit.measure import paired, statistics
from edgekit.runner.protocol import Trial

#: the fixed work takes so many times as long as undisturbed: then something slows the cores down
DISTURBED = 1.15
#: a process with fewer undisturbed iterations has no median of them
_FEWEST = 8
#: part of all probes that is as quick as the board is when nothing disturbs it
_BEST = 0.05


def undisturbed_ns(trials: Sequence[Trial]) -> float | None:
    """What the fixed work takes where nothing slows it down; None where a process does not tell its pace."""
    if not trials or not all(trial.pace_ns for trial in trials):
        return None
    probes = sorted(spent for trial in trials for spent in trial.pace_ns)
    return float(probes[int(_BEST * len(probes))])


def calm_iterations(trial: Trial, best_ns: float) -> Sequence[int]:
    """The iterations, in ns, that lie between two probes neither of which was slow.

    Args:
        trial: with its pace.
        best_ns: see :func:`undisturbed_ns`.
    """
    most = DISTURBED * best_ns
    found: list[int] = []
    for (start, before), (end, after) in pairwise(zip(trial.pace_at, trial.pace_ns, strict=True)):
        if before <= most and after <= most:
            found += trial.latency_ns[start:end]
    return found


def calm_medians(*sides: Sequence[Trial]) -> tuple[tuple[float | None, ...], ...] | None:
    """The median of each process's undisturbed iterations, by one measure for all sides.

    Returns:
        Per side, per process; None for a process with too few such iterations. None in all: the pace is not known.
    """
    best = undisturbed_ns([trial for side in sides for trial in side])
    if best is None:
        return None
    return tuple(tuple(_median(calm_iterations(trial, best)) for trial in side) for side in sides)


def calm_log_ratios(baseline: Sequence[Trial], candidate: Sequence[Trial]) -> tuple[float, ...] | None:
    """ln(candidate / baseline) of each pair whose processes both have undisturbed iterations; None: pace not known."""
    medians = calm_medians(baseline, candidate)
    if medians is None:
        return None
    known = [(one, other) for one, other in zip(*medians, strict=True) if one and other]
    return paired.log_ratios([one for one, _ in known], [other for _, other in known])


def log_ratios(baseline: Sequence[Trial], candidate: Sequence[Trial]) -> tuple[float, ...]:
    """ln(candidate / baseline) of the pairs: of undisturbed iterations where that leaves pairs enough, else of all."""
    whole = paired.log_ratios(
        *([statistics.median_of(one.latency_ns) or 0.0 for one in s] for s in (baseline, candidate))
    )
    calm = calm_log_ratios(baseline, candidate)
    return calm if calm is not None and len(calm) >= min(paired.LOOKS[0], len(whole)) else whole


def medians(trials: Sequence[Trial]) -> tuple[float, ...]:
    """The median of each process: of undisturbed iterations where processes enough have them, else of all."""
    whole = statistics.process_medians([trial.latency_ns for trial in trials])
    calm = calm_medians(trials)
    known = tuple(value for value in calm[0] if value) if calm else ()
    return known if len(known) >= min(2 * paired.LOOKS[0], len(whole)) else whole


def disturbed_share(trials: Sequence[Trial]) -> float | None:
    """Part of all iterations that is not undisturbed, 0..1; None where the pace is not known."""
    best = undisturbed_ns(trials)
    if best is None:
        return None
    calm = sum(len(calm_iterations(trial, best)) for trial in trials)
    return 1 - calm / max(1, sum(len(trial.latency_ns) for trial in trials))


def slowed(trials: Sequence[Trial]) -> Iterator[tuple[int, float]]:
    """Processes that were slowed down for most of their time: index, and how many times as long the fixed work took."""
    best = undisturbed_ns(trials)
    for index, trial in enumerate(trials):
        middle = statistics.median_of(trial.pace_ns)
        if best and middle is not None and middle > DISTURBED * best:
            yield index, middle / best


def _median(values: Sequence[int]) -> float | None:
    return statistics.median_of(values) if len(values) >= _FEWEST else None
