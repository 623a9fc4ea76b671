"""Preprocessing taken into a model: exact in a Keras model, one op or none in a .tflite."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy
import pytest
import zoo
from optimize_workshop import Workshop

from edgekit.core.errors import ModelError, UsageError
from edgekit.model import load
from edgekit.model.tflite import read_tflite
from edgekit.optimize.interpreter import HostModel
from edgekit.optimize.refit.fold_input import fold_input
from edgekit.optimize.refit.scaling import scaling_of
from edgekit.optimize.refit.uint8_input import uint8_input

FACTOR = {"scale": 1 / 255}
SHIFT = {"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
CENTRED = {"scale": 1.0, "mean": [127.5], "std": [127.5]}


def model(library: str, kind: str, tmp_path: Path) -> Path:
    module = zoo.library_of(library)
    module.utils.set_random_seed(3)
    layers = module.layers
    image = layers.Input((12, 12, 3), name="image")
    first = {
        "valid": lambda: layers.Conv2D(4, 3, use_bias=False, name="first"),
        "same": lambda: layers.Conv2D(4, 3, padding="same", name="first"),
        "depthwise": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, name="first"),
        "dense": lambda: layers.Dense(5, name="first"),
        "rescaling": lambda: layers.Rescaling(2.0, offset=-1.0, name="first"),
        "pool": lambda: layers.MaxPooling2D(2, name="first"),
    }[kind]()
    x = layers.Dense(3, name="classes")(layers.Flatten()(layers.ReLU()(first(image))))
    path = tmp_path / f"{kind}.keras"
    module.Model(image, x, name="small").save(path)
    return path


@pytest.mark.parametrize("library", ["keras", "tf_keras"])
@pytest.mark.parametrize(
    ("kind", "preprocessing", "form"),
    [
        ("valid", FACTOR, "weights"),
        ("valid", SHIFT, "weights"),  # a bias is added for it
        ("same", FACTOR, "weights"),  # padding zeros are zeros before and after
        ("same", SHIFT, "layer"),  # they would not be
        ("depthwise", SHIFT, "weights"),
        ("dense", CENTRED, "weights"),
        ("rescaling", SHIFT, "rescaling"),
        ("pool", CENTRED, "layer"),
    ],
)
def test_raw_values_give_what_preprocessed_ones_gave(
    library: str, kind: str, preprocessing: dict[str, Any], form: str, tmp_path: Path
) -> None:
    source, out = model(library, kind, tmp_path), tmp_path / "out.keras"
    done = fold_input(str(source), str(out), preprocessing=preprocessing)
    assert done.form == form
    raw = numpy.random.default_rng(7).integers(0, 256, (5, 12, 12, 3)).astype("float32")
    scale, mean, std = (numpy.asarray(preprocessing.get(k, d)) for k, d in (("scale", 1), ("mean", 0), ("std", 1)))
    expected = load.forward(load.load_model(source), {"image": ((raw * scale - mean) / std).astype("float32")})
    loaded = load.load_model(out)
    assert load.forward(loaded, {"image": raw})["classes"] == pytest.approx(expected["classes"], rel=1e-4, abs=1e-4)
    assert load.input_names(loaded) == ("image",)
    layers = [layer.name for layer in loaded.model.layers]
    assert ("preprocessing" in layers) == (form == "layer")
    assert len(layers) == len(load.load_model(source).model.layers) + (form == "layer")


def test_a_sequential_and_a_model_that_begins_with_a_model_take_it_too(tmp_path: Path) -> None:
    for name, form in (("sequential", "weights"), ("nested", "layer")):
        source = zoo.save(name, tmp_path)
        done = fold_input(str(source), str(tmp_path / "out.keras"), preprocessing=SHIFT)
        assert done.form == form
        assert "raw values" in done.notes[0]


@pytest.mark.parametrize(
    ("preprocessing", "message"),
    [
        ({"function": "mine:prepare"}, "function mine:prepare"),
        ({}, "no preprocessing"),
        ({"mean": [1, 2, 3], "std": [1, 2]}, "3 values and --std 2"),
        ({"mean": [1, 2], "std": [1, 2]}, "2 values, and the input has 3 channels"),
    ],
)
def test_what_is_no_arithmetic_is_refused(preprocessing: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        fold_input(str(model("keras", "valid", tmp_path)), str(tmp_path / "out.keras"), preprocessing=preprocessing)


def test_a_model_of_two_inputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has 2 inputs"):
        fold_input(str(zoo.save("multi_input", tmp_path)), str(tmp_path / "out.keras"), preprocessing=FACTOR)


@pytest.fixture(scope="module")
def tflites(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small image model, trained on values of 0 to 1, in three modes."""
    folder = tmp_path_factory.mktemp("bytes")
    source = zoo.save("functional", folder, epochs=2)
    data = zoo.write_npz("functional", folder / "rows.npz", 128)
    workshop.call("export:export", source=str(source), out=str(folder / "saved"))
    workshop.call("convert:convert", saved_model=str(folder / "saved"), out=str(folder / "float32.tflite"))
    tf = load.libraries.tensorflow()
    x = numpy.load(data)["x"]
    for mode in ("int8", "int8-float-io"):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in x[:64])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if mode == "int8":
            converter.inference_input_type = converter.inference_output_type = tf.int8
        (folder / f"{mode}.tflite").write_bytes(converter.convert())
    return folder


