"""Statistics against known values, against scipy, and against data in which nothing is to be found."""

from __future__ import annotations

import math

import numpy
import pytest

from edgekit.measure import statistics


def test_the_headline_is_the_median_of_the_processes_medians() -> None:
    series = [[1, 2, 900], [4, 4, 4], [3, 3, 5000]]
    assert statistics.process_medians(series) == (2.0, 4.0, 3.0)
    assert statistics.median_of(statistics.process_medians(series)) == 3.0


def test_a_process_without_samples_has_no_median() -> None:
    assert statistics.process_medians([[], [7]]) == (7.0,)
    assert statistics.median_of([]) is None


def test_the_interval_is_the_same_every_time_and_holds_the_median() -> None:
    values = [10.0, 10.2, 9.9, 10.1, 10.4, 9.8, 10.0, 10.3, 10.1, 9.9]
    first = statistics.bootstrap_interval(values)
    assert first is not None
    assert first == statistics.bootstrap_interval(values)
    assert first[0] <= 10.05 <= first[1]


def test_the_interval_agrees_with_scipy() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    values = numpy.random.default_rng(3).lognormal(0, 0.02, 11) * 1e6
    ours = statistics.bootstrap_interval(values.tolist())
    theirs = scipy_stats.bootstrap((values,), numpy.median, method="percentile", n_resamples=10_000, rng=1)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), rel=0.002)


def test_one_process_has_no_interval() -> None:
    assert statistics.bootstrap_interval([5.0]) is None


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = numpy.random.default_rng(5)
    hits = 0
    for seed in range(200):
        low, high = statistics.bootstrap_interval(generator.normal(100, 1, 10).tolist(), resamples=800, seed=seed) or (
            0,
            0,
        )
        hits += low <= 100 <= high
    assert 0.88 <= hits / 200 <= 1.0


@pytest.mark.parametrize("percent", [50, 90, 95, 99])
def test_the_samples_needed_are_those_of_the_99_percent_rule(percent: int) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    needed = statistics.SAMPLES_NEEDED[percent]
    beyond = 1 - percent / 100
    assert scipy_stats.binom.cdf(1, needed, beyond) <= 0.01
    assert scipy_stats.binom.cdf(1, needed - 1, beyond) > 0.01


def test_a_percentile_is_a_sample_that_was_measured() -> None:
    series = [list(range(1, 101)), list(range(1, 101)), list(range(101, 201))]
    assert statistics.percentile(series, 90) == statistics.Estimate(value=90.0, upper=97.0)


def test_too_few_iterations_give_no_percentile_but_the_number_that_is_needed() -> None:
    found = statistics.percentile([[1.0] * 661, [1.0] * 5000], 99)
    assert found.value is None
    assert found.missing == "needs 662 iterations in each process, the fewest was 661"


def test_no_processes_give_no_percentile() -> None:
    assert statistics.percentile([], 90).value is None


def test_the_coefficient_of_variation_is_that_of_the_sample() -> None:
    values = [9.0, 10.0, 11.0]
    assert statistics.coefficient_of_variation(values) == pytest.approx(0.1)
    assert statistics.coefficient_of_variation([3.0]) is None


def test_an_outlier_is_found_and_a_scatter_is_not() -> None:
    calm = [100.0, 101.0, 99.0, 100.5, 99.5, 100.2]
    assert statistics.outliers(calm) == ()
    assert statistics.outliers([*calm, 180.0]) == (6,)
    assert statistics.outliers([100.0, 100.1, 180.0]) == ()


def test_equal_processes_and_one_that_differs_by_the_clocks_resolution_are_no_outliers() -> None:
    assert statistics.outliers([1000.0] * 9 + [1001.0]) == ()
    assert statistics.outliers([1000.0] * 9 + [1100.0]) == (9,)


def test_drift_compares_the_last_fifth_with_the_first() -> None:
    assert statistics.drift([100.0] * 40 + [110.0] * 10) == pytest.approx(0.1)
    assert statistics.drift([100.0] * 50) == 0.0
    assert statistics.drift([1.0, 2.0]) is None


def test_spikes_are_not_drift() -> None:
    series = [100.0] * 200
    series[150] = series[190] = 9000.0
    assert statistics.drift(series) == 0.0


def exactly(count: int, percent: int) -> int:
    """By counting: the largest number whose cumulative binomial probability is at most 1 %, or -1."""
    share, total = 1 - percent / 100, 0.0
    for seen in range(count + 1):
        total += math.comb(count, seen) * share**seen * (1 - share) ** (count - seen)
        if total > 0.01:
            return seen - 1
    return count


@pytest.mark.parametrize("percent", [50, 90, 95, 99])
def test_the_bound_of_a_percentile_is_that_of_the_binomial_distribution(percent: int) -> None:
    counts = [*range(10, 140, 7), 661, 662, 900]
    assert [statistics.beyond_bound(n, percent) for n in counts] == [exactly(n, percent) for n in counts]


@pytest.mark.parametrize("percent", [90, 95, 99])
def test_the_bound_lies_above_the_true_percentile_in_99_of_100_runs(percent: int) -> None:
    drawn = numpy.random.default_rng(5).exponential(1.0, (2000, 700))
    truth = -math.log(1 - percent / 100)
    covered = [statistics.percentile([row], percent).upper >= truth for row in drawn.tolist()]
    assert sum(covered) / len(covered) >= 0.985
    assert sum(row[-1] >= truth for row in numpy.sort(drawn, axis=1)) > sum(covered)  # it is not just the highest
