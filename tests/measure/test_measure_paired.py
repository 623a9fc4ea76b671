"""The interval of paired ratios: what it promises, checked by counting and by simulation."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy
import pytest

from edgekit.measure import paired

MARGIN = 0.02


def drawn(count: int, *, spread: float = 0.009, effect: float = 0.0, seed: int = 0) -> list[float]:
    """Log ratios of so many pairs around a true effect."""
    shift = math.log1p(effect)
    return [float(value) + shift for value in numpy.random.default_rng(seed).normal(0, spread, count)]


def looked_at(values: list[float]) -> str:
    """The word of a comparison that may end after 10, 15 and 20 pairs."""
    words = [paired.decide(paired.interval(values[:look]), MARGIN) for look in paired.LOOKS]
    return next((word for word in words if word != "inconclusive"), "inconclusive")


@pytest.mark.parametrize("count", [7, 8, 10, 12])
def test_an_interval_misses_the_middle_on_one_side_in_at_most_12_of_1000_of_all_ways_to_scatter(count: int) -> None:
    sizes = [0.01 * 1.37**index for index in range(count)]  # all distances apart, so that ranks are clear
    above = 0
    for signs in itertools.product((-1, 1), repeat=count):
        bounds = paired.interval([0.2 * sign * size for sign, size in zip(signs, sizes, strict=True)])
        if bounds is not None:  # wild ones may have none
            above += bounds[0] > 1
    assert 0 < above <= 0.012 * 2**count


def test_the_median_lies_within_the_interval() -> None:
    for seed in range(200):
        values = drawn(7 + seed % 14, seed=seed)
        bounds, middle = paired.interval(values), paired.ratio(values)
        assert bounds is not None
        assert middle is not None
        assert bounds[0] <= middle <= bounds[1]
        assert middle == pytest.approx(math.exp(statistics.median(values)))


def test_turning_the_sides_round_turns_the_interval_round() -> None:
    values = drawn(15, effect=0.05)
    forth, back = paired.interval(values), paired.interval([-value for value in values])
    assert forth is not None
    assert back is not None
    assert back == pytest.approx((1 / forth[1], 1 / forth[0]))


def test_one_pair_that_met_a_burst_costs_little() -> None:
    values = drawn(10, seed=5)
    calm = paired.interval(values)
    hit = paired.interval([*values[:-1], 0.7])
    assert calm is not None
    assert hit is not None
    assert hit[1] - hit[0] < 1.5 * (max(map(math.exp, values)) - min(map(math.exp, values)))
    assert paired.decide(paired.interval([*(value + 0.06 for value in values[:-1]), -0.7]), MARGIN) == "slower"


def test_too_few_pairs_have_no_interval_and_decide_nothing() -> None:
    assert paired.interval([0.5] * (paired.FEWEST - 1)) is None
    assert paired.interval([]) is None
    assert paired.decide(None, MARGIN) == "inconclusive"
    assert paired.interval([0.5] * paired.FEWEST) == pytest.approx((math.exp(0.5), math.exp(0.5)))


def test_pairs_that_differ_wildly_must_agree_better() -> None:
    values = drawn(10, spread=0.2, seed=3)
    calm = [value / 100 for value in values]
    wild, close = paired.interval(values), paired.interval(calm)
    assert wild is not None
    assert close is not None
    assert math.log(wild[0]) < 100 * math.log(close[0])
    assert math.log(wild[1]) >= 100 * math.log(close[1])


@pytest.mark.parametrize(
    ("bounds", "word"),
    [
        ((1.021, 1.05), "slower"),
        ((1.019, 1.05), "inconclusive"),
        ((0.95, 0.979), "faster"),
        ((0.95, 0.981), "inconclusive"),
        ((0.98, 1.02), "equivalent"),
        ((0.97, 1.01), "inconclusive"),
        ((0.9, 1.1), "inconclusive"),
    ],
)
def test_the_word_depends_on_where_the_whole_interval_lies(bounds: tuple[float, float], word: str) -> None:
    assert paired.decide(bounds, MARGIN) == word


@pytest.mark.parametrize("spread", [0.003, 0.009, 0.03, 0.1, 0.3])
def test_f57_a_model_against_itself_is_called_faster_or_slower_in_at_most_1_of_100(spread: float) -> None:
    words = [looked_at(drawn(20, spread=spread, seed=seed)) for seed in range(600)]
    assert sum(word in ("faster", "slower") for word in words) <= 6


def test_f57_ten_percent_more_are_always_found_and_three_nearly_always() -> None:
    assert {looked_at(drawn(20, effect=0.10, seed=seed)) for seed in range(300)} == {"slower"}
    assert {looked_at(drawn(20, effect=0.05, seed=seed)) for seed in range(300)} == {"slower"}
    found = sum(looked_at(drawn(20, effect=0.03, spread=0.008, seed=seed)) == "slower" for seed in range(300))
    assert found >= 285


def test_looking_three_times_keeps_the_promise_of_95_percent_where_the_truth_lies_at_the_margin() -> None:
    held = 0
    for seed in range(600):
        values = drawn(20, effect=0.02, seed=seed)
        for look in paired.LOOKS:
            bounds = paired.interval(values[:look])
            if paired.decide(bounds, MARGIN) != "inconclusive":
                break
        assert bounds is not None
        held += bounds[0] <= 1.02 <= bounds[1]
    assert held >= 0.94 * 600
