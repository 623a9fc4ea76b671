"""What a gate decides, over one comparison and over many, and how often it is wrong."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import replace

import numpy
import pytest
from gate_cases import compared, score_of
from synthetic_trials import CALM

from edgekit.measure import paired
from edgekit.measure.gate import FAMILY_ERROR, Gate, held_by_holm, judge_gate, settled, to_gate_document
from edgekit.measure.gate_checks import Check, GateLimits, no_baseline, no_board

LIMITS = GateLimits()


def outcome(gate: Gate, name: str) -> str:
    (check,) = [one for one in gate.checks if one.name == name]
    return check.outcome


def test_the_same_model_passes_and_every_figure_was_looked_at() -> None:
    found = judge_gate([compared(score=score_of("top-1", 0.97, 0.97))], LIMITS)
    assert found.verdict == "passed"
    assert [(check.name, check.outcome) for check in found.checks] == [
        ("latency", "passed"),
        ("memory", "passed"),
        ("size", "passed"),
        ("score", "passed"),
    ]


@pytest.mark.parametrize(
    ("slower", "verdict"), [(0.20, "failed"), (0.08, "failed"), (0.03, "passed"), (-0.3, "passed")]
)
def test_a_latency_fails_only_beyond_its_limit(slower: float, verdict: str) -> None:
    assert judge_gate([compared(slower)], LIMITS).verdict == verdict


def test_a_latency_fails_by_itself_exactly_where_the_lower_bound_lies_above_the_limit() -> None:
    for seed in range(40):
        one = compared(0.055, noise=0.004, seed=seed)
        assert one.ci95 is not None
        assert (outcome(judge_gate([one], LIMITS), "latency") == "failed") == (one.ci95[0] > 1.05)


def test_what_pairs_leave_open_is_neither_passed_nor_failed_and_says_why() -> None:
    found = judge_gate([compared(0.05, noise=0.01)], LIMITS)
    assert found.verdict == "inconclusive"
    (check,) = found.of("inconclusive")
    assert "within the limit or beyond it" in check.why
    few = judge_gate([compared(1.0, pairs=5)], LIMITS)
    assert few.of("inconclusive")[0].why == "5 pairs are too few"


def test_neighbours_on_a_board_make_it_inconclusive_rather_than_failed_and_are_named() -> None:
    found = judge_gate([compared(0.06, noise=0.3, cpu_ns=10_000_000, wall_ns=200_000_000)], LIMITS)
    assert outcome(found, "latency") == "inconclusive"
    assert "contended" in found.of("inconclusive")[0].why


def test_a_throttled_side_is_invalid_however_slow_it_looks() -> None:
    found = judge_gate([compared(0.5, memory=0.5, after=replace(CALM, throttle_bits=4))], LIMITS)
    assert found.verdict == "invalid"
    assert (outcome(found, "latency"), outcome(found, "memory")) == ("invalid", "invalid")
    assert "throttled" in found.checks[0].why


@pytest.mark.parametrize(("memory", "verdict"), [(0.04, "passed"), (0.06, "failed"), (-0.5, "passed")])
def test_memory_fails_beyond_its_limit(memory: float, verdict: str) -> None:
    assert outcome(judge_gate([compared(memory=memory)], LIMITS), "memory") == verdict


def test_memory_whose_processes_overlap_is_inconclusive() -> None:
    one = compared(memory=0.08)
    low = compared().candidate.samples.memory[0]
    samples = replace(one.candidate.samples, memory=(*one.candidate.samples.memory[1:], low))
    found = judge_gate([replace(one, candidate=replace(one.candidate, samples=samples))], LIMITS)
    assert outcome(found, "memory") == "inconclusive"


@pytest.mark.parametrize(
    ("larger", "limit", "verdict"), [(0.0, 0.0, "passed"), (0.00002, 0.0, "failed"), (0.01, 0.01, "passed")]
)
def test_a_file_may_grow_by_its_budget_and_not_by_a_byte_more(larger: float, limit: float, verdict: str) -> None:
    found = judge_gate([compared(larger=larger)], replace(LIMITS, size=limit))
    assert outcome(found, "size") == verdict


@pytest.mark.parametrize(
    ("metric", "baseline", "candidate", "verdict"),
    [
        ("top-1", 0.97, 0.965, "passed"),
        ("top-1", 0.97, 0.96, "passed"),  # exactly the budget, whatever binary fractions make of it
        ("top-1", 0.97, 0.9599, "failed"),
        ("top-1", 0.97, 0.99, "passed"),
        ("auc", 0.9, 0.88, "failed"),
        ("mse", 0.100, 0.102, "failed"),
        ("mse", 0.100, 0.050, "passed"),
        ("mine:metric", 1.0, 0.5, "skipped"),
    ],
)
def test_a_score_may_lose_its_budget(metric: str, baseline: float, candidate: float, verdict: str) -> None:
    found = judge_gate([compared(score=score_of(metric, baseline, candidate))], LIMITS)
    assert outcome(found, "score") == verdict


def test_models_without_scores_are_not_silently_passed() -> None:
    (check,) = judge_gate([compared()], LIMITS).of("skipped")
    assert check.message == "score: not both models have one"


def test_a_figure_that_is_off_is_not_looked_at() -> None:
    found = judge_gate([compared(1.0, larger=1.0)], GateLimits(latency=None, memory=0.05, size=None, max_drop=None))
    assert [check.name for check in found.checks] == ["memory"]
    assert found.verdict == "passed"


def test_one_failure_decides_whatever_else_there_is() -> None:
    fine, slow = compared(device="pi5"), compared(0.3)
    unclear = compared(0.05, noise=0.01, model="other")
    assert judge_gate([fine, unclear], LIMITS).verdict == "inconclusive"
    assert judge_gate([fine, unclear, slow], LIMITS).verdict == "failed"
    assert judge_gate([fine], LIMITS, also=[no_board("pi3", "kws", "not reachable")]).verdict == "invalid"
    first = judge_gate([], LIMITS, also=[no_baseline("pi4", "kws")])
    assert (first.verdict, first.checks[0].outcome) == ("passed", "skipped")


# ------------------------------------------------------------------------------------------ many tests at once


@functools.cache
def some_latency() -> Check:
    (check,) = judge_gate([compared()], GateLimits(memory=None, size=None, max_drop=None)).checks
    return check


def latency(p: float) -> Check:
    return replace(some_latency(), p=p, outcome="inconclusive")


@pytest.mark.parametrize(
    ("chances", "fail"),
    [
        ((0.02,), 1),
        ((0.03,), 0),
        ((0.012, 0.024), 2),  # 0.0125, then 0.025
        ((0.013, 0.024), 0),  # alone each would fail
        ((0.001, 0.9, 0.012, 0.5), 1),
        ((0.006, 0.008, 0.012, 0.02), 4),
    ],
)
def test_holm_lets_latencies_fail_in_the_order_of_their_chances(chances: tuple[float, ...], fail: int) -> None:
    held = held_by_holm([latency(p) for p in chances])
    failed = [check.p for check in held if check.outcome == "failed"]
    assert failed == sorted(chances)[:fail] or sorted(map(float, filter(None, failed))) == sorted(chances)[:fail]
    assert all(check.outcome in ("failed", "inconclusive") for check in held)


def test_what_only_holm_spares_says_so() -> None:
    marginal = next(
        one
        for seed in range(500)
        if (one := compared(0.056, noise=0.004, seed=seed)).ci95 is not None
        and one.ci95[0] > 1.05
        and (paired.chance_of_slower(one.log_ratios, 1.05) or 0) > FAMILY_ERROR / 8
    )
    assert judge_gate([marginal], LIMITS).verdict == "failed"
    eight = judge_gate([marginal, *(compared(device=f"pi{i}") for i in range(7))], LIMITS)
    assert eight.verdict == "inconclusive"
    assert "among this many checks" in eight.of("inconclusive")[0].why


def pairs_of(rng: numpy.random.Generator, truth: float, spread: float, tests: int) -> tuple[float, ...]:
    """Log ratios as a board would give them: more pairs until they decide."""
    drawn = math.log(truth) + rng.normal(0, spread, 20)
    return next(
        (found for look in (10, 15) if settled(found := tuple(drawn[:look]), limit=0.05, tests=tests)), tuple(drawn)
    )


def any_fails(rng: numpy.random.Generator, truth: float, spread: float, tests: int) -> list[bool]:
    ratios = [pairs_of(rng, truth, spread, tests) for _ in range(tests)]
    checks = [latency(paired.chance_of_slower(one, 1.05) or 1.0) for one in ratios]
    return [check.outcome == "failed" for check in held_by_holm(checks)]


@pytest.mark.parametrize(("tests", "rounds"), [(1, 3000), (4, 1000), (12, 400)])
def test_models_at_their_very_limit_are_failed_in_less_than_five_of_a_hundred_gates(tests: int, rounds: int) -> None:
    rng = numpy.random.default_rng(11)
    wrong = sum(any(any_fails(rng, 1.05, 0.009, tests)) for _ in range(rounds)) / rounds
    assert wrong <= 0.05


@pytest.mark.parametrize("spread", [0.009, 0.15])
@pytest.mark.parametrize("tests", [1, 4, 16, 40])
def test_twice_as_slow_is_found_among_however_many_tests_on_calm_and_wild_boards(tests: int, spread: float) -> None:
    rng = numpy.random.default_rng(12)
    assert all(any_fails(rng, 2.0, spread, tests))


def test_a_candidate_that_is_faster_needs_no_more_pairs_than_the_first_look() -> None:
    rng = numpy.random.default_rng(13)
    assert len(pairs_of(rng, 0.95, 0.009, 4)) == 10
    assert len(pairs_of(rng, 1.05, 0.009, 4)) == 20


def test_the_document_has_what_scripts_rely_on_and_a_reason_for_all_that_did_not_pass() -> None:
    found = judge_gate([compared(0.2, larger=0.2)], LIMITS)
    document = to_gate_document(found)
    assert {"verdict", "reasons", "limits", "checks", "comparisons"} <= set(document)
    assert document["verdict"] == "failed"
    assert {"name", "device", "model", "outcome", "change", "limit", "message", "why", "p"} <= set(
        document["checks"][0]
    )
    assert len(document["reasons"]) == sum(check.outcome != "passed" for check in found.checks)
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_what_is_kept_about_one_model_on_one_board_has_its_own_verdict() -> None:
    fine, slow = compared(device="pi5"), compared(0.3)
    found = judge_gate([fine, slow], LIMITS)
    assert found.verdict == "failed"
    assert (found.about(fine).verdict, found.about(slow).verdict) == ("passed", "failed")
    assert {check.device for check in found.about(fine).checks} == {"pi5"}
