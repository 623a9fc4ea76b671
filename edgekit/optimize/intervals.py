"""95 % confidence intervals of scores and of their differences, from one value per evaluation row.

Counts (right or wrong): Wilson 1927 for one model, Agresti and Min 2005 for two models on the same rows. Other values:
percentile bootstrap over the rows with a fixed seed.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy

from edgekit.data.block import Array

_Z = NormalDist().inv_cdf(0.975)
_RESAMPLES = 2000
_VALUES_AT_ONCE = 1 << 22


def of_mean(rows: Array) -> tuple[float, float]:
    """Of the mean of ``rows``, float [rows]."""
    if _are_counts(rows):
        return wilson(int(rows.sum()), len(rows))
    return _bootstrap(rows)


def of_difference(before: Array, after: Array) -> tuple[float, float]:
    """Of the mean of ``before - after``: values of two models for the same rows, float [rows] each."""
    if not (_are_counts(before) and _are_counts(after)):
        return _bootstrap(before.astype(numpy.float64) - after)
    count = len(before) + 2  # the adjustment: half a row in each of the four cells
    lost = int(((before == 1) & (after == 0)).sum()) + 0.5
    won = int(((before == 0) & (after == 1)).sum()) + 0.5
    middle = (lost - won) / count
    half = _Z * math.sqrt(lost + won - (lost - won) ** 2 / count) / count
    return max(-1.0, middle - half), min(1.0, middle + half)


def wilson(right: int, count: int) -> tuple[float, float]:
    """Of the fraction ``right / count``; ``count`` at least 1."""
    share, squared = right / count, _Z * _Z
    middle = (share + squared / (2 * count)) / (1 + squared / count)
    half = _Z / (1 + squared / count) * math.sqrt(share * (1 - share) / count + squared / (4 * count * count))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (0.0 if right == 0 else low, 1.0 if right == count else high)


def _are_counts(rows: Array) -> bool:
    return bool(numpy.isin(rows, (0, 1)).all())


def _bootstrap(rows: Array) -> tuple[float, float]:
    random = numpy.random.default_rng(0)
    values = rows.astype(numpy.float64)
    at_once = max(1, _VALUES_AT_ONCE // len(values))
    means: list[Array] = []
    for begin in range(0, _RESAMPLES, at_once):
        shape = (min(at_once, _RESAMPLES - begin), len(values))
        means.append(values[random.integers(len(values), size=shape)].mean(axis=1))
    low, high = numpy.quantile(numpy.concatenate(means), (0.025, 0.975))
    return float(low), float(high)
