from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError
from edgekit.data.dataset import open_dataset
from edgekit.data.spec import DataSpec, Preprocessing, data_spec


def one(*shape: int, dtype: str = "float32") -> list[TensorSpec]:
    return [TensorSpec(name="in", dtype=dtype, shape=(1, *shape))]


def first(tmp_path: Path, array: numpy.ndarray, inputs: list[TensorSpec], **options) -> numpy.ndarray:
    numpy.savez(tmp_path / "d.npz", x=array)
    return next(open_dataset(data_spec(tmp_path / "d.npz", **options), inputs=inputs).rows()).inputs["in"]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [((28, 28), (28, 28, 1)), ((1, 28, 28, 1), (28, 28)), ((30, 40), (30, 1, 40)), ((64,), (8, 8, 1))],
)
def test_axes_of_length_one_and_flat_rows_are_put_right(tmp_path: Path, found, wanted) -> None:
    array = numpy.arange(2 * numpy.prod(found)).reshape(2, *found)
    row = first(tmp_path, array, one(*wanted))
    assert row.shape == wanted
    assert numpy.array_equal(row.ravel(), array[0].ravel())


def test_a_grey_image_gets_its_channel_where_the_size_is_open(tmp_path: Path) -> None:
    assert first(tmp_path, numpy.ones((2, 9, 7)), one(-1, -1, 1)).shape == (9, 7, 1)


def test_channels_first_data_are_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 0 of .*3×9×7.*takes 9×7×3.*channels-first \(NCHW\)") as caught:
        first(tmp_path, numpy.ones((2, 3, 9, 7)), one(9, 7, 3))
    assert "(0, 2, 3, 1)" in caught.value.hint


def test_channels_last_data_for_a_channels_first_model_are_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="channels-last") as caught:
        first(tmp_path, numpy.ones((2, 9, 7, 3)), one(3, 9, 7))
    assert "(0, 3, 1, 2)" in caught.value.hint


def test_a_wrong_shape_says_what_was_found_and_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the shape is 10×10×3, the model's input 'in' takes 12×12×3") as caught:
        first(tmp_path, numpy.ones((2, 10, 10, 3)), one(12, 12, 3))
    assert "resize" in caught.value.hint


def test_scaling_by_1_255_is_exactly_division(tmp_path: Path) -> None:
    raw = numpy.arange(256, dtype=numpy.uint8)[None]
    row = first(tmp_path, raw, one(256), scale="1/255")
    assert numpy.array_equal(row, raw[0].astype(numpy.float32) / numpy.float32(255))
    assert row.dtype == numpy.float32


def test_mean_and_deviation_apply_after_the_scale_and_per_channel(tmp_path: Path) -> None:
    row = first(tmp_path, numpy.full((1, 2, 2, 3), 255), one(2, 2, 3), scale="1/255", mean="0,0.5,1", std="1,0.5,2")
    assert row[0, 0].tolist() == [1.0, 1.0, 0.0]
    row = first(tmp_path, numpy.full((1, 3, 5, 5), 10), one(3, 5, 5), mean="0,1,2")
    assert row[:, 4, 4].tolist() == [10, 9, 8]


def test_a_mean_for_another_number_of_channels_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--mean has 3 values, the data have 1 channels"):
        first(tmp_path, numpy.ones((1, 4, 4, 1)), one(4, 4, 1), mean="1,2,3")


def test_whole_numbers_stay_what_they_are_for_integer_inputs(tmp_path: Path) -> None:
    row = first(tmp_path, numpy.array([[1.0, 30000.0]]), one(2, dtype="int32"))
    assert row.dtype == numpy.int32
    assert row.tolist() == [1, 30000]


def test_values_beyond_an_integer_input_are_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"values from 0 to 256 do not fit .*uint8"):
        first(tmp_path, numpy.array([[0, 256]]), one(2, dtype="uint8"))
    with pytest.raises(DataError, match="takes whole numbers"):
        first(tmp_path, numpy.array([[0.5, 1]]), one(2, dtype="int32"))


def test_a_scale_for_a_model_of_whole_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="takes whole numbers"):
        first(tmp_path, numpy.array([[0, 1]]), one(2, dtype="int32"), scale=0.5)


def test_quantized_inputs_take_real_values(tmp_path: Path) -> None:
    inputs = [TensorSpec(name="in", dtype="int8", shape=(1, 2), scale=0.5, zero_point=3)]
    assert first(tmp_path, numpy.array([[0.25, 900.0]]), inputs).tolist() == [0.25, 900.0]


def test_text_where_numbers_are_wanted_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found text"):
        first(tmp_path, numpy.array([["a", "b"]]), one(2))


def test_a_function_of_the_users_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_prep_a.py").write_text("def half(x):\n    return x[:2]\n\ndef bad(x):\n    return x[9]\n")
    monkeypatch.chdir(tmp_path)
    numpy.savez(tmp_path / "d.npz", x=numpy.full((3, 4), 8.0))
    spec = DataSpec(source="d.npz", preprocessing=Preprocessing(scale=0.5, function="my_prep_a:half"))
    assert next(open_dataset(spec, inputs=one(2)).rows()).inputs["in"].tolist() == [4, 4]
    spec = DataSpec(source="d.npz", preprocessing=Preprocessing(function="my_prep_a:bad"))
    with pytest.raises(DataError, match=r"my_prep_a:bad failed at row 0 .*IndexError"):
        next(open_dataset(spec, inputs=one(2)).rows())


def test_the_fingerprint_follows_the_code_of_the_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.ones((3, 4)))
    monkeypatch.chdir(tmp_path)
    found = set()
    for factor in (2, 3):
        (tmp_path / "my_prep_b.py").write_text(f"def f(x):\n    return x * {factor}\n")
        spec = DataSpec(source="d.npz", preprocessing=Preprocessing(function="my_prep_b:f"))
        found.add(open_dataset(spec, inputs=one(4)).fingerprint())
    assert len(found) == 2
