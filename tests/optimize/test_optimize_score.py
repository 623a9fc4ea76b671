from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from ai_edge_litert import schema_py_generated as schema
from tiny_tflite import OPS, OPTIONS, Op, Tensor, build, dense, remembers, subtract, write

from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.data.spec import DataSpec, data_spec
from edgekit.optimize.score import Evaluation, compared, score_tflite


def through(
    dtype: str = "float32", *, scale: float | None = None, zero_point: int = 0, signature: bool = False
) -> bytes:
    """[1, 4] → [1, 4] of the same real values: one RESHAPE, which copies."""
    shape = schema.ReshapeOptionsT()
    shape.newShape = [-1, 4]
    return build(
        [
            Tensor("x", dtype, (1, 4), scale=scale, zero_point=zero_point),
            Tensor("shape", "int32", (2,), [-1, 4]),
            Tensor("y", dtype, (1, 4), scale=scale, zero_point=zero_point),
        ],
        [Op(OPS.RESHAPE, ["x", "shape"], ["y"], shape, OPTIONS.ReshapeOptions)],
        ["x"],
        ["y"],
        ([("features", "x")], [("probabilities", "y")]) if signature else None,
    )


def reshaped_to_one_row() -> bytes:
    shape = schema.ReshapeOptionsT()
    shape.newShape = [1, 4]
    return build(
        [
            Tensor("x", "float32", (1, 2, 2)),
            Tensor("shape", "int32", (2,), [1, 4]),
            Tensor("y", "float32", (1, 4)),
        ],
        [Op(OPS.RESHAPE, ["x", "shape"], ["y"], shape, OPTIONS.ReshapeOptions)],
        ["x"],
        ["y"],
    )


def mixes_rows() -> bytes:
    """x + sum of all rows: right for one row, silently wrong for several."""
    keep = schema.ReducerOptionsT()
    keep.keepDims = True
    return build(
        [
            Tensor("x", "float32", (1, 4)),
            Tensor("axis", "int32", (1,), [0]),
            Tensor("sum", "float32", (1, 4)),
            Tensor("y", "float32", (1, 4)),
        ],
        [
            Op(OPS.SUM, ["x", "axis"], ["sum"], keep, OPTIONS.ReducerOptions),
            Op(OPS.ADD, ["x", "sum"], ["y"], schema.AddOptionsT(), OPTIONS.AddOptions),
        ],
        ["x"],
        ["y"],
    )


@pytest.fixture(scope="module")
def rows() -> numpy.ndarray:
    return numpy.random.default_rng(3).random((150, 4)).astype(numpy.float32)


@pytest.fixture
def data(tmp_path: Path, rows: numpy.ndarray) -> DataSpec:
    labels = rows.argmax(axis=1)
    labels[:15] = (labels[:15] + 1) % 4  # every tenth is wrong
    numpy.savez(tmp_path / "d.npz", x=rows, y=labels)
    return data_spec(tmp_path / "d.npz")


def test_a_float_model_is_scored_in_batches_and_its_outputs_are_kept(tmp_path: Path, data, rows) -> None:
    found = score_tflite(write(tmp_path, through()), data, outputs=tmp_path / "out.npy")
    assert (found.metric, found.value, found.count, found.batch) == ("top-1", 0.9, 150, 64)
    assert numpy.array_equal(numpy.load(tmp_path / "out.npy"), rows)
    assert found.same_class is None


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point"), [("int8", 1 / 255, -128), ("uint8", 1 / 255, 0), ("int16", 1 / 32767, 0)]
)
def test_quantized_inputs_and_outputs_mean_real_values(
    tmp_path: Path, data, rows, dtype: str, scale: float, zero_point: int
) -> None:
    model = write(tmp_path, through(dtype, scale=scale, zero_point=zero_point))
    found = score_tflite(model, data, outputs=tmp_path / "out.npy")
    assert found.value == pytest.approx(0.9, abs=0.03)  # equal steps hide the larger of two
    assert numpy.abs(numpy.load(tmp_path / "out.npy") - rows).max() <= scale / 2 * 1.01


def test_values_beyond_the_quantized_range_are_clipped(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.array([[-5.0, 0.25, 0.5, 7.0]]))
    model = write(tmp_path, through("int8", scale=1 / 256, zero_point=-128))
    score_tflite(model, data_spec(tmp_path / "d.npz"), outputs=tmp_path / "out.npy")
    assert numpy.load(tmp_path / "out.npy").tolist() == [[0, 0.25, 0.5, 255 / 256]]


