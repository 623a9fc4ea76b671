"""Small seeded models and reference answers for the tests of optimize. Its functions run in a child with TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
IMAGE = (8, 8, 1)
CLASSES = 4


def write_data(folder: Path) -> None:
    """Four kinds of 8x8 images in 0..255, noisy, with labels; and every way to be wrong."""
    random = numpy.random.default_rng(0)
    labels = random.integers(0, CLASSES, 240)
    patterns = random.uniform(0, 200, (CLASSES, *IMAGE))
    images = (patterns[labels] + random.normal(0, 20, (240, *IMAGE))).clip(0, 255).astype("float32")
    numpy.savez(folder / "images.npz", x=images, y=labels)
    numpy.savez(folder / "unlabelled.npz", x=images)
    numpy.savez(folder / "two.npz", z_image=images[:60], a_vector=random.normal(3, 2, (60, 5)).astype("float32"))
    numpy.savez(folder / "series.npz", x=random.normal(0, 1, (60, 6, 4)).astype("float32"))


def make(folder: str) -> None:
    import keras
    import tf_keras

    os.chdir(folder)
    keras.utils.set_random_seed(1)
    tf_keras.utils.set_random_seed(1)
    for library, name in ((keras, "nested.keras"), (keras, "nested.h5"), (tf_keras, "old.h5"), (tf_keras, "old.keras")):
        _classifier(library).save(name)
    _classifier(tf_keras).save("old_folder", save_format="tf")
    _classifier(keras).export("plain_folder", verbose=False)
    layers = keras.layers

    image, vector = keras.Input(IMAGE, name="z_image"), keras.Input((5,), name="a_vector")
    joined = layers.Concatenate()(
        [layers.Flatten()(layers.Rescaling(1 / 255.0)(image)), layers.Dense(6, activation="tanh")(vector)]
    )
    outputs = [layers.Dense(3, name="small")(joined), layers.Dense(2, activation="sigmoid", name="odds")(joined)]
    keras.Model([image, vector], outputs).save("two.keras")

    for kind in ("LSTM", "GRU"):
        series = keras.Input((6, 4), name="series")
        hidden = getattr(layers, kind)(5, name=f"the_{kind.lower()}")(series)
        keras.Model(series, layers.Dense(3, name="out")(hidden)).save(f"{kind.lower()}.keras")

    series = keras.Input((6, 4), name="series")
    keras.Model(series, layers.Dense(3, name="out")(keras.ops.negative(layers.Dense(4)(series)))).save("negative.keras")
    square = keras.Input((4, 4), name="square")
    keras.Model(square, keras.ops.inv(layers.Dense(4)(square))).save("inverse.keras")
    open_size = keras.Input((None, 4), name="series")
    keras.Model(open_size, layers.GlobalAveragePooling1D()(open_size)).save("open.keras")

    image = keras.Input(IMAGE, name="image")
    hidden = layers.Dense(6, name="hidden")(layers.Flatten()(layers.Rescaling(1 / 255.0)(image)))
    hidden = layers.RMSNormalization(name="only_in_keras_3")(hidden)
    keras.Model(image, layers.Dense(CLASSES, activation="softmax", name="out")(hidden)).save("modern.keras")


def forget_custom() -> None:
    """No layer of the user's is registered any more."""
    from edgekit.model import custom

    custom._registered.clear()


