"""--uint8-input: an app feeds bytes, and gets what the model gives for preprocessed values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import optimize_litert
import pytest
import zoo

import edgekit
from edgekit.core.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_home")


@pytest.fixture(scope="module")
def frames(home: Path) -> numpy.ndarray[Any, Any]:
    found = numpy.random.default_rng(3).integers(0, 256, (80, 32, 32, 3)).astype(numpy.uint8)
    numpy.savez(home / "frames.npz", x=found)
    return found


@pytest.fixture(scope="module")
def model(home: Path) -> Path:
    return zoo.saved("depthwise", home)


def output(path: Path, values: Any) -> Any:
    (found,) = optimize_litert.run(path, {"x": values, "image": values}, len(values)).values()
    return found


@pytest.mark.parametrize(
    ("preprocessing", "scale", "mean", "std"),
    [
        ({"scale": "1/255"}, 1 / 255, 0.0, 1.0),
        (
            {"scale": "1/255", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25]},
            1 / 255,
            (0.5, 0.4, 0.3),
            (0.2, 0.3, 0.25),
        ),
    ],
    ids=["one scale", "channels differ"],
)
def test_bytes_give_what_preprocessed_values_give(model, frames, home, tmp_path, preprocessing, scale, mean, std):
    plain = edgekit.convert(model, output=tmp_path / "plain.tflite")
    made = edgekit.convert(
        model, data=str(home / "frames.npz"), **preprocessing, uint8_input=True, output=tmp_path / "bytes.tflite"
    )
    assert made.manifest.inputs[0].dtype == "uint8"
    assert [step.name for step in made.manifest.steps][-1] == "uint8-input"
    wanted = output(plain.path, ((frames[:8] * scale - mean) / std).astype(numpy.float32))
    offset = made.manifest.inputs[0]
    found = output(made.path, (frames[:8].astype(numpy.float64) - offset.zero_point) * offset.scale)
    assert numpy.abs(found - wanted).max() < 1e-4


def test_int8_takes_bytes_and_stays_full_integer(model, frames, home, tmp_path):
    made = edgekit.quantize(
        model,
        data=str(home / "frames.npz"),
        scale="1/255",
        mean=[0.5, 0.4, 0.3],
        std=[0.2, 0.3, 0.25],
        uint8_input=True,
        output=tmp_path / "int8.tflite",
    )
    assert made.manifest.audit.full_integer
    assert made.manifest.inputs[0].dtype == "uint8"
    assert made.manifest.score.details["cosine"] > 0.999  # with the float model on raw frames


def test_without_data_there_is_no_preprocessing_to_take_in(model, tmp_path):
    with pytest.raises(UsageError, match="there are no data") as caught:
        edgekit.convert(model, uint8_input=True, output=tmp_path / "x.tflite")
    assert "--scale" in str(caught.value.hint)


def test_a_tflite_cannot_take_in_what_differs_between_channels(model, frames, home, tmp_path):
    plain = edgekit.convert(model, output=tmp_path / "plain.tflite")
    with pytest.raises(UsageError, match="differ between channels"):
        edgekit.quantize(
            plain.path,
            data=str(home / "frames.npz"),
            mean=[1, 2, 3],
            uint8_input=True,
            output=tmp_path / "x.tflite",
        )
