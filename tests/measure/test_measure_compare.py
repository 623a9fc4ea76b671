"""The comparison: what its verdict rests on, what spoils it, and what its document says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy
import pytest
from synthetic_trials import CALM, SHA, make_samples, make_trial

from edgekit.core.artifact import Audit, Manifest, Score
from edgekit.measure.compare import Comparison, compare_pairs, score_change, to_comparison_document
from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from
from edgekit.measure.pairs import PairPlan, Pairs
from edgekit.measure.samples import Samples


def side(samples: Samples, name: str) -> Measurement:
    return measurement_from(samples, device="pi4", model=MeasuredModel(name=name, sha256=SHA, size_bytes=1000))


def compared(effect: float = 0.0, *, noise: float = 0.004, margin: float = 0.02, **other: Any) -> Comparison:
    """A comparison of ten pairs; ``other`` changes every trial of the candidate."""
    drift = numpy.random.default_rng(2).lognormal(0, noise, 10)
    own = numpy.random.default_rng(3).lognormal(0, noise / 2, (2, 10))
    trials = [
        tuple(
            make_trial(median_ns=2e6 * (1 + by) * drift[i] * own[row][i], seed=100 * row + i, **(other if row else {}))
            for i in range(10)
        )
        for row, by in enumerate((0.0, effect))
    ]
    pairs = Pairs(
        baseline=make_samples(trials=trials[0]),
        candidate=make_samples(trials=trials[1]),
        order=PairPlan(seed=1).order()[:10],
        seed=1,
    )
    return compare_pairs(pairs, side(pairs.baseline, "a"), side(pairs.candidate, "b"), margin=margin)


@pytest.mark.parametrize(
    ("effect", "word"),
    [(0.12, "slower"), (0.05, "slower"), (-0.05, "faster"), (0.0, "equivalent"), (0.02, "inconclusive")],
)
def test_the_verdict_names_what_the_candidate_does(effect: float, word: str) -> None:
    found = compared(effect)
    assert found.verdict == word
    assert found.ratio == pytest.approx(1 + effect, abs=0.006)
    assert found.ci95 is not None
    assert found.ratio is not None
    assert found.ci95[0] <= found.ratio <= found.ci95[1]
    assert found.pairs == 10


def test_a_wider_margin_forgives_more() -> None:
    assert compared(0.05, margin=0.10).verdict == "equivalent"


def test_a_throttled_side_spoils_the_comparison_whatever_the_figures_say() -> None:
    found = compared(0.12, after=replace(CALM, throttle_bits=4))
    assert found.verdict == "invalid"
    assert found.reasons[0].code == "throttled"
    assert found.reasons[0].message.startswith("candidate: ")
    assert found.ratio is not None  # to be looked at, not to be used


def test_outputs_that_are_not_numbers_spoil_it_too() -> None:
    assert compared(finite=False).verdict == "invalid"


def test_a_neighbour_whom_both_sides_meet_only_widens_the_interval() -> None:
    found = compared(0.12, cpu_ns=10_000_000, wall_ns=200_000_000)
    assert found.verdict == "slower"
    assert ("contended", "note") in {(reason.code, reason.weight) for reason in found.reasons}


def test_a_board_that_was_restarted_between_the_sides_spoils_it() -> None:
    other = replace(CALM, boot_id="another")
    found = compared(before=other, after=other)
    assert (found.verdict, found.reasons[0].code) == ("invalid", "rebooted")


def test_a_side_that_never_got_warm_spoils_it() -> None:
    found = compared(steady=False)
    assert (found.verdict, found.reasons[0].code) == ("invalid", "no-steady-state")


def test_memory_size_and_starts_are_compared_too() -> None:
    found = compared()
    assert found.memory.ratio == pytest.approx(1.0)
    assert found.size.ratio == 1.0
    assert found.warm_start.ci95 is not None
    assert found.cold_start.missing == "no process started cold"


def scored(metric: str, final: float, rows: str) -> Manifest:
    """A manifest whose score is this."""
    return Manifest(
        name="m",
        sha256=SHA,
        size_bytes=1,
        gzip_bytes=1,
        kind="int8",
        source="m.keras",
        source_sha256=SHA,
        recipe={},
        data={"evaluation": rows},
        preprocessing={},
        steps=(),
        score=Score(metric=metric, reference=0.98, final=final, drop=0.0, count=360),
        audit=Audit(full_integer=True, float_ops=(), flex_ops=(), min_runtime=None),
        inputs=(),
        outputs=(),
        golden=(),
        float_reference=None,
        warnings=(),
        versions={},
        created="2026-01-02",
    )


def test_scores_are_compared_only_by_one_metric_and_on_the_same_rows() -> None:
    one = scored("top-1", 0.97, "rows")
    worse = score_change(one, scored("top-1", 0.95, "rows"))
    assert worse is not None
    assert worse.difference == pytest.approx(-0.02)
    for other, why in ((scored("mse", 0.1, "rows"), "mse"), (scored("top-1", 0.95, "others"), "different rows")):
        found = score_change(one, other)
        assert found is not None
        assert found.difference is None
        assert why in found.missing
    assert score_change(one, None) is None


def test_the_document_has_the_fields_that_scripts_rely_on_and_no_raw_samples() -> None:
    document = to_comparison_document(compared(0.05))
    assert {"ratio", "ci95", "verdict", "pairs", "margin", "seed", "order", "log_ratios", "device"} <= set(document)
    assert document["verdict"] == "slower"
    assert document["baseline"]["latency"]["median_ns"] < document["candidate"]["latency"]["median_ns"]
    assert "latency_ns" not in json.dumps(document)
    assert len(document["log_ratios"]) == document["pairs"] == len(document["order"]) == 10


def test_the_same_samples_give_the_same_comparison() -> None:
    assert to_comparison_document(compared(0.03)) == to_comparison_document(compared(0.03))
