"""What `edgekit inspect` tells of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.core import decode
from edgekit.core.child import Child
from edgekit.core.errors import DependencyError
from edgekit.model.inspect import inspect_model

CONVOLUTION = 6 * 6 * 4 * 9
CLASSES = 6 * 6 * 4 * 3


@pytest.mark.parametrize("name", ["cnn.keras", "tf_cnn.h5"])
def test_a_keras_model_is_described_layer_by_layer(models: Path, name: str) -> None:
    found = inspect_model(models / name)
    assert found.network is not None
    assert found.parameters == 36 + 16 + 435
    assert found.network.trainable == 36 + 8 + 435
    assert found.macs == CONVOLUTION + CLASSES
    layers = {layer.name: layer for layer in found.network.layers}
    assert layers["conv"].output_shape == (-1, 6, 6, 4)
    assert layers["conv"].macs == CONVOLUTION
    assert layers["norm"].parameters == 16
    assert found.network.last_activations == ("softmax",)
    assert found.network.training is not None
    assert found.network.training.loss == "sparse_categorical_crossentropy"
    assert found.network.training.metrics == ("accuracy",)
    assert found.size_bytes > found.gzip_bytes > 0
    json.dumps(decode.to_json(found))


def test_a_plain_savedmodel_is_described_by_its_signature(models: Path) -> None:
    found = inspect_model(models / "cnn_export")
    assert found.network is not None
    assert found.parameters == 36 + 16 + 435
    assert "serving_default" in found.network.signatures
    assert found.inputs[0].shape == (-1, 8, 8, 1)
    assert found.size_bytes == sum(p.stat().st_size for p in (models / "cnn_export").rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("float.tflite", "none"),
        ("int8.tflite", "int8 weights per channel, int8 activations"),
        ("dynamic.tflite", "none"),
        ("island.tflite", "int8 weights per channel, int8 activations, float32 in places"),
        ("int8_float_io.tflite", "int8 weights per channel, int8 activations, float32 inputs or outputs"),
        ("lstm.tflite", "int8 weights per channel, int16/int8 activations"),
    ],
)
def test_a_tflite_is_described_without_tensorflow(tflites: Path, name: str, words: str) -> None:
    found = inspect_model(tflites / name)
    assert found.flatbuffer is not None
    assert found.flatbuffer.quantization == words
    assert found.flatbuffer.min_runtime is not None
    json.dumps(decode.to_json(found))


def test_the_macs_of_a_tflite_are_those_of_the_model_it_was_made_from(tflites: Path) -> None:
    found = inspect_model(tflites / "int8.tflite")
    assert found.macs == CONVOLUTION + CLASSES
    assert found.flatbuffer is not None
    assert found.flatbuffer.ops[0].name == "CONV_2D"


def test_a_missing_tensorflow_is_a_named_error_before_anything_is_loaded(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else there(name))
    with pytest.raises(DependencyError) as caught:
        inspect_model(models / "cnn.keras")
    assert caught.value.hint == "pip install 'edgekit[optimize]'"
    assert caught.value.exit_code == 3


def _describe(child: Child, name: str) -> dict[str, Any]:
    found: dict[str, Any] = child.call("model_checks:describe_built", time_limit_s=60, name=name)
    return found


def test_macs_of_shared_layers_count_every_call(child: Child) -> None:
    layers = {layer["name"]: layer for layer in _describe(child, "several")["layers"]}
    assert layers["shared"]["macs"] == 2 * 5 * 4
    assert layers["shared"]["parameters"] == 24


def test_nested_models_count_every_call_too(child: Child) -> None:
    layers = {layer["name"]: layer for layer in _describe(child, "siamese")["layers"]}
    assert layers["tower/dense"]["macs"] == 2 * 8 * 4


def test_attention_counts_projections_and_products(child: Child) -> None:
    layers = {layer["name"]: layer for layer in _describe(child, "attention")["layers"]}
    projections = 4 * 6 * 8 * 8  # query, key, value and output: 6 positions, 8 features, 2 heads of 4
    assert layers["multi_head_attention"]["macs"] == projections + 6 * 6 * 2 * (4 + 4)


def test_an_open_size_leaves_the_macs_open(child: Child) -> None:
    layers = {layer["name"]: layer for layer in _describe(child, "open_size")["layers"]}
    assert layers["conv2d"]["macs"] is None
