"""Statistics over raw samples: pure functions that know nothing of boards.

A process is the unit of replication: iterations describe only the process they ran in. So every figure is taken per
process first, and the processes are what is resampled, compared and counted.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Smallest number of samples from which a percentile can be bounded with 99 % confidence, one sample allowed beyond
# the bound: the early-stopping rule of MLPerf's load generator (its own constant for p99 is 662).
SAMPLES_NEEDED = {50: 11, 90: 64, 95: 130, 99: 662}

CONFIDENCE_OF_BOUND = 0.99

# A modified z-score beyond this is an outlier, as in hyperfine (10 times the normal distribution's MAD factor).
OUTLIER_Z = 14.8
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure, or why there is none.

    Attributes:
        value: None where it cannot be had honestly.
        upper: one-sided upper bound with 99 % confidence; None where there is none.
        missing: why there is no value; else empty.
    """

    value: float | None
    upper: float | None = None
    missing: str = ""


def process_medians(series: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The median of each process that has samples, in the order of the processes."""
    return tuple(float(statistics.median(samples)) for samples in series if samples)


def median_of(values: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return float(statistics.median(values)) if values else None


def bootstrap_interval(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float] | None:
    """Percentile-bootstrap interval of the median (Efron 1979) of process figures.

    Args:
        values: one figure per process.
        confidence: coverage asked for.
        resamples: how many times the processes are drawn with replacement.
        seed: the same values and seed give the same interval.

    Returns:
        Lower and upper bound; None for fewer than two processes, which show no spread.
    """
    if len(values) < 2:
        return None
    import numpy

    drawn = numpy.random.default_rng(seed).choice(numpy.asarray(values, float), (resamples, len(values)))
    tail = (1 - confidence) / 2
    low, high = numpy.quantile(numpy.median(drawn, axis=1), (tail, 1 - tail))
    return float(low), float(high)


def percentile(series: Sequence[Sequence[float]], percent: int) -> Estimate:
    """The median over processes of each process's percentile (nearest rank), and of its upper bound.

    Every process must have enough samples of its own: iterations of different processes are not interchangeable, and
    pooling them would let one slow process pass for everyone's tail.

    Args:
        series: the iterations of each process.
        percent: 50, 90, 95 or 99.
    """
    needed = SAMPLES_NEEDED[percent]
    fewest = min((len(samples) for samples in series), default=0)
    if fewest < needed:
        return Estimate(value=None, missing=f"needs {needed} iterations in each process, the fewest was {fewest}")
    ordered = [sorted(samples) for samples in series]
    ranks = [samples[math.ceil(percent * len(samples) / 100) - 1] for samples in ordered]
    bounds = [samples[-1 - beyond_bound(len(samples), percent)] for samples in ordered]
    return Estimate(value=median_of(ranks), upper=median_of(bounds))


@functools.lru_cache(maxsize=256)
def beyond_bound(count: int, percent: int) -> int:
    """How many of ``count`` samples may lie beyond a value that bounds the percentile from above; -1: none bounds it.

    The early-stopping rule of MLPerf's load generator with tolerance 0: were the percentile above that value, more
    samples than the percentile allows would lie beyond, and so few of them would be seen in at most 1 of 100 runs.
    """
    import numpy

    share = 1 - percent / 100
    seen = numpy.arange(math.ceil(count * share) + 1)
    ratios = numpy.log((count - seen[:-1]) / (seen[:-1] + 1)) + math.log(share / (1 - share))
    log_mass = count * math.log(1 - share) + numpy.concatenate(([0.0], numpy.cumsum(ratios)))
    log_total = numpy.logaddexp.accumulate(log_mass)  # the binomial distribution's cumulative probability
    return int(numpy.count_nonzero(log_total <= math.log(1 - CONFIDENCE_OF_BOUND))) - 1


def coefficient_of_variation(values: Sequence[float]) -> float | None:
    """Sample standard deviation over mean; None for fewer than two values."""
    if len(values) < 2 or not (mean := statistics.fmean(values)):
        return None
    return statistics.stdev(values) / mean


def half_width(interval: tuple[float, float] | None, center: float | None) -> float | None:
    """The longer arm of an interval, as a fraction of its centre."""
    if interval is None or not center:
        return None
    return max(center - interval[0], interval[1] - center) / center


def outliers(values: Sequence[float]) -> tuple[int, ...]:
    """Indices of values whose modified z-score is beyond 14.8 (Iglewicz and Hoaglin 1993).

    The scale never falls below 0.1 % of the median: a clock's resolution can make all deviations but one zero.
    """
    if len(values) < 5:  # of three values one is always odd
        return ()
    center = statistics.median(values)
    spread = statistics.median(abs(value - center) for value in values)
    scale = max(_MAD_TO_SIGMA * spread, abs(center) * 1e-3)
    return tuple(i for i, value in enumerate(values) if scale and abs(value - center) / scale > OUTLIER_Z)


def drift(samples: Sequence[float]) -> float | None:
    """Median of the last fifth over median of the first fifth, minus 1; None for fewer than five values."""
    fifth = len(samples) // 5
    if not fifth or not (first := statistics.median(samples[:fifth])):
        return None
    return float(statistics.median(samples[-fifth:]) / first) - 1


def drift_within(series: Sequence[Sequence[float]]) -> float | None:
    """The median over processes of each process's own drift: a warm-up that has not ended, or heat."""
    return median_of([found for samples in series if (found := drift(samples)) is not None])
