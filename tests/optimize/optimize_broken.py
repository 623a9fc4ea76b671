"""Models made to break in int8, each in one way that one cure mends. Its functions run in a child with TensorFlow.

All of them compute what the same small trained classifier computes, with weights that int8 cannot hold:
``channels``: channels of one activation 10,000 times apart (equalisation mends it); ``outlier``: an activation whose
largest value is rare and meaningless (a percentile does); ``offset``: scores of 10,000 plus a small signal, where only
more bits do; ``healthy``: the classifier itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

if TYPE_CHECKING:
    from optimize_workshop import Workshop

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
IMAGE = (8, 8, 1)
CLASSES = 6
KINDS = ("healthy", "channels", "outlier", "offset")
_HOT = 0.97  # a pixel this bright is rare


def write_broken_data(folder: Path) -> None:
    """Six kinds of images in 0..1, noisy; the first 400 rows for training, 400 others to score with."""
    random = numpy.random.default_rng(5)
    labels = random.integers(0, CLASSES, 800)
    patterns = random.uniform(0.1, 0.6, (CLASSES, *IMAGE))
    images = (patterns[labels] + random.normal(0, 0.12, (800, *IMAGE))).clip(0, 0.9)
    hot = random.choice(800, 24, replace=False)
    images[hot, 0, 0, 0] = random.uniform(0.98, 1.0, 24)
    images = images.astype("float32")
    numpy.savez(
        folder / "broken.npz", x_train=images[:400], y_train=labels[:400], x_test=images[400:], y_test=labels[400:]
    )


def broken_models(workshop: Workshop) -> Path:
    """The folder with ``<kind>.tflite`` and ``broken.npz``; made once for all tests."""
    folder = workshop.folder / "broken"
    if not folder.exists():
        folder.mkdir()
        write_broken_data(folder)
        workshop.call("tests.optimize.optimize_broken:make_broken", folder=str(folder))
    return folder


def make_broken(folder: str) -> None:
    """Trains the classifier and writes ``<kind>.tflite`` of every kind."""
    from edgekit.optimize.convert import convert
    from edgekit.optimize.export import export

    os.chdir(folder)
    weights = _trained()
    for kind in KINDS:
        _variant(kind, weights).save(f"{kind}.keras")
        export(source=f"{kind}.keras", out=f"{kind}-saved")
        convert(saved_model=f"{kind}-saved", out=f"{kind}.tflite")


def _layers(keras: Any) -> Any:
    layers = keras.layers
    return [
        layers.Conv2D(8, 3, padding="same", activation="relu", name="first"),
        layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise"),
        layers.Conv2D(12, 1, activation="tanh", name="pointwise"),
        layers.AveragePooling2D(2, name="pool"),
        layers.Flatten(name="flatten"),
        layers.Dense(16, name="hidden"),
        layers.ReLU(name="relu"),
        layers.Dense(CLASSES, activation="softmax", name="scores"),
    ]


def _trained() -> dict[str, list[Any]]:
    import keras

    keras.utils.set_random_seed(3)
    image = keras.Input(IMAGE, name="image")
    hidden = image
    for layer in _layers(keras):
        hidden = layer(hidden)
    model = keras.Model(image, hidden)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    rows = numpy.load("broken.npz")
    model.fit(rows["x_train"], rows["y_train"], epochs=25, batch_size=32, verbose=0)
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def _variant(kind: str, weights: dict[str, list[Any]]) -> Any:
    import keras

    weights = {name: [value.copy() for value in values] for name, values in weights.items()}
    image = keras.Input(IMAGE, name="image")
    hidden, built = image, _layers(keras)
    if kind == "channels":
        factor = numpy.logspace(-2, 2, 8).astype("float32")
        weights["first"] = [weights["first"][0] * factor, weights["first"][1] * factor]
        weights["depthwise"][0] /= factor[:, None]
        factor = factor[::-1]
        weights["depthwise"] = [weights["depthwise"][0] * factor[:, None], weights["depthwise"][1] * factor]
        weights["pointwise"][0] /= factor[:, None]
    if kind == "outlier":  # one more filter before the tanh, which a rare pixel drives to thousands
        built[2] = keras.layers.Conv2D(13, 1, name="pointwise")
        built[0] = keras.layers.Conv2D(9, 3, padding="same", activation="relu", name="first")
        kernel = numpy.zeros((3, 3, 1, 1), "float32")
        kernel[1, 1] = 1.0
        weights["first"] = [
            numpy.concatenate([weights["first"][0], kernel], axis=-1),
            numpy.append(weights["first"][1], -_HOT).astype("float32"),
        ]
        weights["depthwise"] = [
            numpy.concatenate([weights["depthwise"][0], 100 * kernel], axis=2),
            numpy.append(weights["depthwise"][1], 0).astype("float32"),
        ]
        wide = numpy.zeros((1, 1, 9, 13), "float32")
        wide[:, :, :8, :12] = weights["pointwise"][0]
        wide[0, 0, 8, 12] = 1000
        weights["pointwise"] = [wide, numpy.append(weights["pointwise"][1], 0).astype("float32")]
        built.insert(3, keras.layers.Activation("tanh", name="squash"))
        kernel = weights["hidden"][0].reshape(16, 12, 16)
        weights["hidden"][0] = numpy.pad(kernel, ((0, 0), (0, 1), (0, 0))).reshape(16 * 13, 16)
    if kind == "offset":  # softmax takes no notice of it
        weights["scores"][1] += 10000
    for layer in built:
        hidden = layer(hidden)
    model = keras.Model(image, hidden)
    for name, values in weights.items():
        model.get_layer(name).set_weights(values)
    return model
