from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError
from edgekit.data.check import DataReport, FirstLayers, check_dataset
from edgekit.data.dataset import open_dataset
from edgekit.data.spec import data_spec

PLAIN = FirstLayers(has_rescaling=False, has_normalization=False)
RESCALES = FirstLayers(has_rescaling=True, has_normalization=False)


def checked(tmp_path: Path, x: numpy.ndarray, y: numpy.ndarray | None = None, **options) -> DataReport:
    numpy.savez(tmp_path / "d.npz", **({"x": x} if y is None else {"x": x, "y": y}))
    spec = options.pop("spec", None) or TensorSpec(name="in", dtype="float32", shape=(1, *x.shape[1:]))
    dataset = open_dataset(data_spec(tmp_path / "d.npz", scale=options.pop("scale", None)), inputs=[spec])
    return check_dataset(dataset, [spec], role=options.pop("role", "representative"), **options)


def codes(report: DataReport) -> list[str]:
    return [notice.code for notice in report.notices]


@pytest.fixture
def good() -> numpy.ndarray:
    return numpy.random.default_rng(0).random((300, 5, 5))


def test_good_data_have_nothing_to_notice(tmp_path: Path, good: numpy.ndarray) -> None:
    report = checked(tmp_path, good, numpy.arange(300) % 4, num_classes=4, first_layers=PLAIN, reference_range=(0, 1))
    assert report.notices == ()
    assert (report.count, report.distinct, report.label_kind) == (300, 300, "classes")
    assert report.classes == {"0": 75, "1": 75, "2": 75, "3": 75}
    assert report.minimum == pytest.approx(good.min())
    assert report.maximum == pytest.approx(good.max())


@pytest.mark.parametrize(("value", "word"), [(numpy.nan, "NaN"), (numpy.inf, "infinite")])
def test_nan_and_infinity_are_errors_with_the_row(tmp_path: Path, good: numpy.ndarray, value: float, word: str) -> None:
    good[271, 2, 2] = value
    with pytest.raises(DataError, match=f"row 271 of .*{word}") as caught:
        checked(tmp_path, good)
    assert "isfinite" in caught.value.hint


def test_few_representative_samples_are_noticed_but_few_evaluation_samples_are_not(
    tmp_path: Path, good: numpy.ndarray
) -> None:
    assert codes(checked(tmp_path, good[:99])) == ["few-representative-samples"]
    assert codes(checked(tmp_path, good[:99], role="evaluation")) == []


def test_the_same_sample_again_and_again_is_noticed(tmp_path: Path, good: numpy.ndarray) -> None:
    report = checked(tmp_path, numpy.repeat(good[:1], 200, axis=0))
    assert codes(report) == ["identical-samples"]
    assert "next(iter(data))" in report.notices[0].hint
    report = checked(tmp_path, numpy.concatenate([good[:100]] * 2))
    assert "100 of 200" in report.notices[0].message


def test_constant_data_are_noticed(tmp_path: Path) -> None:
    assert "constant-data" in codes(checked(tmp_path, numpy.zeros((200, 5, 5))))


def test_raw_pixels_for_a_model_without_rescaling_name_the_scale(tmp_path: Path, good: numpy.ndarray) -> None:
    report = checked(tmp_path, good * 255, first_layers=PLAIN)
    assert codes(report) == ["value-range"]
    assert "--scale 1/" in report.notices[0].hint
    assert codes(checked(tmp_path, good * 255, first_layers=RESCALES)) == []
    assert codes(checked(tmp_path, good * 255)) == []  # nothing is known of the model


def test_scaled_pixels_for_a_model_that_rescales_are_noticed(tmp_path: Path, good: numpy.ndarray) -> None:
    report = checked(tmp_path, good * 255, scale=1 / 255, first_layers=RESCALES)
    assert codes(report) == ["value-range"]
    assert "leave out --scale" in report.notices[0].hint
    normalizes = FirstLayers(has_rescaling=False, has_normalization=True)
    assert codes(checked(tmp_path, good * 255, first_layers=normalizes)) == []


def test_another_range_than_the_evaluation_data_is_noticed(tmp_path: Path, good: numpy.ndarray) -> None:
    assert codes(checked(tmp_path, good * 255, reference_range=(0.0, 1.0))) == ["range-differs"]
    assert codes(checked(tmp_path, good, reference_range=(0.0, 255.0))) == ["range-differs"]
    assert codes(checked(tmp_path, good * 3, reference_range=(0.0, 1.0))) == []


def test_values_that_a_quantized_input_cannot_hold_are_noticed(tmp_path: Path, good: numpy.ndarray) -> None:
    spec = TensorSpec(name="in", dtype="uint8", shape=(1, 5, 5), scale=1 / 255, zero_point=0)
    assert codes(checked(tmp_path, good, spec=spec)) == []
    report = checked(tmp_path, good * 255, spec=spec)
    assert codes(report) == ["inputs-saturate"]
    assert report.saturated["in"] > 0.9


def test_classes_without_a_representative_sample_are_named(tmp_path: Path, good: numpy.ndarray) -> None:
    report = checked(tmp_path, good, numpy.arange(300) % 3, num_classes=5)
    assert codes(report) == ["classes-missing"]
    assert report.notices[0].message.endswith(": 3, 4")
    assert codes(checked(tmp_path, good, numpy.arange(300) % 3, num_classes=1000)) == []


def test_a_label_beyond_the_models_classes_is_an_error(tmp_path: Path, good: numpy.ndarray) -> None:
    labels = numpy.zeros(300, int)
    labels[299] = 4
    with pytest.raises(DataError, match=r"row 299 .* the label is 4, the model has the classes 0 to 3") as caught:
        checked(tmp_path, good, labels, num_classes=4)
    assert "subtract 1" in caught.value.hint
    with pytest.raises(DataError, match="the label is -1"):
        checked(tmp_path, good, labels - 1, num_classes=4)


def test_one_hot_labels_and_whole_floats_are_classes(tmp_path: Path, good: numpy.ndarray) -> None:
    report = checked(tmp_path, good, numpy.eye(3)[numpy.arange(300) % 3], num_classes=3)
    assert report.label_kind == "one-hot"
    assert codes(report) == ["labels-one-hot"]
    assert report.classes == {"0": 100, "1": 100, "2": 100}
    assert checked(tmp_path, good, (numpy.arange(300) % 3).astype(float), num_classes=3).label_kind == "classes"
    assert checked(tmp_path, good, good[:, 0, 0], num_classes=1).label_kind == "values"


def test_nan_in_labels_is_an_error(tmp_path: Path, good: numpy.ndarray) -> None:
    labels = numpy.linspace(0, 1, 300)
    labels[3] = numpy.nan
    with pytest.raises(DataError, match=r"row 3 of .* label is NaN"):
        checked(tmp_path, good, labels)


def test_a_check_can_stop_early(tmp_path: Path, good: numpy.ndarray) -> None:
    assert checked(tmp_path, numpy.concatenate([good] * 4), role="evaluation", max_rows=300).count < 600
