"""Small nets of depthwise and 1×1 convolutions, and what the TensorFlow process does with them for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

SIZE = 32


def mobile(library: Any, *, padding: str = "same", stem: int = 2, head: str = "dense", body: int = 1) -> Any:
    """A small net of depthwise and 1×1 convolutions; ``body`` is the size of the kernels that should be 1×1."""
    layers = library.layers
    library.utils.set_random_seed(7)
    inputs = x = library.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Conv2D(8, 3, stem, padding="same", use_bias=False, name="stem")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(name="norm")(x))
    for at, stride in enumerate((1, 2, 1)):
        if padding == "keras" and stride == 2:
            x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
        kind = "valid" if padding == "keras" and stride == 2 else "same"
        x = layers.DepthwiseConv2D(3, stride, padding=kind, name=f"depthwise{at}")(x)
        x = layers.ReLU(6.0)(x)
        y = layers.Conv2D(24, body, padding="same", activation="relu", name=f"pointwise{at}")(x)
        x = layers.Add()([x, y]) if x.shape[-1] == 24 and at == 2 else y
    if head == "average-flatten":
        x = layers.Flatten()(layers.AveragePooling2D(int(x.shape[1]))(x))
    elif head == "conv":
        x = layers.Conv2D(4, 1, name="predictions")(layers.GlobalAveragePooling2D(keepdims=True)(x))
        return library.Model(inputs, layers.Flatten()(x), name="mobile")
    elif head == "flatten":
        x = layers.Flatten()(x)
    else:
        x = layers.GlobalAveragePooling2D()(x)
    return library.Model(inputs, layers.Dense(4, name="classes")(x), name="mobile")


def nested(library: Any) -> Any:
    """A backbone inside a model, as transfer learning leaves it."""
    layers = library.layers
    whole = mobile(library)
    backbone = library.Model(whole.inputs, whole.layers[-3].output, name="backbone")
    inputs = library.Input((SIZE, SIZE, 3), name="image")
    x = layers.GlobalAveragePooling2D()(backbone(inputs, training=False))
    return library.Model(inputs, layers.Dense(4, name="classes")(layers.Dropout(0.2)(x)))


def make(folder: str, library: str, name: str, ending: str, **options: Any) -> str:
    """Writes a model file. Runs in the TensorFlow process."""
    import keras
    import tf_keras

    module = keras if library == "keras" else tf_keras
    model = nested(module) if name == "nested" else mobile(module, **options)
    model.compile("adam", module.losses.SparseCategoricalCrossentropy(from_logits=True))
    path = Path(folder) / f"{library}-{name}{ending}"
    model.save(str(path))
    return str(path)


def difference(first: str, second: str) -> float:
    """Largest absolute difference of outputs between two model files, on bytes. Runs in the TensorFlow process."""
    from edgekit.model import load

    rows = numpy.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3)).astype("float32")
    outputs = []
    for path in (first, second):
        load.forget()
        loaded = load.load_model(Path(path))
        outputs.append(next(iter(load.forward(loaded, {"": rows}).values())))
    return float(numpy.abs(outputs[0] - outputs[1]).max())


def rewritten(path: str, out: str) -> list[str]:
    """Rewrites without pruning. Runs in the TensorFlow process."""
    from edgekit.model import load
    from edgekit.optimize.sparse import form

    load.forget()
    found = form.rewrite(load.load_model(Path(path)))
    found.model.save(out)
    return list(found.changes)


def blocks(units: int, inputs: int) -> str:
    """Why a Dense layer is not pruned in blocks; empty where it is. Runs in the TensorFlow process."""
    import tf_keras

    from edgekit.optimize import tfmot_prune

    model = tf_keras.Sequential([tf_keras.layers.Input((inputs,)), tf_keras.layers.Dense(units)])
    _, left = tfmot_prune.divide(model, "block")
    return left[0].reason if left else ""
