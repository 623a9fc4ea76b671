"""Confidence intervals of scores: published values, and how often they hold what they should."""

from __future__ import annotations

import numpy
import pytest

from edgekit.optimize import intervals


def test_wilson_gives_the_published_intervals():
    # Newcombe 1998, table I, method 3 (score): 81/263, 15/148, 0/20, 1/29
    assert intervals.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert intervals.wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert intervals.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert intervals.wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_a_perfect_score_still_has_room_below():
    low, high = intervals.of_mean(numpy.ones(500))
    assert high == 1.0
    assert 0.99 < low < 0.995


def test_the_interval_of_a_mean_that_is_no_count_comes_from_the_rows():
    rows = numpy.random.default_rng(1).normal(2.0, 1.0, 400).astype(numpy.float32)
    low, high = intervals.of_mean(rows)
    assert low < rows.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_two_tenths_of_a_point_on_500_rows_is_noise():
    before = numpy.ones(500)
    before[:10] = 0
    after = before.copy()
    after[10] = 0  # one row more is wrong
    low, high = intervals.of_difference(before, after)
    assert low < 0 < 1 / 500 < high


def test_the_same_rows_make_the_interval_of_a_difference_narrow():
    random = numpy.random.default_rng(2)
    before = (random.random(2000) < 0.8).astype(float)
    after = before.copy()
    after[random.choice(numpy.flatnonzero(before), 30, replace=False)] = 0
    low, high = intervals.of_difference(before, after)
    assert 0 < low < 0.015 < high
    assert high - low < intervals.of_mean(after)[1] - intervals.of_mean(after)[0]


@pytest.mark.parametrize("values", ["counts", "losses"])
def test_the_interval_of_a_difference_holds_the_truth_as_often_as_it_says(values):
    random, held = numpy.random.default_rng(3), 0
    for _ in range(400):
        if values == "counts":  # both right 88 %, only the first 5 %, only the second 3 %
            cell = random.choice(4, 300, p=[0.88, 0.05, 0.03, 0.04])
            before, after, truth = numpy.isin(cell, (0, 1)) * 1.0, numpy.isin(cell, (0, 2)) * 1.0, 0.02
        else:
            shared = random.gamma(2.0, 1.0, 120)
            before, after, truth = shared, shared + random.normal(0.1, 0.5, 120), -0.1
        low, high = intervals.of_difference(before, after)
        held += low <= truth <= high
    assert 0.91 <= held / 400 <= 0.985