def test_a_dynamic_batch_is_used(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.random.default_rng(0).random((70, 8)), y=numpy.zeros(70, int))
    assert score_tflite(write(tmp_path, dense(dynamic=True)), data_spec(tmp_path / "d.npz")).batch == 64


def test_a_fixed_batch_is_filled_up(tmp_path: Path) -> None:
    x = numpy.random.default_rng(0).random((7, 8)).astype(numpy.float32)
    numpy.savez(tmp_path / "d.npz", x=x)
    spec = data_spec(tmp_path / "d.npz")
    found = score_tflite(write(tmp_path, dense(batch=4), "four.tflite"), spec, outputs=tmp_path / "four.npy")
    score_tflite(write(tmp_path, dense(batch=1), "one.tflite"), spec, outputs=tmp_path / "one.npy")
    assert (found.batch, found.count) == (4, 7)
    assert numpy.allclose(numpy.load(tmp_path / "four.npy"), numpy.load(tmp_path / "one.npy"), atol=1e-5)


@pytest.mark.parametrize("model", [mixes_rows, reshaped_to_one_row])
def test_a_model_that_cannot_take_several_rows_gets_one_at_a_time(tmp_path: Path, data, rows, model) -> None:
    found = score_tflite(write(tmp_path, model()), data, outputs=tmp_path / "out.npy")
    assert (found.batch, found.value) == (1, 0.9)
    wanted = rows * 2 if model is mixes_rows else rows
    assert numpy.allclose(numpy.load(tmp_path / "out.npy"), wanted)


def test_rows_do_not_depend_on_the_rows_before_them(tmp_path: Path) -> None:
    x = numpy.arange(6.0).reshape(3, 2)
    numpy.savez(tmp_path / "d.npz", x=x)
    model = write(tmp_path, remembers())
    score_tflite(model, data_spec(tmp_path / "d.npz"), batch=1, outputs=tmp_path / "out.npy")
    assert numpy.load(tmp_path / "out.npy")[:, 0].tolist() == x.sum(axis=1).tolist()


def test_a_waveform_without_a_batch_axis_is_one_row(tmp_path: Path) -> None:
    model = build(
        [Tensor("x", "float32", (16,)), Tensor("y", "float32", (16,))],
        [Op(OPS.ADD, ["x", "x"], ["y"], schema.AddOptionsT(), OPTIONS.AddOptions)],
        ["x"],
        ["y"],
    )
    x = numpy.arange(48.0).reshape(3, 16)
    numpy.savez(tmp_path / "d.npz", x=x, y=[15, 15, 0])
    found = score_tflite(write(tmp_path, model), data_spec(tmp_path / "d.npz"), outputs=tmp_path / "out.npy")
    assert found.value == pytest.approx(2 / 3)
    assert numpy.array_equal(numpy.load(tmp_path / "out.npy"), 2 * x)


@pytest.mark.parametrize("reversed_signature", [False, True])
def test_several_inputs_are_fed_by_name(tmp_path: Path, reversed_signature: bool) -> None:
    left, right = (numpy.random.default_rng(seed).random((5, 4)).astype(numpy.float32) for seed in (1, 2))
    names = ("a_left", "b_right") if reversed_signature else ("left", "right")
    numpy.savez(tmp_path / "d.npz", **{names[1]: right, names[0]: left})
    model = write(tmp_path, subtract(reversed_signature=reversed_signature))
    score_tflite(model, data_spec(tmp_path / "d.npz"), outputs=tmp_path / "out.npy")
    wanted = numpy.concatenate([left - right, 2 * left], axis=1)
    assert numpy.allclose(numpy.load(tmp_path / "out.npy"), wanted)


