from __future__ import annotations

import sys
from pathlib import Path

import numpy
import pytest

from edgekit.core.errors import DataError, UsageError
from edgekit.optimize.agreement import Agreement
from edgekit.optimize.metrics import area, make_metric
from edgekit.optimize.score import check_metric, drop


def score(name: str, labels, outputs, pieces: int = 1) -> tuple[str, float]:
    labels, outputs = numpy.asarray(labels), numpy.asarray(outputs, numpy.float32)
    metric = make_metric(name, labels, outputs)
    for some, found in zip(numpy.array_split(labels, pieces), numpy.array_split(outputs, pieces)):
        metric.add(some, found, place="row 0")
    return metric.name, metric.value()


OUTPUTS = [[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.4, 0.35, 0.25]]


def test_top_1_counts_the_largest_output() -> None:
    assert score("auto", [1, 0, 2, 1], OUTPUTS) == ("top-1", 0.75)
    assert score("top-1", [1, 0, 2, 1], OUTPUTS, pieces=3) == ("top-1", 0.75)


def test_top_k_counts_the_k_largest() -> None:
    assert score("top-2", [1, 2, 1, 2], OUTPUTS) == ("top-2", 0.5)


def test_of_equal_outputs_the_first_is_the_larger() -> None:
    assert score("top-1", [0, 1], [[0.5, 0.5, 0], [0.5, 0.5, 0]])[1] == 0.5
    assert score("top-2", [1, 2], [[0.5, 0.5, 0.5]] * 2)[1] == 0.5


def test_one_hot_labels_are_classes_and_it_is_said() -> None:
    labels = numpy.eye(3)[[1, 0, 2, 1]]
    metric = make_metric("auto", labels, numpy.asarray(OUTPUTS))
    metric.add(labels, numpy.asarray(OUTPUTS), place="row 0")
    assert (metric.name, metric.value()) == ("top-1", 0.75)
    assert "one-hot" in metric.notes[0]


def test_whole_floats_are_classes_for_a_model_of_several_outputs() -> None:
    assert score("auto", [1.0, 0.0, 2.0, 1.0], OUTPUTS) == ("top-1", 0.75)


def test_one_output_is_a_class_above_one_half_or_above_zero_for_logits() -> None:
    assert score("auto", [0, 1, 1, 0], [[0.2], [0.8], [0.4], [0.1]]) == ("top-1", 0.75)
    assert score("auto", [0, 1, 1, 0], [[-3.0], [4.0], [0.4], [-0.1]]) == ("top-1", 1.0)


def test_labels_with_fractions_get_the_mean_squared_error() -> None:
    assert score("auto", [0.5, 1.5], [[1.0], [1.0]]) == ("mse", 0.25)
    assert score("mae", [0.0, 2.0], [[1.0], [1.0]], pieces=2) == ("mae", 1.0)
    assert score("auto", [3, 7, 9], [[3.0], [7.0], [8.0]]) == ("mse", pytest.approx(1 / 3))


def test_segmentations_are_scored_by_pixel() -> None:
    outputs = numpy.zeros((2, 2, 2, 3))
    outputs[..., 1] = 1
    labels = numpy.array([[[1, 1], [1, 0]], [[1, 2], [1, 1]]])
    assert score("auto", labels, outputs) == ("top-1", 0.75)


def test_auc_is_the_chance_that_a_positive_ranks_above_a_negative() -> None:
    labels = numpy.array([0, 0, 1, 1])
    assert score("auc", labels, [[0.1], [0.4], [0.35], [0.8]]) == ("auc", 0.75)
    assert score("auc", labels, [[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]]) == ("auc", 0.75)


def test_ties_count_half_in_the_auc() -> None:
    generator = numpy.random.default_rng(0)
    positive = generator.random(200) < 0.3
    scores = generator.integers(0, 9, 200)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert area(positive, scores) == pytest.approx(numpy.mean(pairs))