def _classifier(library: Any) -> Any:
    """Rescaling, a model within the model, a depthwise layer, batch normalization, logits; compiled."""
    layers = library.layers
    inner = library.Sequential(
        [
            layers.Input((8, 8, 4)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="conv"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.BatchNormalization(name="norm"),
        ],
        name="inner",
    )
    image = layers.Input(IMAGE, name="image")
    hidden = layers.Conv2D(4, 3, padding="same", name="first")(layers.Rescaling(1 / 255.0)(image))
    hidden = layers.GlobalAveragePooling2D()(inner(hidden))
    model = library.Model(image, layers.Dense(CLASSES, name="logits")(hidden))
    model.compile("adam", library.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def divided_custom_model() -> dict[str, list[int]]:
    """What the engine in Keras 3 would prune in a model with a layer of the user's own: name → sizes of the kernels."""
    import keras

    from edgekit.optimize import native_prune

    class Scaled(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.matrix = self.add_weight(shape=(shape[-1], 6), name="matrix")
            self.gain = self.add_weight(shape=(6,), initializer="ones", name="gain")

        def call(self, values: Any) -> Any:
            return keras.ops.matmul(values, self.matrix) * self.gain

    image = keras.Input((4,))
    inside = keras.layers.Bidirectional(keras.layers.LSTM(2), name="both_ways")(keras.layers.Reshape((2, 2))(image))
    model = keras.Model(image, [keras.layers.Dense(3, name="out")(Scaled(name="mine")(image)), inside])
    chosen, _ = native_prune.divide(model)
    native_prune.prune_once([kernel for _, kernels in chosen.values() for kernel in kernels], 0.5)
    return {name: [int((numpy.asarray(k) == 0).sum()) for k in kernels] for name, (_, kernels) in chosen.items()}


def answers(model: str, data: str, rows: int) -> dict[str, Any]:
    """Outputs of the Keras model itself, as lists."""
    from edgekit.model import load

    load.forget()
    arrays = numpy.load(data)
    loaded = load.load_model(Path(model))
    names = load.input_names(loaded)
    given = {name: arrays[name if name in arrays else "x"][:rows] for name in names}
    return {name: value.tolist() for name, value in load.forward(loaded, given).items()}


def weights(model: str) -> list[Any]:
    """All weights of a model, as lists."""
    from edgekit.model import load

    load.forget()
    return [value.tolist() for value in load.load_model(Path(model)).model.get_weights()]


def public_converter(saved_model: str, out: str, mode: str, data: str, rows: int) -> None:
    """The same conversion by TensorFlow's public interface alone."""
    import tensorflow as tf

    arrays = numpy.load(data)
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["serving_default"])
    names = list(tf.saved_model.load(saved_model).signatures["serving_default"].structured_input_signature[1])

    def representative() -> Any:
        for index in range(rows):
            yield {name: arrays[name if name in arrays else "x"][index][None] for name in names}

    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        sets = tf.lite.OpsSet
        int16 = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [int16 if mode == "int16x8" else sets.TFLITE_BUILTINS_INT8]
        edge = {"int8": tf.int8, "int16x8": tf.int16}.get(mode, tf.float32)
        converter.inference_input_type = converter.inference_output_type = edge
    Path(out).write_bytes(converter.convert())


def calibrated_by_two(float_model: str, out: str, data: dict[str, Any], worth_seconds: float) -> list[int]:
    """Writes the model with ranges that two processes found; the rows that were used, and those of this process."""
    from edgekit.core import decode
    from edgekit.data.spec import DataSpec
    from edgekit.optimize import calibrate, model_tree
    from edgekit.optimize.representative import open_rows

    rows = open_rows(data, model_tree.inputs(model_tree.read(Path(float_model))))
    spec = decode.from_json(DataSpec, data, source="test")
    share = calibrate.Share(
        float_model=Path(float_model), data=spec, positions=tuple(range(rows.count)), worth_seconds=worth_seconds
    )
    content, count = calibrate.calibrated(Path(float_model).read_bytes(), rows, share)
    Path(out).write_bytes(content)
    return [count, rows.seen.count]


def chosen_loss(model: str, labels: list[Any], whole: bool) -> str | None:
    """The loss that fine-tuning would take for a freshly built model."""
    import keras

    from edgekit.model.format import ModelFormat
    from edgekit.model.load import LoadedModel
    from edgekit.optimize.losses import choose_loss

    units, activation = model.split()
    image = keras.Input((3,))
    built = keras.Model(image, keras.layers.Dense(int(units), activation=activation)(image))
    fmt = ModelFormat(name="keras3-keras", library="keras", library_version=None)
    loaded = LoadedModel(model=built, library="keras", format=fmt, path=Path("built"))
    found = choose_loss(loaded, None, numpy.array(labels, dtype="int64" if whole else "float32"))
    return None if found is None else found.described


def loaded_packages() -> list[str]:
    """What this process has imported."""
    import sys

    return sorted({name.partition(".")[0] for name in sys.modules})
