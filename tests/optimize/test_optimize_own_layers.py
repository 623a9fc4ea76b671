"""A model with a layer of its author's own: pruned in Keras 3 when it is trusted and its module is at hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import edgekit
from edgekit.core.errors import ModelError
from edgekit.core.hashing import sha256_file

MODULE = """
import keras

class Scale(keras.layers.Layer):
    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")

    def call(self, x):
        return x * self.factor
"""
MAKE = """
import keras, my_layers
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((8,)), keras.layers.Dense(16, activation="relu"), my_layers.Scale(name="scale"),
    keras.layers.Dense(3, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy")
model.save("own.keras")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_layers.py").write_text(MODULE)
    subprocess.run([sys.executable, "-c", MAKE], cwd=folder, check=True, capture_output=True, timeout=120)
    x = numpy.random.default_rng(0).random((300, 8)).astype(numpy.float32)
    numpy.savez(folder / "data.npz", x=x, y=x[:, :3].argmax(1))
    return folder


def test_it_is_refused_by_name_until_it_is_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ModelError, match=r"layer 'scale' of class my_layers\.Scale") as caught:
        edgekit.prune("own.keras", data="data.npz")
    assert "my_layers.py" in str(caught.value.hint)


def test_trust_does_not_help_without_the_module(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"layer 'scale' of class my_layers\.Scale"):
        edgekit.prune(folder / "own.keras", data=str(folder / "data.npz"), trust_model=True)


def test_trusted_it_is_pruned_with_keras_masks_and_keeps_its_layer(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = sha256_file(folder / "own.keras")
    made = edgekit.prune("own.keras", data="data.npz", sparsity=0.5, epochs=2, trust_model=True, output="out.keras")
    assert sha256_file(folder / "own.keras") == before
    step = made.steps[-1]
    assert step.details["engine"] == "keras"
    assert step.details["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert any("not by TFMOT" in note and "'scale'" in note for note in step.notes)
    assert [notice.code for notice in made.notices if notice.code == "trusted-code"] == ["trusted-code"]
    check = (
        "import keras, my_layers; m = keras.models.load_model('out.keras', custom_objects={'Scale': my_layers.Scale})"
    )
    check += "; print(float((m.layers[0].get_weights()[0] == 0).mean()), type(m.layers[1]).__name__)"
    done = subprocess.run([sys.executable, "-c", check], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["0.5", "Scale"], done.stderr


def test_a_layer_that_the_user_names_needs_no_trust_and_is_removed_from_with_the_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    options = {"data": "data.npz", "custom": ["my_layers:Scale"], "output": "named.tflite"}
    made = edgekit.optimize("own.keras", recipe="int8", **options)
    assert made.manifest is not None
    assert made.manifest.audit.full_integer
    assert edgekit.inspect("own.keras", custom=["my_layers:Scale"]).parameters == 8 * 16 + 16 + 16 + 16 * 3 + 3
    assert edgekit.evaluate("own.keras", data="data.npz", custom=["my_layers:Scale"]).count > 0


def test_a_layer_that_was_changed_makes_every_step_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    options = {"data": "data.npz", "custom": ["my_layers:Scale"], "output": "named.tflite"}
    edgekit.optimize("own.keras", recipe="int8", **options)
    again = edgekit.optimize("own.keras", recipe="int8", **options)
    assert [step.cached for step in again.manifest.steps] == [True, True]
    (folder / "my_layers.py").write_text(MODULE.replace("x * self.factor", "2 * x * self.factor"))
    changed = edgekit.optimize("own.keras", recipe="int8", **options)
    assert [step.cached for step in changed.manifest.steps] == [False, False]
    assert changed.manifest.float_reference != again.manifest.float_reference
