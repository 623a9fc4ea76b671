"""From a model to a .tflite: names, weights, fused ops, and what the converter's failures become."""

from __future__ import annotations

import numpy
import pytest
from optimize_litert import contents, ops, run
from optimize_workshop import Workshop

from edgekit.core.errors import ModelError, UsageError
from edgekit.model.op_versions import number
from edgekit.optimize import kernel_versions, model_tree
from edgekit.optimize.audit import audit_tflite
from edgekit.optimize.convert import check_weights
from edgekit.optimize.export import Exported


@pytest.mark.parametrize("model", ["nested.keras", "nested.h5", "old.h5", "old.keras", "old_folder", "plain_folder"])
def test_the_float32_file_computes_what_the_model_computes(workshop: Workshop, model: str) -> None:
    exported, tflite = workshop.float_model(model)
    expected = workshop.reference("answers", model=workshop.path(model), data=workshop.path("images.npz"), rows=5)
    found = run(tflite, numpy.load(workshop.path("images.npz")), 5)
    assert list(found) == [spec["name"] for spec in exported["outputs"]]
    for name, values in expected.items():
        numpy.testing.assert_allclose(found[name], values, atol=1e-5)


def test_every_model_takes_one_sample_under_its_inputs_names_without_shape_arithmetic(workshop: Workshop) -> None:
    for model in ("nested.keras", "plain_folder"):
        exported, tflite = workshop.float_model(model)
        assert exported["inputs"][0]["shape"] == [1, 8, 8, 1]
        assert {spec.name for spec in model_tree.inputs(model_tree.read(tflite))} == {exported["inputs"][0]["name"]}
        assert not {"SHAPE", "PACK", "STRIDED_SLICE"} & set(ops(tflite))


@pytest.mark.parametrize("mode", ["float16", "dynamic"])
def test_the_modes_without_data_stay_close_to_float(workshop: Workshop, mode: str) -> None:
    exported, tflite = workshop.float_model("two.keras")
    out = workshop.folder / f"two-{mode}.tflite"
    answer = workshop.call("convert:convert", saved_model=exported["path"], out=str(out), mode=mode)
    assert answer["size_bytes"] == out.stat().st_size
    arrays = numpy.load(workshop.path("two.npz"))
    for name, values in run(tflite, arrays, 5).items():
        numpy.testing.assert_allclose(run(out, arrays, 5)[name], values, atol=0.05 * abs(values).max())


def test_an_unknown_mode_names_the_nearest(workshop: Workshop) -> None:
    exported, _ = workshop.float_model("two.keras")
    with pytest.raises(UsageError, match="unknown conversion mode 'flaot16'") as caught:
        workshop.call("convert:convert", saved_model=exported["path"], out="x.tflite", mode="flaot16")
    assert "float16" in str(caught.value.hint)


def test_an_lstm_of_keras_3_becomes_one_fused_op(workshop: Workshop) -> None:
    exported, tflite = workshop.float_model("lstm.keras")
    assert ops(tflite).count("UNIDIRECTIONAL_SEQUENCE_LSTM") == 1
    assert exported["library"] == "tf_keras"
    assert exported["rebuilt_difference"] < 1e-5
    assert "the_lstm: exported through a tf_keras copy" in exported["notes"][0]


def test_an_open_dimension_is_refused_by_the_inputs_name(workshop: Workshop) -> None:
    with pytest.raises(ModelError, match=r"input 'series' has an open size: \(\?, \?, 4\)") as caught:
        workshop.call("export:export", source=workshop.path("open.keras"), out=workshop.path("open_saved"))
    assert "fixed" in str(caught.value.hint)
    assert not (workshop.folder / "open_saved").exists()


def test_an_op_that_tflite_does_not_have_is_named(workshop: Workshop) -> None:
    with pytest.raises(ModelError, match=r"no op for MatrixInverse") as caught:
        workshop.float_model("inverse.keras")
    assert caught.value.details["ops"] == ["MatrixInverse"]
    assert not (workshop.folder / "made" / "inverse.keras" / "float32.tflite").exists()


def test_a_file_that_lost_its_weights_is_refused(workshop: Workshop) -> None:
    record, tflite = workshop.float_model("nested.keras")
    exported = Exported(
        path="", library="keras", inputs=(), outputs=(), weights_bytes=record["weights_bytes"], recurrent=(),
        rebuilt_difference=None, notes=(),
    )  # fmt: skip
    model = model_tree.read(tflite)
    check_weights(model, exported, "float32")
    for buffer in model.buffers:
        buffer.data = None
    with pytest.raises(ModelError, match="lost the weights"):
        check_weights(model, exported, "float32")


def test_variables_left_in_the_graph_are_refused(workshop: Workshop) -> None:
    _, tflite = workshop.float_model("nested.keras")
    model = model_tree.read(tflite)
    code = model_tree.schema().BuiltinOperator.READ_VARIABLE
    model.operatorCodes[0].builtinCode, model.operatorCodes[0].deprecatedBuiltinCode = code, 127
    nothing = Exported(
        path="",
        library="keras",
        inputs=(),
        outputs=(),
        weights_bytes=0,
        recurrent=(),
        rebuilt_difference=None,
        notes=(),
    )
    with pytest.raises(ModelError, match="READ_VARIABLE"):
        check_weights(model, nothing, "float32")


def test_a_folder_that_edgekit_did_not_export_is_refused(workshop: Workshop) -> None:
    with pytest.raises(ModelError, match="was not exported by edgekit"):
        workshop.call("convert:convert", saved_model=workshop.path("old_folder"), out=workshop.path("x.tflite"))


