"""Where a series of stored measurements changed its level: a test for results that were never run as pairs."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

#: fewest process medians a side (google/benchmark's rule), and asv's level of significance
LEAST_A_SIDE = 9
SIGNIFICANCE = 0.002
#: a smaller step is nobody's business, even where it is real
LEAST_STEP = 0.02
_MAD_TO_SIGMA = 1.4826
_ERRORS = 5.0  # so many standard errors of what sessions differ by anyhow
_ASSUMED = 0.01  # what sessions differ by where there are too few to tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change of level.

    Attributes:
        at: the first series after it.
        ratio: level after over level before; above 1 is slower.
        p: of the two-sided Mann-Whitney test over process medians, times the places that were tried.
        before, after: process medians a side.
    """

    at: int
    ratio: float
    p: float
    before: int
    after: int


def steps(series: Sequence[Sequence[float]]) -> tuple[Step, ...]:
    """The changes of level in a row of sessions, oldest first.

    A step counts where all of this holds: at least nine process medians lie on each side; Mann-Whitney's p, times the
    number of places, is below 0.002; the levels differ by more than 2 %, and by more than five standard errors of
    what neighbouring sessions differ by. The last one is there because a session's processes share its weather:
    processes of two sessions differ even where nothing changed.

    Source of the search: Kovács et al., Seeded binary segmentation, Biometrika 2023: stretches of many lengths are
    looked at, so that a rise and the fall after it do not hide each other.

    Args:
        series: the process medians of each session, in order of time.
    """
    places: list[int] = []
    _split(series, 0, len(series), _scatter(series), places)
    bounds = [0, *sorted(places), len(series)]
    judged = [_judged(series, *three, 1, _scatter(series)) for three in zip(bounds, bounds[1:], bounds[2:])]
    return tuple(step for step in judged if step is not None)


def step_at(series: Sequence[Sequence[float]], at: int) -> Step | None:
    """The step before session ``at``, if there is one by the rule of :func:`steps`."""
    return _judged(series, 0, at, len(series), 1, _scatter(series))


def _split(series: Sequence[Sequence[float]], begin: int, end: int, scatter: float, found: list[int]) -> None:
    """Adds the clearest step between two sessions, then those on its two sides."""
    steps = [
        step
        for low, high in _stretches(begin, end)
        for at in range(low + 1, high)
        if (step := _judged(series, low, at, high, end - begin - 1, scatter)) is not None
    ]
    if steps:
        best = min(steps, key=lambda step: (step.p, -abs(math.log(step.ratio))))
        found.append(best.at)
        _split(series, begin, best.at, scatter, found)
        _split(series, best.at, end, scatter, found)


def _stretches(begin: int, end: int) -> list[tuple[int, int]]:
    """The whole, and overlapping halves of it, and halves of those, down to two sessions."""
    found, length = [(begin, end)], (end - begin + 1) // 2
    while length >= 2:
        stride = max(1, length // 2)
        found += [(low, min(low + length, end)) for low in range(begin, end - 1, stride)]
        length = (length + 1) // 2 if length > 2 else 0
    return [(low, high) for low, high in dict.fromkeys(found) if high - low >= 2]


def _judged(series: Sequence[Sequence[float]], low: int, at: int, high: int, tried: int, scatter: float) -> Step | None:
    one, other = series[low:at], series[at:high]
    before, after = _joined(one), _joined(other)
    if min(len(before), len(after)) < LEAST_A_SIDE:
        return None
    ratio = _level(other) / _level(one)
    least = max(math.log1p(LEAST_STEP), _ERRORS * scatter * math.sqrt(1 / len(one) + 1 / len(other)))
    if abs(math.log(ratio)) <= least:
        return None
    p = min(1.0, mann_whitney(before, after) * tried)
    return Step(at=at, ratio=ratio, p=p, before=len(before), after=len(after)) if p < SIGNIFICANCE else None


def _joined(series: Sequence[Sequence[float]]) -> list[float]:
    return [value for session in series for value in session]


def _level(series: Sequence[Sequence[float]]) -> float:
    return statistics.median(statistics.median(session) for session in series)


def _scatter(series: Sequence[Sequence[float]]) -> float:
    """By how much sessions of one level differ, as a standard deviation of logarithms.

    From neighbours, so that a few changes of level do not count. Fewer than four sessions cannot tell: 1 % is assumed.
    """
    logs = [math.log(statistics.median(session)) for session in series]
    if len(logs) < 4:
        return _ASSUMED
    apart = [abs(after - before) for before, after in itertools.pairwise(logs)]
    return _MAD_TO_SIGMA * statistics.median(apart) / math.sqrt(2)


def mann_whitney(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sided p of the Mann-Whitney U test; normal approximation with corrections for ties and continuity.

    Good from about nine values a side on. Source: Mann & Whitney 1947; Lehmann, Nonparametrics, 1.3.
    """
    first, second = len(one), len(other)
    total = first + second
    ranked = sorted((value, side) for side, values in enumerate((one, other)) for value in values)
    rank_sum, ties, place = 0.0, 0.0, 0
    while place < total:
        end = place
        while end < total and ranked[end][0] == ranked[place][0]:
            end += 1
        alike = end - place
        rank_sum += (place + end + 1) / 2 * sum(side == 0 for _, side in ranked[place:end])
        ties += alike**3 - alike
        place = end
    u = rank_sum - first * (first + 1) / 2
    variance = first * second / 12 * (total + 1 - ties / (total * (total - 1))) if total > 1 else 0.0
    if variance <= 0:
        return 1.0
    z = max(0.0, abs(u - first * second / 2) - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))
