"""Where a series of stored measurements changed its level: a test for results that were never run as pairs."""

from __future__ import annotations

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
_SIGMAS = 3.0


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
    """The changes of level in a row of sessions, oldest first (binary segmentation).

    A step counts where all of this holds: at least nine process medians lie on each side; Mann-Whitney's p, times the
    number of places tried, is below 0.002; the levels differ by more than 2 %, and by more than three times what the
    sessions of one side differ among each other. The last one is there because a session's processes share its
    weather: processes of two sessions differ even where nothing changed.

    Args:
        series: the process medians of each session, in order of time.
    """
    found: list[Step] = []
    _split(series, 0, found)
    return tuple(sorted(found, key=lambda step: step.at))


def _split(series: Sequence[Sequence[float]], offset: int, found: list[Step]) -> None:
    step = _clearest(series)
    if step is None:
        return
    found.append(Step(at=step.at + offset, ratio=step.ratio, p=step.p, before=step.before, after=step.after))
    _split(series[: step.at], offset, found)
    _split(series[step.at :], offset + step.at, found)


def _clearest(series: Sequence[Sequence[float]]) -> Step | None:
    """The most significant step of a row, if it has one."""
    places = [at for at in range(1, len(series)) if _enough(series, at)]
    if not places:
        return None
    ps = {at: mann_whitney(_joined(series[:at]), _joined(series[at:])) for at in places}
    best = min(places, key=lambda at: (ps[at], -abs(math.log(_ratio(series, at)))))
    return step_at(series, best, tried=len(places))


def step_at(series: Sequence[Sequence[float]], at: int, *, tried: int = 1) -> Step | None:
    """The step before session ``at``, if there is one; see :func:`steps`.

    Args:
        series: the process medians of each session, in order of time.
        at: the first session after the step.
        tried: how many places were looked at before this one was chosen.
    """
    if not _enough(series, at):
        return None
    before, after = _joined(series[:at]), _joined(series[at:])
    p = min(1.0, mann_whitney(before, after) * tried)
    ratio = _ratio(series, at)
    within = max(_scatter(series[:at]), _scatter(series[at:]))
    if p >= SIGNIFICANCE or abs(math.log(ratio)) <= max(math.log1p(LEAST_STEP), _SIGMAS * within):
        return None
    return Step(at=at, ratio=ratio, p=p, before=len(before), after=len(after))


def _enough(series: Sequence[Sequence[float]], at: int) -> bool:
    return min(len(_joined(series[:at])), len(_joined(series[at:]))) >= LEAST_A_SIDE


def _ratio(series: Sequence[Sequence[float]], at: int) -> float:
    return _level(series[at:]) / _level(series[:at])


def _joined(series: Sequence[Sequence[float]]) -> list[float]:
    return [value for session in series for value in session]


def _level(series: Sequence[Sequence[float]]) -> float:
    return statistics.median(statistics.median(session) for session in series if session)


def _scatter(series: Sequence[Sequence[float]]) -> float:
    """How far sessions of one level lie apart, as a standard deviation of logarithms (by the MAD)."""
    logs = [math.log(statistics.median(session)) for session in series if session]
    if len(logs) < 3:
        return 0.0
    middle = statistics.median(logs)
    return _MAD_TO_SIGMA * statistics.median(abs(value - middle) for value in logs)


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
