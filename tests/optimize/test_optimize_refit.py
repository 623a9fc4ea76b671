"""Small passes: BatchNormalization statistics from data, and training-only layers taken out with equal outputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy
import pytest
import zoo

from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.core.hashing import sha256_file
from edgekit.model import load
from edgekit.optimize.refit.batch_norm import batch_norm
from edgekit.optimize.refit.statistics import PASSES, normalizations, reestimate
from edgekit.optimize.refit.training_only import training_only

LIBRARIES = ("keras", "tf_keras")
ROWS = 192


def batches(name: str, count: int = ROWS, size: int = 64) -> Any:
    inputs, _ = zoo.rows(name, count)

    def again() -> Any:
        for start in range(0, count, size):
            parts = [value[start : start + size] for value in inputs.values()]
            yield parts if len(parts) > 1 else parts[0]

    return again


def spoil(model: Any, library: str) -> None:
    for layer in normalizations(model, library):
        layer.moving_mean.assign(numpy.full(layer.moving_mean.shape, 0.7, "float32"))
        layer.moving_variance.assign(numpy.full(layer.moving_variance.shape, 9.0, "float32"))


def spec(path: Path, count: int | None = None) -> dict[str, Any]:
    return {"source": str(path), "rows": None if count is None else list(range(count))}


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_layer_gets_the_moments_of_its_input_in_the_finished_model(library: str) -> None:
    """Independent of how they were computed: the input of each layer, read out of the finished model, has them."""
    model = zoo.build("residual", library, epochs=1)
    spoil(model, library)
    done = reestimate(model, library, batches("residual"))
    module = zoo.library_of(library)
    layers = normalizations(model, library)
    assert len(done.layers) == len(layers) == done.passes == 7
    inputs = module.Model(model.input, [layer.input for layer in layers])
    values = inputs.predict(next(iter(zoo.rows("residual", ROWS)[0].values())), verbose=0)
    for layer, value in zip(layers, values):
        assert numpy.asarray(layer.moving_mean) == pytest.approx(value.mean((0, 1, 2)), abs=1e-4)
        assert numpy.asarray(layer.moving_variance) == pytest.approx(value.var((0, 1, 2)), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ["transfer", "depthwise"])
def test_a_trained_model_with_spoilt_statistics_is_as_good_as_before(name: str, library: str) -> None:
    model = zoo.build(name, library, epochs=6)
    inputs, labels = zoo.rows(name, 128, seed=5)
    value = next(iter(inputs.values()))

    def score() -> float:
        return float((model.predict(value, verbose=0).argmax(-1) == labels).mean())

    before = score()
    spoil(model, library)
    assert score() < before - 0.1
    reestimate(model, library, batches(name))
    assert score() >= before - 0.1


@pytest.mark.parametrize("library", LIBRARIES)
def test_only_the_statistics_change_and_dropout_does_nothing(library: str) -> None:
    model = zoo.build("keyword_spotting", library)
    moving = {id(v) for layer in normalizations(model, library) for v in (layer.moving_mean, layer.moving_variance)}
    before = [v.numpy().copy() for v in model.weights if id(v) not in moving]
    first = reestimate(model, library, batches("keyword_spotting"))
    statistics = [layer.moving_mean.numpy().copy() for layer in normalizations(model, library)]
    reestimate(model, library, batches("keyword_spotting"))
    assert [layer.mean_shift > 0 for layer in first.layers] == [True] * len(first.layers)
    for old, layer in zip(statistics, normalizations(model, library)):
        assert numpy.asarray(layer.moving_mean) == pytest.approx(old, abs=1e-6)
    after = [v.numpy().copy() for v in model.weights if id(v) not in moving]
    assert all(numpy.array_equal(a, b) for a, b in zip(before, after))


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_shared_layer_gets_the_moments_of_all_its_calls(library: str) -> None:
    layers = zoo.library_of(library).layers
    norm = layers.BatchNormalization(name="shared")
    left, right = layers.Input((4,), name="left"), layers.Input((4,), name="right")
    model = zoo.library_of(library).Model([left, right], layers.Add()([norm(left), norm(right)]))
    a, b = numpy.random.default_rng(0).normal(size=(2, 50, 4)).astype("float32") + 3
    reestimate(model, library, lambda: [[a, b]])
    both = numpy.concatenate([a, b])
    assert numpy.asarray(norm.moving_mean) == pytest.approx(both.mean(0), abs=1e-5)
    assert numpy.asarray(norm.moving_variance) == pytest.approx(both.var(0), abs=1e-5)


def test_a_deep_model_takes_a_bounded_number_of_runs_and_its_outputs_are_normalized() -> None:
    layers = zoo.library_of("keras").layers
    x = entry = layers.Input((8,))
    for _ in range(20):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(8)(x)))
    model = zoo.library_of("keras").Model(entry, layers.BatchNormalization(center=False, scale=False)(x))
    value = numpy.random.default_rng(0).normal(size=(256, 8)).astype("float32")
    done = reestimate(model, "keras", lambda: [value])
    assert len(done.layers) == 21
    assert done.passes <= PASSES
    out = model.predict(value, verbose=0)
    alive = out.std(0) > 0.1
    assert alive.any()
    assert abs(out.mean(0)).max() < 1e-3


@pytest.mark.parametrize(("library", "ending"), [("keras", ".keras"), ("keras", ".h5"), ("tf_keras", ".h5")])
def test_the_step_writes_the_same_kind_of_file_and_leaves_the_source(library: str, ending: str, tmp_path: Path) -> None:
    source, out = zoo.save("nested", tmp_path, library, ending), tmp_path / f"out{ending}"
    data = zoo.write_npz("nested", tmp_path / "rows.npz", 300, labels=False)
    before = sha256_file(source)
    done = batch_norm(str(source), str(out), spec(data), batches=2)
    assert sha256_file(source) == before
    assert done.rows == 128  # evenly from all of them
    assert "5 BatchNormalization layers computed from 128 rows" in done.notes[0]
    assert {layer.name for layer in done.layers} >= {"stem_norm", "block2_pointwise_norm"}
    old, new = load.load_model(source), load.load_model(out)
    assert (old.library, old.format.name) == (new.library, new.format.name)
    assert [w.shape for w in old.model.get_weights()] == [w.shape for w in new.model.get_weights()]


def test_what_cannot_be_computed_says_why(tmp_path: Path) -> None:
    source = zoo.save("sequential", tmp_path)
    data = zoo.write_npz("sequential", tmp_path / "rows.npz", 64)
    with pytest.raises(DataError, match="computed from rows, and there are none"):
        batch_norm(str(source), str(tmp_path / "out.keras"))
    done = batch_norm(str(source), str(tmp_path / "out.keras"), spec(data))
    assert [notice.code for notice in done.notices] == ["nothing-to-reestimate"]
    with pytest.raises(UsageError, match=r"written back as a \.keras file"):
        batch_norm(str(source), str(tmp_path / "out.h5"), spec(data))
    with pytest.raises(ModelError, match="no BatchNormalization layer"):
        reestimate(zoo.build("sequential"), "keras", batches("sequential"))
    model = zoo.build("functional")
    broken = numpy.full((8, 16, 16, 3), numpy.nan, "float32")
    with pytest.raises(ModelError, match="'conv_1_norm' is NaN or infinite"):
        reestimate(model, "keras", lambda: [broken])


def test_few_rows_are_said_to_be_few(tmp_path: Path) -> None:
    source = zoo.save("autoencoder", tmp_path)
    data = zoo.write_npz("autoencoder", tmp_path / "rows.npz", 40, labels=False)
    done = batch_norm(str(source), str(tmp_path / "out.keras"), spec(data))
    assert [notice.code for notice in done.notices] == ["few-rows-for-statistics"]


@pytest.mark.parametrize(
    ("library", "ending"), [("keras", ".keras"), ("keras", ".h5"), ("tf_keras", ".keras"), ("tf_keras", ".h5")]
)
def test_training_only_layers_go_from_nested_models_too_and_the_outputs_stay(
    library: str, ending: str, tmp_path: Path
) -> None:
    source, out = zoo.save("transfer", tmp_path, library, ending), tmp_path / f"out{ending}"
    before = sha256_file(source)
    done = training_only(str(source), str(out))
    assert sha256_file(source) == before
    assert set(done.removed) == {"augment/flip (RandomFlip)", "augment/turn (RandomRotation)", "drop (Dropout)"}
    assert done.max_abs_difference < 1e-6
    old, new = load.load_model(source), None
    inputs, _ = zoo.rows("transfer", 8)
    expected = load.forward(old, inputs)["classes"]
    new = load.load_model(out)
    assert load.forward(new, inputs)["classes"] == pytest.approx(expected, abs=1e-6)
    assert [layer.name for layer in new.model.layers] == ["image", "rescale", "backbone", "pool", "classes"]
    assert new.model.name == "transfer"
    assert new.model.loss is not None


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_sequential_stays_one_and_keeps_its_input_name(library: str, tmp_path: Path) -> None:
    source = zoo.save("sequential", tmp_path, library)
    done = training_only(str(source), str(tmp_path / "out.keras"))
    new = load.load_model(tmp_path / "out.keras")
    assert type(new.model).__name__ == "Sequential"
    assert load.input_names(new) == ("image",)
    assert done.removed == ("drop (Dropout)",)


def test_a_layer_that_acts_in_inference_stays_and_is_named(tmp_path: Path) -> None:
    layers = zoo.library_of("tf_keras").layers
    image = layers.Input((8, 8, 3))
    x = layers.RandomCrop(4, 4, name="crop")(layers.GaussianNoise(0.1, name="noise")(image))
    x = layers.Dense(2)(layers.Dropout(0.5, name="always")(layers.Flatten()(x), training=True))
    zoo.library_of("tf_keras").Model(image, x).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="gives other outputs"):  # the dropout that stays makes every run another one
        training_only(str(tmp_path / "model.keras"), str(tmp_path / "out.keras"))
    x = layers.Dense(2)(layers.Flatten()(layers.RandomCrop(4, 4, name="crop")(layers.GaussianNoise(0.1)(image))))
    zoo.library_of("tf_keras").Model(image, x).save(tmp_path / "crop.keras")
    done = training_only(str(tmp_path / "crop.keras"), str(tmp_path / "out.keras"))
    assert len(done.removed) == 1
    assert done.left == ("crop (it changes its input in inference too)",)
    assert any("crop" in note for note in done.notes)


def test_a_layer_that_converts_stays(tmp_path: Path) -> None:
    layers = zoo.library_of("keras").layers
    image = layers.Input((8, 8, 3), dtype="uint8")
    x = layers.Dense(2)(layers.Flatten()(layers.Rescaling(1 / 255)(layers.RandomFlip(name="flip")(image))))
    zoo.library_of("keras").Model(image, x).save(tmp_path / "model.keras")
    done = training_only(str(tmp_path / "model.keras"), str(tmp_path / "out.keras"))
    assert done.left == ("flip (it also converts uint8 to float32)",)
    assert [notice.code for notice in done.notices] == ["nothing-to-remove"]
