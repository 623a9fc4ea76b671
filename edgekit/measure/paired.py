"""The ratio of two models from pairs of processes: its estimate, an interval that stands being looked at, a decision.

The interval belongs to a signed-rank test (Wilcoxon 1945) whose ranks stop counting at 0.3 of the pairs, so that a pair
that met a neighbour's burst weighs as much as any other, and not more. It is exact for any spread that is even about
its middle; drawing the order by lot makes it even. The percentile bootstrap of the median is not used, because pairs
are few and are looked at up to three times, after 10, 15 and 20: simulated (``tools/bench_compare.py intervals``), its
"95 %" hold the truth in 91 to 94 % of cases at one look and in 87 % where it is looked at until it decides. Here one
look has 97.6 %, which leaves 95 % over all three. Where pairs differ wildly, it is no longer the margin that keeps
chance from deciding: then one look has 99.6 %.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Literal

Decision = Literal["faster", "slower", "equivalent", "inconclusive"]

#: pairs after which it may be decided
LOOKS = (10, 15, 20)
#: fewer pairs cannot have an interval, whatever they show
FEWEST = 7
#: chance, at one look, that the truth lies beyond one given end of the interval
_ERROR = 0.012
_WILD_ERROR = 0.002
#: pairs differ wildly from this spread of their log ratios on, as a standard deviation
WILD = 0.05
_RANKS = 0.3
#: what the interval leaves to chance over all looks, both ends together
_BOTH_ENDS = 0.05
_MAD_TO_SIGMA = 1.4826


def log_ratios(baseline: Sequence[float], candidate: Sequence[float]) -> tuple[float, ...]:
    """ln(candidate / baseline) of each pair."""
    return tuple(math.log(b / a) for a, b in zip(baseline, candidate, strict=True) if a > 0 and b > 0)


def ratio(values: Sequence[float]) -> float | None:
    """The median ratio candidate / baseline of log ratios; None of nothing."""
    return math.exp(statistics.median(values)) if values else None


def spread(values: Sequence[float]) -> float | None:
    """How much the pairs differ: standard deviation of their log ratios, from the median of the deviations."""
    if len(values) < 2:
        return None
    middle = statistics.median(values)
    return _MAD_TO_SIGMA * statistics.median(abs(value - middle) for value in values)


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the ratio candidate / baseline, also where it is looked at after each of :data:`LOOKS`.

    Args:
        values: log ratios of pairs.

    Returns:
        Lower and upper bound; None for too few pairs to have any.
    """
    wild = (spread(values) or 0.0) > WILD
    limit = _limit(len(values), _WILD_ERROR if wild else _ERROR)
    if limit is None:
        return None
    low, high = _lowest(values, limit), -_lowest([-value for value in values], limit)
    return math.exp(low), math.exp(high)


def decide(bounds: tuple[float, float] | None, margin: float) -> Decision:
    """What an interval of the ratio says.

    Args:
        bounds: of the ratio candidate / baseline.
        margin: 0.02: slower lies above 1.02, faster below 0.98. The two are not mirror images: a model that is slower
            by 2.02 % makes the other one faster by 1.98 %. Turning two models round may so change the word within
            0.04 percentage points of the margin, and never from faster to slower.
    """
    if bounds is None:
        return "inconclusive"
    low, high = bounds
    if low > 1 + margin:
        return "slower"
    if high < 1 - margin:
        return "faster"
    if 1 - margin <= low and high <= 1 + margin:
        return "equivalent"
    return "inconclusive"


def chance_of_slower(values: Sequence[float], ratio: float) -> float | None:
    """How likely such pairs are where the candidate takes at most ``ratio`` times as long as the baseline.

    The test that :func:`interval` belongs to, at one ratio: its lower bound lies above ``ratio`` where this is 0.025 or
    less. It counts the looks in, and pairs that differ wildly.

    Args:
        values: log ratios of pairs.
        ratio: candidate / baseline, more than 0.

    Returns:
        0..1; None for too few pairs to have an interval.
    """
    error = _WILD_ERROR if (spread(values) or 0.0) > WILD else _ERROR
    if _limit(len(values), error) is None:
        return None
    below = _ranks_below(values, math.log(ratio))
    return min(1.0, _chance(len(values))[below] * _BOTH_ENDS / 2 / error)


def _lowest(values: Sequence[float], limit: int) -> float:
    """The lowest middle that the test does not reject; what lies below has a rank sum of at most ``limit``."""
    # the rank sum only changes at a value, or half-way between two
    steps = sorted({(one + other) / 2 for one, other in itertools.combinations_with_replacement(values, 2)})
    rejected, kept = 0, len(steps) - 1  # the answer is one of steps[rejected : kept + 1]
    while rejected < kept:
        between = (rejected + kept) // 2
        if _ranks_below(values, (steps[between] + steps[between + 1]) / 2) <= limit:
            rejected = between + 1
        else:
            kept = between
    return steps[rejected]


def _ranks_below(values: Sequence[float], middle: float) -> int:
    """Sum of the ranks of the values below ``middle``, by their distance from it; ranks stop counting at some point."""
    most = _most(len(values))
    apart = sorted((value - middle for value in values), key=abs)
    return sum(min(rank, most) for rank, value in enumerate(apart, 1) if value < 0)


def _most(count: int) -> int:
    return max(1, math.ceil(_RANKS * count))


@functools.cache
def _limit(count: int, error: float) -> int | None:
    """Largest rank sum that chance stays at or below with a probability of at most ``error``; None: there is none."""
    return max((total for total, chance in enumerate(_chance(count)) if chance <= error), default=None)


@functools.cache
def _chance(count: int) -> tuple[float, ...]:
    """Rank sum → the probability that chance stays at or below it.

    Each of the ranks is below the middle or above it with the same probability: all 2**count ways are counted.
    """
    ways = [1]
    for rank in range(1, count + 1):
        step = min(rank, _most(count))
        ways = [one + other for one, other in zip([*ways, *[0] * step], [*[0] * step, *ways], strict=True)]
    return tuple(below / 2**count for below in itertools.accumulate(ways))
