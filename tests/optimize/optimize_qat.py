"""What the tests of clustering and quantization-aware training run in the process with TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy

sys.path.insert(0, str(Path(__file__).parents[1]))


def model(name: str, folder: str, library: str = "keras", epochs: int = 3) -> str:
    """A model of the zoo as a file, and rows for it as ``NAME.npz``; made once."""
    from zoo import ZOO, save, write_npz

    from edgekit.model import custom

    custom.register((ZOO[name].custom or {}).get(library, ()))
    path = Path(folder) / f"{name}-{library}.keras"
    if not path.exists():
        save(name, Path(folder), library, epochs=epochs)
        write_npz(name, Path(folder) / f"{name}.npz", 512)
    return str(path)


def kernels(path: str) -> dict[str, tuple[int, int]]:
    """Layer → distinct values and zeros of its kernel."""
    from edgekit.model import load
    from edgekit.optimize.export import all_layers

    load.forget()
    found = {}
    for name, layer in all_layers(load.load_model(Path(path), trust=True).model):
        variable = getattr(layer, "kernel", None)
        if variable is not None:
            values = numpy.asarray(variable)
            found[name] = (int(numpy.unique(values).size), int((values == 0).sum()))
    return found


def flattened() -> dict[str, Any]:
    """A model of everything that is rewritten: the largest difference of outputs, and the types of the new layers."""
    import tensorflow as tf
    import tf_keras

    from edgekit.optimize.qat.annotate import treatments
    from edgekit.optimize.qat.flatten import flatten

    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(2)
    sound = layers.Input((24, 3), name="sound")
    x = layers.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="elu", name="causal")(sound)
    x = layers.SeparableConv1D(8, 3, strides=2, padding="same", activation="relu", name="separable")(x)
    x = layers.DepthwiseConv1D(3, padding="same", name="depthwise")(x)
    x = layers.BatchNormalization(name="norm")(x)
    inner_input = layers.Input((12, 8), name="sound")  # the outer one's name again
    inside = layers.Dense(8, activation=tf.nn.relu6, name="causal")(inner_input)
    inner = tf_keras.Model(inner_input, inside, name="inner")
    again = layers.Dense(8, name="twice")
    x = again(again(inner(layers.GaussianNoise(0.1, name="noise")(x))))
    outputs = layers.Dense(4, activation="softmax", name="classes")(layers.Flatten(name="flat")(x))
    whole = tf_keras.Model({"sound": sound}, {"second": outputs, "first": x})
    for norm in (layer for layer in whole.layers if layer.name == "norm"):
        norm.set_weights([numpy.random.default_rng(0).uniform(0.5, 1.5, w.shape) for w in norm.get_weights()])
    flat = flatten(whole, ["sound"])
    rows = numpy.random.default_rng(1).normal(size=(5, 24, 3)).astype("float32")
    before = whole({"sound": rows}, training=False)
    after = flat.model([rows], training=False)
    pairs = zip((before["first"], before["second"]), after, strict=True)
    treated = treatments(flat)
    return {
        "difference": max(float(numpy.abs(numpy.asarray(a) - numpy.asarray(b)).max()) for a, b in pairs),
        "types": {layer.name: type(layer).__name__ for layer in flat.model.layers},
        "removed": list(flat.removed),
        "treatment": {name: item.treatment for name, item in treated.items()},
        "origin": {name: path for name, (path, _) in flat.origin.items()},
    }


def names(path: str) -> dict[str, list[str]]:
    """Of the inputs and outputs of a ``.tflite``, in its order."""
    from edgekit.optimize import model_tree

    tree = model_tree.read(Path(path))
    return {
        "inputs": [spec.name for spec in model_tree.inputs(tree)],
        "outputs": [spec.name for spec in model_tree.outputs(tree)],
    }


def tiny(path: str) -> str:
    """A model with hardly a weight."""
    import keras

    keras.Sequential([keras.Input((3,), name="three"), keras.layers.Dense(4, name="few")]).save(path)
    return path


def float_accuracy(path: str, name: str) -> float:
    """Of a model of the zoo on rows that it has not seen."""
    from zoo import rows

    from edgekit.model import load

    load.forget()
    inputs, labels = rows(name, 200, seed=9)
    loaded = load.load_model(Path(path))
    (found,) = load.forward(loaded, inputs).values()
    return float((found.argmax(-1) == labels).mean())
