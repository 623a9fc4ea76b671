"""Representative data that would ruin a model, and quantization of a bare .tflite without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from optimize_litert import ops, run
from optimize_workshop import TIME_LIMIT_S, Workshop

from edgekit.core.artifact import TensorSpec
from edgekit.core.child import Child
from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.core.events import Event
from edgekit.data.spec import DataSpec
from edgekit.optimize import kernel_versions, model_tree
from edgekit.optimize.calibrate import can_share
from edgekit.optimize.representative import Rows

IMAGE = TensorSpec(name="image", dtype="float32", shape=(1, 4, 4, 3))
VECTOR = TensorSpec(name="vector", dtype="float32", shape=(1, 5))
TOKENS = TensorSpec(name="tokens", dtype="int32", shape=(1, 6))


def gone_through(rows: list[dict[str, Any]], *inputs: TensorSpec) -> list[dict[str, Any]]:
    return list(Rows(lambda: iter(rows), inputs or (IMAGE,))())


def images(count: int) -> list[dict[str, Any]]:
    random = numpy.random.default_rng(0)
    return [{"image": random.uniform(0, 1, (4, 4, 3))} for _ in range(count)]


def test_rows_become_batches_of_one_in_the_models_type() -> None:
    (row,) = gone_through([{"": numpy.full((4, 4, 3), 7, dtype="uint8")}])
    assert list(row) == ["image"]
    assert row["image"].shape == (1, 4, 4, 3)
    assert row["image"].dtype == numpy.float32


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        gone_through([])


@pytest.mark.parametrize("bad", [numpy.nan, numpy.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_row(bad: float) -> None:
    rows = images(3)
    rows[2]["image"][0, 0, 0] = bad
    with pytest.raises(DataError, match="row 2: the input 'image' has NaN or infinite values"):
        gone_through(rows)


def test_a_wrong_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(DataError, match=r"\(4, 4\), the model wants \(4, 4, 3\)"):
        gone_through([{"image": numpy.zeros((4, 4))}])


def test_channels_first_data_are_recognized() -> None:
    with pytest.raises(DataError) as caught:
        gone_through([{"image": numpy.zeros((3, 4, 4))}])
    assert "channels-first" in str(caught.value.hint)


def test_a_missing_input_is_named() -> None:
    with pytest.raises(DataError, match="the input 'vector' is missing"):
        gone_through(images(1), IMAGE, VECTOR)


def test_reals_for_an_integer_input_are_refused() -> None:
    with pytest.raises(DataError, match="is float64, the model wants int32"):
        gone_through([{"tokens": numpy.zeros(6)}], TOKENS)


def test_constant_rows_are_refused() -> None:
    with pytest.raises(DataError, match="is 0 everywhere in all 5"):
        gone_through([{"image": numpy.zeros((4, 4, 3))}] * 5)


def test_faulty_rows_stop_the_quantizer_instead_of_giving_a_float_model(workshop: Workshop) -> None:
    _, tflite = workshop.float_model("nested.keras")
    holes = numpy.load(workshop.path("images.npz"))["x"].copy()
    holes[3, 2, 2] = numpy.nan
    numpy.savez(workshop.path("holes.npz"), x=holes)
    out = workshop.folder / "holes.tflite"
    with pytest.raises(DataError, match="NaN"):
        workshop.call(
            "quantize:quantize",
            float_model=str(tflite),
            out=str(out),
            mode="int8",
            representative=workshop.data("holes.npz"),
        )
    assert not out.exists()


def test_calibration_tells_how_far_it_is(workshop: Workshop) -> None:
    _, tflite = workshop.float_model("nested.keras")
    seen: list[Event] = []
    workshop.call(
        "quantize:quantize", float_model=str(tflite), out=workshop.path("told.tflite"), mode="int8",
        representative=workshop.data("images.npz", 40), on_event=seen.append,
    )  # fmt: skip
    fractions = [event.fraction for event in seen if event.task == "calibrate" and event.fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert seen[-1].state == "finished"


def test_two_processes_find_the_ranges_that_one_finds(workshop: Workshop) -> None:
    _, tflite = workshop.float_model("nested.keras")
    made = {}
    for name, worth in (("one", 1e9), ("two", 0.0)):
        out = workshop.folder / f"ranges-{name}.tflite"
        made[name] = workshop.reference(
            "calibrated_by_two",
            float_model=str(tflite),
            out=str(out),
            data=workshop.data("images.npz"),
            worth_seconds=worth,
        )
    assert made == {"one": [240, 240], "two": [240, 122]}
    assert (workshop.folder / "ranges-one.tflite").read_bytes() == (workshop.folder / "ranges-two.tflite").read_bytes()


def test_a_faulty_row_in_the_other_processs_half_is_an_error_all_the_same(workshop: Workshop) -> None:
    _, tflite = workshop.float_model("nested.keras")
    images = numpy.load(workshop.path("images.npz"))["x"].copy()
    images[-1] = numpy.nan
    numpy.savez(workshop.path("late.npz"), x=images)
    with pytest.raises(DataError, match="NaN"):
        workshop.reference(
            "calibrated_by_two",
            float_model=str(tflite),
            out=workshop.path("late.tflite"),
            data=workshop.data("late.npz"),
            worth_seconds=0.0,
        )


def test_a_model_with_state_is_not_shared_between_processes(workshop: Workshop) -> None:
    spec = DataSpec(source=workshop.path("series.npz"))
    assert can_share(workshop.float_model("lstm.keras")[1], spec, 60) is None
    spec = DataSpec(source=workshop.path("images.npz"))
    assert can_share(workshop.float_model("nested.keras")[1], spec, 8) is None


def test_an_unknown_mode_is_refused(workshop: Workshop) -> None:
    with pytest.raises(UsageError, match="unknown quantization mode 'int4'"):
        workshop.call("quantize:quantize", float_model="x", out="y", mode="int4", representative={"source": "z"})


# ------------------------------------------------------------------------------------- without TensorFlow


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    with Child(log=tmp_path_factory.mktemp("light") / "log.txt", purpose="quantization") as child:
        yield child


def quantized(
    light: Child, workshop: Workshop, source: Path, mode: str, data: str | None
) -> tuple[dict[str, Any], Path]:
    out = workshop.folder / f"light-{source.parent.name}-{mode}.tflite"
    answer = light.call(
        "edgekit.optimize.quantize_tflite:quantize_tflite",
        time_limit_s=TIME_LIMIT_S,
        source=str(source),
        out=str(out),
        mode=mode,
        representative=None if data is None else workshop.data(data),
    )
    return answer, out


@pytest.mark.parametrize(
    ("mode", "edge"), [("int8", "int8"), ("int8-float-io", "float32"), ("int16x8", "int16"), ("dynamic", "float32")]
)
def test_a_bare_tflite_is_quantized_close_to_float_with_the_edges_asked_for(
    light: Child, workshop: Workshop, mode: str, edge: str
) -> None:
    _, source = workshop.float_model("two.keras")
    answer, out = quantized(light, workshop, source, mode, None if mode == "dynamic" else "two.npz")
    assert {spec["dtype"] for spec in answer["inputs"] + answer["outputs"]} == {edge}
    assert answer["samples"] == (0 if mode == "dynamic" else 60)
    arrays = numpy.load(workshop.path("two.npz"))
    for name, values in run(source, arrays, 20).items():
        numpy.testing.assert_allclose(run(out, arrays, 20)[name], values, atol=0.05 * abs(values).max())


def test_tensorflow_is_not_imported_for_it(light: Child, workshop: Workshop) -> None:
    _, source = workshop.float_model("two.keras")
    quantized(light, workshop, source, "int8", "two.npz")
    packages = light.call("tests.optimize.optimize_models:loaded_packages", time_limit_s=TIME_LIMIT_S)
    assert "ai_edge_quantizer" in packages
    assert not {"tensorflow", "keras", "tf_keras"} & set(packages)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("int8", {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "MEAN": 2}),
        ("dynamic", {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 12, "MEAN": 1}),
        ("int16x8", {"MEAN": 3}),
    ],
)
def test_op_versions_are_raised_to_what_the_kernels_need(
    light: Child, workshop: Workshop, mode: str, expected: dict[str, int]
) -> None:
    _, source = workshop.float_model("nested.keras")
    answer, out = quantized(light, workshop, source, mode, None if mode == "dynamic" else "images.npz")
    model = model_tree.read(out)
    found = {
        model_tree.op_name(model, op): model.operatorCodes[op.opcodeIndex].version
        for op in model.subgraphs[0].operators
    }
    assert {name: found[name] for name in expected} == expected
    assert any("op versions raised" in note for note in answer["notes"])


def test_raising_the_versions_changes_no_result(light: Child, workshop: Workshop) -> None:
    _, source = workshop.float_model("nested.keras")
    _, out = quantized(light, workshop, source, "dynamic", None)
    lowered = model_tree.read(out)
    for code in lowered.operatorCodes:
        code.version = 1
    low = out.with_name("lowered.tflite")
    low.write_bytes(model_tree.pack(lowered))
    assert kernel_versions.raise_versions(model_tree.read(low))
    arrays = numpy.load(workshop.path("images.npz"))
    numpy.testing.assert_array_equal(run(low, arrays, 5)["logits"], run(out, arrays, 5)["logits"])


def test_versions_agree_with_those_that_tensorflow_writes(workshop: Workshop) -> None:
    for model, data in (("nested.keras", "images.npz"), ("two.keras", "two.npz"), ("lstm.keras", "series.npz")):
        _, tflite = workshop.float_model(model)
        out = workshop.folder / f"versions-{model}.tflite"
        workshop.call(
            "quantize:quantize",
            float_model=str(tflite),
            out=str(out),
            mode="int8",
            representative=workshop.data(data, 20),
        )
        assert kernel_versions.raise_versions(model_tree.read(out)) == {}
        lowered = model_tree.read(out)
        wanted = {index: code.version for index, code in enumerate(lowered.operatorCodes)}
        for code in lowered.operatorCodes:
            code.version = 1
        kernel_versions.raise_versions(lowered)
        assert {index: code.version for index, code in enumerate(lowered.operatorCodes)} == wanted


def test_a_quantized_tflite_is_refused_without_tensorflow_too(light: Child, workshop: Workshop) -> None:
    _, source = workshop.float_model("two.keras")
    _, once = quantized(light, workshop, source, "int8", "two.npz")
    with pytest.raises(ModelError, match="quantized already"):
        quantized(light, workshop, once, "int8", "two.npz")


def test_a_bare_tflite_without_representative_data_is_refused(light: Child, workshop: Workshop) -> None:
    _, source = workshop.float_model("two.keras")
    with pytest.raises(DataError, match="int8 needs representative data"):
        quantized(light, workshop, source, "int8", None)


def test_a_bare_tflite_cannot_become_float16(light: Child, workshop: Workshop) -> None:
    _, source = workshop.float_model("two.keras")
    with pytest.raises(UsageError, match="cannot be converted to float16"):
        quantized(light, workshop, source, "float16", None)


@pytest.mark.parametrize("content", [b"", b"a text", b"\x1c\0\0\0TFL3" + b"\xff" * 40])
def test_a_file_that_is_no_tflite_is_a_named_error(light: Child, workshop: Workshop, content: bytes) -> None:
    damaged = workshop.folder / "damaged.tflite"
    damaged.write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged\.tflite"):
        quantized(light, workshop, damaged, "dynamic", None)


def test_a_fused_lstm_stays_in_one_piece(light: Child, workshop: Workshop) -> None:
    _, source = workshop.float_model("lstm.keras")
    _, out = quantized(light, workshop, source, "dynamic", None)
    assert ops(out).count("UNIDIRECTIONAL_SEQUENCE_LSTM") == 1
