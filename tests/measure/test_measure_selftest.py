"""The self-test of a board: calm ones pass, wild ones fail, and the reasons say which."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy
import pytest
from synthetic_trials import CALM, SHA, make_samples, make_trial

from edgekit.measure.measurement import MeasuredModel, measurement_from
from edgekit.measure.selftest import SelfTest, self_test, to_selftest_document


def a_board_with(spread: float, *, processes: int = 60, windows: int = 150, **other: Any) -> SelfTest:
    """The self-test of a board whose processes vary so much."""
    levels = numpy.random.default_rng(5).lognormal(0, spread, processes) * 2e6
    trials = tuple(make_trial(median_ns=level, iterations=64, seed=i, **other) for i, level in enumerate(levels))
    samples = make_samples(trials=trials)
    samples = replace(samples, plan=replace(samples.plan, processes=processes))
    measurement = measurement_from(samples, device="pi4", model=MeasuredModel(name="digits", sha256=SHA))
    return self_test(measurement, windows=windows)


def test_a_calm_board_passes_and_says_from_where_on_it_finds_slow_downs() -> None:
    found = a_board_with(0.004)
    assert (found.verdict, found.false_alarm_rate, found.detectable) == ("passed", 0.0, 0.03)
    assert found.equivalent_rate is not None
    assert found.equivalent_rate > 0.95
    assert found.spread == pytest.approx(0.004 * 2**0.5, rel=0.4)


def test_the_more_a_board_varies_the_less_it_finds() -> None:
    effects = [a_board_with(spread).detectable or 9.0 for spread in (0.003, 0.01, 0.03)]
    assert effects == sorted(effects)
    assert effects[0] < effects[-1]


def test_a_board_that_would_not_find_ten_percent_fails() -> None:
    found = a_board_with(0.12)
    assert (found.verdict, found.reasons[0].code) == ("failed", "blunt")
    assert found.false_alarm_rate is not None
    assert found.false_alarm_rate <= 0.01


def test_a_board_that_was_throttled_fails_however_calm_its_figures_are() -> None:
    found = a_board_with(0.004, after=replace(CALM, throttle_bits=1))
    assert found.verdict == "failed"
    assert {reason.code for reason in found.reasons if reason.weight == "invalid"} == {"throttled"}


def test_too_few_processes_neither_pass_nor_fail_and_say_so() -> None:
    found = a_board_with(0.004, processes=12)
    assert (found.verdict, found.reasons[0].code, found.windows) == ("inconclusive", "too-few-processes", 0)
    assert (found.false_alarm_rate, found.equivalent_rate) == (None, None)


def test_a_board_that_was_throttled_fails_also_by_few_processes() -> None:
    assert a_board_with(0.004, processes=12, after=replace(CALM, throttle_bits=1)).verdict == "failed"


def test_the_same_processes_give_the_same_figures() -> None:
    one, other = (to_selftest_document(a_board_with(0.02, windows=40)) for _ in range(2))
    assert one == other
    assert {"false_alarm_rate", "detectable", "verdict", "reasons", "margin", "measurement"} <= set(one)