@pytest.mark.parametrize(
    ("mode", "op", "more"), [("float32", "DEQUANTIZE", 1), ("int8", "QUANTIZE", 1), ("int8-float-io", "", 0)]
)
def test_a_tflite_takes_bytes_with_one_op_or_none(tflites: Path, mode: str, op: str, more: int, tmp_path: Path) -> None:
    source, out = tflites / f"{mode}.tflite", tmp_path / "bytes.tflite"
    done = uint8_input(str(source), str(out), preprocessing=FACTOR)
    assert done.op == op
    old, new = read_tflite(source), read_tflite(out)
    assert len(new.ops) == len(old.ops) + more
    assert (new.inputs[0].dtype, new.inputs[0].name) == ("uint8", old.inputs[0].name)
    assert new.inputs[0].scale == pytest.approx(1 / 255)
    assert new.inputs[0].zero_point == 0
    assert [spec.name for spec in new.outputs] == [spec.name for spec in old.outputs]
    frames = numpy.random.default_rng(0).integers(0, 256, (20, 16, 16, 3))
    rows = {new.inputs[0].name: (frames / 255).astype("float32")}
    expected = HostModel(str(source), num_threads=1).predict(rows, together=False)
    found = HostModel(str(out), num_threads=1).predict(rows, together=False)  # real values become the same bytes
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-5 if mode == "float32" else 0.04)
    if mode == "float32":
        assert done.max_abs_difference < 1e-5


def test_a_zero_between_two_bytes_is_said_and_a_mean_per_channel_refused(tflites: Path, tmp_path: Path) -> None:
    source, out = str(tflites / "int8.tflite"), str(tmp_path / "bytes.tflite")
    done = uint8_input(source, out, preprocessing=CENTRED)
    assert [notice.code for notice in done.notices] == ["zero-between-bytes"]
    assert done.offset_error == pytest.approx(0.5 / 127.5)
    with pytest.raises(UsageError, match="scaled or shifted differently"):
        uint8_input(source, out, preprocessing=SHIFT)
    with pytest.raises(UsageError, match="0 must be among them"):
        uint8_input(source, out, preprocessing={"scale": 1 / 255, "mean": [-1.0]})
    uint8_input(source, out, preprocessing=FACTOR)
    with pytest.raises(ModelError, match="is uint8"):
        uint8_input(out, str(tmp_path / "again.tflite"), preprocessing=FACTOR)


def test_the_scaling_is_the_one_of_the_dataset() -> None:
    scaling = scaling_of(SHIFT)
    raw = numpy.random.default_rng(0).integers(0, 256, (4, 2, 2, 3))
    wanted = (raw / 255 - numpy.asarray(SHIFT["mean"])) / numpy.asarray(SHIFT["std"])
    assert scaling.apply(raw) == pytest.approx(wanted, abs=1e-6)
