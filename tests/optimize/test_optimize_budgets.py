"""Budgets of a run: steps back off until all hold, plain conversions are good enough, and misses are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_tflite
from digits_runs import DIGITS, ROWS, manifest

import edgekit
from edgekit.core.artifact import Artifact
from edgekit.core.errors import BudgetError, UsageError
from edgekit.optimize.recipe import Recipe
from edgekit.optimize.steps import FiltersStep, PruneStep, QuantizeStep

pytestmark = pytest.mark.usefixtures("one_home")


def untrained(*steps: Any) -> Recipe:
    return Recipe(name="own", description="", steps=(*steps, QuantizeStep()))


def codes(artifact: Artifact) -> set[str]:
    return {notice.code for notice in manifest(artifact).warnings}


@pytest.fixture(scope="module")
def backed_off(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Without fine-tuning, cutting four fifths of the filters ruins the model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_HOME", str(home))
        return edgekit.optimize(
            DIGITS,
            data=str(ROWS),
            recipe=untrained(FiltersStep(ratio=0.8, epochs=0)),
            max_drop=2.0,
            output=tmp_path_factory.mktemp("out") / "small.tflite",
        )


def test_a_step_that_costs_too_much_backs_off_until_the_accuracy_holds(backed_off):
    found = manifest(backed_off)
    assert found.score is not None
    assert found.score.drop is not None
    assert found.score.drop <= 2.0
    assert [attempt["strength"] for attempt in found.attempts][:2] == [1.0, 0.5]
    assert found.attempts[0]["missed"]
    ratio = found.recipe["steps"][0]["ratio"]
    assert 0 < ratio < 0.8
    assert found.steps[1].parameters["ratio"] == ratio
    assert "strength-changed" in codes(backed_off)


def test_what_was_cut_is_gone_from_the_file(backed_off):
    before, cut, last = manifest(backed_off).steps
    assert cut.macs < before.macs
    assert cut.parameters_count < before.parameters_count
    assert last.size_bytes < cut.size_bytes < before.size_bytes
    assert last.macs == cut.macs


def test_a_size_that_plain_int8_has_is_good_enough_and_nothing_is_trained(make):
    made = make("filters-int8", max_size="100kB", max_drop=5)
    found = manifest(made)
    assert [step.name for step in found.steps] == ["float32", "quantize"]
    assert found.size_bytes <= 100_000
    assert "good-enough" in codes(made)


def test_a_size_that_plain_int8_has_not_is_reached_by_the_steps(make):
    made = make(untrained(FiltersStep(ratio=0.3, epochs=0)), max_size="50kB")
    found = manifest(made)
    assert found.size_bytes <= 50_000
    assert [attempt["strength"] for attempt in found.attempts][:2] == [0.0, 1.0]
    assert not found.attempts[-1]["missed"]


def test_budgets_that_cannot_both_hold_end_with_the_nearest_miss(make, tmp_path):
    with pytest.raises(BudgetError, match=r"no strength of own holds every budget .* nearest miss") as caught:
        make(untrained(FiltersStep(ratio=0.5, epochs=0)), max_size="20kB", max_drop=0.4)
    assert caught.value.exit_code == 7
    attempts = caught.value.details["attempts"]
    assert len(attempts) >= 2
    assert all(attempt["missed"] for attempt in attempts)
    assert all(Path(file["path"]).exists() for file in caught.value.details["files"])
    assert not (tmp_path / "out.tflite").exists()


def test_a_recipe_without_strength_says_what_is_over_budget(make):
    with pytest.raises(BudgetError, match=r"over budget: 71\.\d kB \(--max-size 10\.0 kB\)"):
        make("int8", max_size=10_000)


@pytest.mark.slow
def test_latency_and_memory_are_held_to_what_the_board_measured(make):
    made = make("int8", max_latency="10s", max_memory="4GB", device="local")
    measured = manifest(made).steps[-1].measured
    assert measured is not None
    assert (measured.device, measured.processes) == ("local", 3)
    assert 0 < measured.latency_ns < 10e9
    assert measured.peak_rss_bytes < 4_000_000_000
    with pytest.raises(BudgetError, match=r"--max-latency 1 ns"):
        make("int8", max_latency="1ns", device="local")


@pytest.mark.parametrize("limit", [{"max_latency": "5ms"}, {"max_memory": "30MB"}])
def test_a_budget_that_needs_a_board_asks_for_one(make, limit):
    with pytest.raises(UsageError, match="judged on a board, and none is named") as caught:
        make("int8", **limit)
    assert "--device" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"max_size": "small"}, "--max-size: 'small' is not bytes"),
        ({"max_size": "-5kB"}, "--max-size: '-5kB'"),
        ({"max_latency": "5 miles"}, "--max-latency: '5 miles' is not a duration"),
    ],
)
def test_a_limit_that_is_none_is_refused(make, limit, message):
    with pytest.raises(UsageError) as caught:
        make("int8", **limit)
    assert message in caught.value.message


def test_what_each_step_paid_is_told_by_leaving_it_out(make):
    made = make(untrained(FiltersStep(ratio=0.5, epochs=0), PruneStep(sparsity=0.5, epochs=0)), ablate=True)
    final = manifest(made).steps[-1]
    paid = {one.without: one for one in manifest(made).ablation}
    assert list(paid) == ["filters", "prune", "quantize"]
    assert paid["filters"].size_bytes > 1.5 * final.size_bytes
    assert paid["filters"].macs > 1.5 * final.macs
    assert paid["prune"].size_bytes == pytest.approx(final.size_bytes, rel=0.01)  # zeros are stored like other values
    assert paid["prune"].gzip_bytes > 1.2 * final.gzip_bytes
    assert paid["quantize"].size_bytes > 2 * final.size_bytes


def test_a_small_change_on_few_rows_is_called_noise(make):
    made = make("int8")
    score = manifest(made).score
    assert score.drop_ci95[0] <= score.drop <= score.drop_ci95[1]
    assert score.ci95[0] < score.final < score.ci95[1]
    assert ("drop-within-noise" in codes(made)) == (score.drop != 0 and score.drop_ci95[0] < 0 < score.drop_ci95[1])


def test_a_conversion_that_gains_nothing_says_so(tmp_path):

    source = tiny_tflite.write(tmp_path, tiny_tflite.dense())
    made = edgekit.optimize(source, recipe="dynamic", output=tmp_path / "dynamic.tflite")
    grown = manifest(made).size_bytes >= 0.98 * source.stat().st_size
    assert ("not-smaller" in codes(made)) == grown
    assert grown


@pytest.mark.slow
def test_what_was_forecast_came_true(make):
    recipe = untrained(FiltersStep(ratio=0.5, epochs=0), PruneStep(sparsity=0.5, epochs=0))
    before = edgekit.forecast(DIGITS, recipe=recipe, device="local")
    assert [one.name for one in before] == ["filters", "prune", "quantize"]
    made = make(recipe, device="local")
    for expected, step in zip(before, manifest(made).steps[1:], strict=True):
        verdicts = {verdict["figure"]: verdict["agrees"] for verdict in step.forecast["agreement"]["verdicts"]}
        assert {"size_bytes", "macs", "latency_ratio"} <= verdicts.keys()
        # a busy machine makes what is measured in three short processes miss any forecast
        assert all(agrees is not False for figure, agrees in verdicts.items() if figure != "latency_ratio"), verdicts
        assert expected.size_bytes.value == pytest.approx(step.size_bytes, rel=0.15)
        assert expected.macs.after == step.macs
    assert before[1].latency.kind == "none"  # zeros make nothing faster


def test_a_forecast_that_needs_rows_says_that_it_had_none():
    cut, _ = edgekit.forecast(DIGITS, recipe="filters-int8")
    assert any("training rows" in note for note in cut.notes)
    assert cut.macs.error > 0.2