def test_of_several_outputs_the_one_that_labels_score_is_named(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", left=numpy.eye(4), right=numpy.zeros((4, 4)), y=numpy.arange(4))
    found = score_tflite(write(tmp_path, subtract()), data_spec(tmp_path / "d.npz"))
    assert found.value == 1.0
    assert "'difference'" in found.notes[0]


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", left=numpy.eye(4))
    with pytest.raises(DataError, match="'right' is missing"):
        score_tflite(write(tmp_path, subtract()), data_spec(tmp_path / "d.npz"))


def test_without_labels_the_agreement_with_the_float_model_is_the_score(tmp_path: Path, rows) -> None:
    numpy.savez(tmp_path / "d.npz", x=rows)
    spec = data_spec(tmp_path / "d.npz")
    before = score_tflite(write(tmp_path, through(), "a.tflite"), spec, outputs=tmp_path / "ref.npy")
    coarse = write(tmp_path, through("int8", scale=0.1), "b.tflite")
    after = score_tflite(coarse, spec, reference_outputs=tmp_path / "ref.npy")
    assert (before.metric, before.value) == ("agreement", None)
    assert after.metric == "agreement"
    wanted = (numpy.rint(rows / numpy.float32(0.1)).argmax(axis=1) == rows.argmax(axis=1)).mean()
    assert after.value == after.same_class == pytest.approx(wanted)
    assert 0.99 < after.cosine < 1
    assert 0.04 < after.max_abs_difference <= 0.0501
    score = compared(before, after)
    assert (score.metric, score.reference) == ("agreement", 1.0)
    assert score.drop == pytest.approx(100 * (1 - wanted))


def test_a_wrong_scale_shows_in_the_drop(tmp_path: Path, data) -> None:
    good = score_tflite(write(tmp_path, through(), "a.tflite"), data, outputs=tmp_path / "ref.npy")
    useless = write(tmp_path, through("int8", scale=1.0), "b.tflite")
    score = compared(good, score_tflite(useless, data, reference_outputs=tmp_path / "ref.npy"))
    assert score.drop > 20
    assert score.details["same_class"] < 0.8


def test_reference_outputs_of_other_rows_are_refused(tmp_path: Path, data) -> None:
    numpy.save(tmp_path / "ref.npy", numpy.zeros((3, 4), numpy.float32))
    with pytest.raises(DataError, match="outputs of 3 rows, the dataset has 150"):
        score_tflite(write(tmp_path, through()), data, reference_outputs=tmp_path / "ref.npy")


def test_other_metrics_can_be_asked_for(tmp_path: Path, data, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_score.py").write_text("def first(y_true, y_pred):\n    return float((y_true == 0).mean())\n")
    monkeypatch.chdir(tmp_path)
    model = write(tmp_path, through())
    assert 0.9 < score_tflite(model, data, metric="top-3").value < 1
    assert score_tflite(model, data, metric="auc").value > 0.8
    assert 0.1 < score_tflite(model, data, metric="my_score:first").value < 0.4
    with pytest.raises(UsageError, match="unknown metric"):
        score_tflite(model, data, metric="f1")


def test_labels_are_needed_for_a_metric_of_labels(tmp_path: Path, rows) -> None:
    numpy.save(tmp_path / "d.npy", rows)
    with pytest.raises(DataError, match="has no labels for the metric top-1"):
        score_tflite(write(tmp_path, through()), data_spec(tmp_path / "d.npy"), metric="top-1")


def test_nan_in_the_outputs_is_an_error_with_the_row(tmp_path: Path) -> None:
    root = build(
        [Tensor("x", "float32", (1, 4)), Tensor("y", "float32", (1, 4))],
        [Op(OPS.SQRT, ["x"], ["y"])],
        ["x"],
        ["y"],
    )
    x = numpy.ones((9, 4))
    x[6, 1] = -1
    numpy.savez(tmp_path / "d.npz", x=x)
    with pytest.raises(ModelError, match="NaN for row 6 of"):
        score_tflite(write(tmp_path, root), data_spec(tmp_path / "d.npz"))


def test_a_wrong_shape_is_a_data_error(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.ones((5, 3)))
    with pytest.raises(DataError, match="the shape is 3, the model's input 'features' takes 4"):
        score_tflite(write(tmp_path, through(signature=True)), data_spec(tmp_path / "d.npz"))


@pytest.mark.parametrize("content", [b"", b"some text", b"\x1c\0\0\0TFL3 and nothing else"])
def test_a_file_that_is_no_tflite_is_a_model_error(tmp_path: Path, data, content: bytes) -> None:
    with pytest.raises(ModelError, match=r"not a .*(\.tflite|TFLite)"):
        score_tflite(write(tmp_path, content), data)
    with pytest.raises(ModelError, match="no such file"):
        score_tflite(tmp_path / "none.tflite", data)


def test_damaged_models_end_in_named_errors_and_never_take_us_down(tmp_path: Path, data) -> None:
    whole = dense(columns=4)
    generator = numpy.random.default_rng(0)
    errors = 0
    for _ in range(12):
        damaged = bytearray(whole)
        for place in generator.integers(8, len(damaged), 12):
            damaged[place] = generator.integers(0, 256)
        try:
            found = score_tflite(write(tmp_path, bytes(damaged)), data)
        except (ModelError, DataError):
            errors += 1
        else:
            assert isinstance(found, Evaluation)  # the damage did not matter
    assert errors >= 3


def test_progress_is_heard(tmp_path: Path, data) -> None:
    heard = []
    score_tflite(write(tmp_path, through()), data, on_event=heard.append)
    assert heard[-1].fraction == 1.0
    assert heard[-1].message == "150 rows"