def test_auc_of_several_classes_is_the_mean_of_one_against_the_rest() -> None:
    labels = numpy.array([1, 0, 2, 1])
    outputs = numpy.asarray(OUTPUTS)
    wanted = numpy.mean([area(labels == number, outputs[:, number]) for number in range(3)])
    assert score("auc", labels, outputs, pieces=2) == ("auc", pytest.approx(wanted))


def test_a_function_of_the_users_scores_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_metrics.py").write_text(
        "def worst(y_true, y_pred):\n    return abs(y_true - y_pred[:, 0]).max()\nworst.higher_is_better = False\n"
        "def broken(y_true, y_pred):\n    return y_true.nope\n"
        "def nan(y_true, y_pred):\n    return float('nan')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert score("my_metrics:worst", [0.0, 2.0], [[1.0], [5.0]], pieces=2) == ("my_metrics:worst", 3.0)
    with pytest.raises(UsageError, match="my_metrics:broken failed: AttributeError"):
        score("my_metrics:broken", [0.0], [[1.0]])
    with pytest.raises(UsageError, match="gave nan"):
        score("my_metrics:nan", [0.0], [[1.0]])


@pytest.mark.parametrize(
    ("name", "labels", "outputs", "message"),
    [
        ("top-1", [0.5, 1.5], [[0.1, 0.9]] * 2, "top-1 needs classes"),
        ("top-3", [0, 1, 2, 1], OUTPUTS, "of 3 classes is always right"),
        ("top-1", [0, 1, 2, 3], OUTPUTS, "label 3 .* classes 0 to 2"),
        ("mse", [[1, 2], [3, 4]], [[1.0], [2.0]], "labels of shape"),
        ("auc", [1, 1, 1, 1], [[0.1], [0.2], [0.3], [0.4]], "rows of both classes"),
    ],
)
def test_a_metric_that_does_not_fit_is_a_named_error(name: str, labels, outputs, message: str) -> None:
    with pytest.raises((UsageError, DataError), match=message):
        score(name, labels, outputs)


def test_an_unknown_metric_gets_the_nearest_name() -> None:
    for good in ("auto", "top-1", "top-17", "mae", "auc", "agreement", "a.b:c"):
        check_metric(good)
    with pytest.raises(UsageError, match="unknown metric 'tpo-1'") as caught:
        check_metric("tpo-1")
    assert "top-1" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        check_metric("accuracy")
    assert "top-1" in caught.value.hint


def test_a_drop_is_in_points_for_fractions_and_in_percent_otherwise() -> None:
    assert drop(0.92, 0.90, fraction=True, higher_is_better=True) == pytest.approx(2.0)
    assert drop(0.90, 0.92, fraction=True, higher_is_better=True) == pytest.approx(-2.0)
    assert drop(2.0, 3.0, fraction=False, higher_is_better=False) == pytest.approx(50.0)
    assert drop(40.0, 30.0, fraction=False, higher_is_better=True) == pytest.approx(25.0)
    assert drop(0.0, 0.0, fraction=False, higher_is_better=False) == 0.0


def test_agreement_compares_classes_angles_and_values() -> None:
    reference = numpy.asarray(OUTPUTS, numpy.float32)
    changed = reference.copy()
    changed[0] = [0.8, 0.1, 0.1]
    found = Agreement([3], [3])
    found.add(changed[:2], reference[:2])
    found.add(changed[2:], reference[2:])
    assert found.value == found.same_class == 0.75
    assert found.max_abs_difference == pytest.approx(0.7)
    assert found.cosine == pytest.approx(
        (changed * reference).sum() / numpy.sqrt((changed**2).sum() * (reference**2).sum()), rel=1e-6
    )


def test_outputs_without_classes_agree_by_their_angle() -> None:
    found = Agreement([1], [1])
    found.add(numpy.array([[1.0], [2.0]]), numpy.array([[2.0], [4.0]]))
    assert found.same_class is None
    assert found.value == pytest.approx(1.0)