def test_an_unwritable_output_is_a_usage_error_and_leaves_nothing(workshop: Workshop) -> None:
    exported, _ = workshop.float_model("two.keras")
    with pytest.raises(UsageError, match="cannot write"):
        workshop.call("convert:convert", saved_model=exported["path"], out=workshop.path("images.npz") + "/x.tflite")


# ------------------------------------------------------------------------------------------------ full integer


@pytest.mark.parametrize(
    ("model", "data", "mode"),
    [
        ("nested.keras", "images.npz", "int8"),
        ("nested.keras", "images.npz", "int16x8"),
        ("old.h5", "images.npz", "int8-float-io"),
        ("two.keras", "two.npz", "int8"),
        ("lstm.keras", "series.npz", "int8"),
        ("plain_folder", "images.npz", "int8"),
    ],
)
def test_the_quantized_file_is_the_one_that_tensorflows_own_converter_makes(
    workshop: Workshop, model: str, data: str, mode: str
) -> None:
    exported, tflite = workshop.float_model(model)
    ours, theirs = workshop.folder / f"ours-{model}-{mode}.tflite", workshop.folder / f"theirs-{model}-{mode}.tflite"
    answer = workshop.call(
        "quantize:quantize", float_model=str(tflite), out=str(ours), mode=mode, representative=workshop.data(data, 20)
    )
    workshop.reference(
        "public_converter", saved_model=exported["path"], out=str(theirs), mode=mode, data=workshop.path(data), rows=20
    )
    assert answer["samples"] == 20
    assert contents(ours) == contents(theirs)


def test_two_inputs_of_int8_keep_their_data_apart(workshop: Workshop) -> None:
    _, tflite = workshop.float_model("two.keras")
    out = workshop.folder / "two-int8.tflite"
    answer = workshop.call(
        "quantize:quantize", float_model=str(tflite), out=str(out), mode="int8", representative=workshop.data("two.npz")
    )
    scales = {spec["name"]: spec["scale"] for spec in answer["inputs"]}
    assert 0.5 < scales["z_image"] < 1.1  # 0..255
    assert 0.02 < scales["a_vector"] < 0.1  # about -3..9
    arrays = numpy.load(workshop.path("two.npz"))
    for name, values in run(tflite, arrays, 20).items():
        numpy.testing.assert_allclose(run(out, arrays, 20)[name], values, atol=0.05 * abs(values).max())


def test_an_lstm_in_int8_is_full_integer(workshop: Workshop) -> None:
    _, tflite = workshop.float_model("lstm.keras")
    out = workshop.folder / "lstm-int8.tflite"
    workshop.call(
        "quantize:quantize",
        float_model=str(tflite),
        out=str(out),
        mode="int8",
        representative=workshop.data("series.npz"),
    )
    assert audit_tflite(out).full_integer
    arrays = numpy.load(workshop.path("series.npz"))
    numpy.testing.assert_allclose(run(out, arrays, 20)["out"], run(tflite, arrays, 20)["out"], atol=0.05)


def test_int16x8_says_which_runtime_it_needs(workshop: Workshop) -> None:
    _, tflite = workshop.float_model("nested.keras")
    out = workshop.folder / "nested-16x8.tflite"
    answer = workshop.call(
        "quantize:quantize",
        float_model=str(tflite),
        out=str(out),
        mode="int16x8",
        representative=workshop.data("images.npz"),
    )
    assert {spec["dtype"] for spec in answer["inputs"] + answer["outputs"]} == {"int16"}
    model = model_tree.read(out)
    entry = next(item for item in model.metadata if item.name == b"min_runtime_version")
    assert number(bytes(model.buffers[entry.buffer].data).decode().strip("\0")) >= kernel_versions.INT16_ACTIVATIONS


def test_an_op_without_int16x8_kernel_is_named(workshop: Workshop) -> None:
    _, tflite = workshop.float_model("negative.keras")
    with pytest.raises(ModelError, match="int16x8 is not supported for the op NEG") as caught:
        workshop.call(
            "quantize:quantize", float_model=str(tflite), out="x.tflite", mode="int16x8",
            representative=workshop.data("series.npz"),
        )  # fmt: skip
    assert "--mode int8" in str(caught.value.hint)


def test_a_crash_of_the_converter_names_the_recurrent_layer_and_the_process_starts_again(workshop: Workshop) -> None:
    from edgekit.core.child import ChildDied
    from edgekit.optimize.converter_errors import explain_death

    exported, tflite = workshop.float_model("gru.keras")
    out = workshop.folder / "gru-int8.tflite"
    with pytest.raises(ChildDied) as caught:
        workshop.call(
            "quantize:quantize",
            float_model=str(tflite),
            out=str(out),
            mode="int8",
            representative=workshop.data("series.npz"),
        )
    error = explain_death(caught.value, mode="int8", exported=exported)
    assert error.exit_code == 4
    assert "SIGSEGV" in error.message
    assert "the_gru (GRU)" in error.message
    assert "--mode dynamic" in str(error.hint)
    assert not out.exists()
    answer = workshop.call(
        "convert:convert", saved_model=exported["path"], out=str(out.with_name("gru-dynamic.tflite")), mode="dynamic"
    )
    assert answer["size_bytes"] > 0


def test_a_quantized_file_is_not_quantized_again(workshop: Workshop) -> None:
    _, tflite = workshop.float_model("nested.keras")
    once = workshop.folder / "once.tflite"
    arguments = {"mode": "int8", "representative": workshop.data("images.npz", 20)}
    workshop.call("quantize:quantize", float_model=str(tflite), out=str(once), **arguments)
    with pytest.raises(ModelError, match="quantized already"):
        workshop.call("quantize:quantize", float_model=str(once), out=workshop.path("twice.tflite"), **arguments)
