"""Small seeded models in every format, good and bad; made in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

IMAGE = (8, 8, 1)


def made(base: Path, group: str) -> Path:
    """The folder with the models of a group (``keras``, ``tflite``), made at its first use in a test session."""
    folder = base / f"models-{group}"
    if not folder.exists():
        folder.mkdir()
        run = subprocess.run(
            [sys.executable, __file__, str(folder), group], capture_output=True, text=True, timeout=300, check=False
        )
        assert run.returncode == 0, run.stderr[-3000:]
    return folder


def cnn(library: Any) -> Any:
    layers = library.layers
    model = library.Sequential(
        [
            layers.Input(IMAGE, name="image"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, name="conv", use_bias=False),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax", name="classes"),
        ],
        name="cnn",
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def two_inputs(library: Any) -> Any:
    layers = library.layers
    image, meta = layers.Input(IMAGE, name="image"), layers.Input((5,), name="meta")
    joined = layers.Concatenate()([layers.Flatten()(image), meta])
    return library.Model([image, meta], [layers.Dense(2, name="kind")(joined), layers.Dense(1, name="age")(joined)])


def with_lambda(library: Any, canary: Path, *, deep: bool = False) -> Any:
    """Leaves a file when its Lambda layer runs. The path is a constant of the function, as in a real attack."""
    layers = library.layers
    function = eval(f"lambda x: (__import__('pathlib').Path({str(canary)!r}).touch(), x)[1]")
    inner = layers.Lambda(function, name="payload")
    if deep:
        inner = layers.TimeDistributed(library.Sequential([layers.Input((4,)), inner], name="inside"), name="steps")
    shape = (2, 4) if deep else (4,)
    return library.Sequential([layers.Input(shape), inner, layers.Dense(2)], name="trojan")


def make_keras(folder: Path) -> None:
    import keras
    import tensorflow as tf
    import tf_keras

    keras.utils.set_random_seed(1)
    tf_keras.utils.set_random_seed(1)
    cnn(keras).save(folder / "cnn.keras")
    cnn(keras).save(folder / "cnn.h5")
    cnn(keras).export(folder / "cnn_export", verbose=False)
    cnn(keras).save_weights(folder / "cnn.weights.h5")
    cnn(tf_keras).save(folder / "tf_cnn.keras")
    cnn(tf_keras).save(folder / "tf_cnn.h5")
    cnn(tf_keras).save(folder / "tf_cnn_folder", save_format="tf")
    cnn(tf_keras).save_weights(folder / "tf_weights.h5")
    two_inputs(keras).save(folder / "two.keras")
    two_inputs(tf_keras).save(folder / "tf_two.h5")
    _make_trojans(folder, keras, tf_keras, tf)
    _make_custom(folder, keras, tf_keras)
    image = tf_keras.layers.Input((4,))
    tf_keras.Model(image, tf.math.square(image) * 2.0).save(folder / "tf_ops.h5")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    model.compile(loss=lambda a, b: (a - b) ** 2, optimizer="sgd")
    model.save(folder / "own_loss.keras")
    keras.Sequential([keras.layers.Dense(2)]).save(folder / "unbuilt.keras")


def _make_trojans(folder: Path, keras: Any, tf_keras: Any, tf: Any) -> None:
    canary = folder / "canary"
    for library, prefix in ((keras, ""), (tf_keras, "tf_")):
        for ending in ("keras", "h5"):
            with_lambda(library, canary).save(folder / f"{prefix}lambda.{ending}")
            with_lambda(library, canary, deep=True).save(folder / f"{prefix}deep_lambda.{ending}")
    with_lambda(tf_keras, canary).save(folder / "tf_lambda_folder", save_format="tf")

    class Writer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
        def run(self, x: Any) -> Any:
            with tf.control_dependencies([tf.io.write_file(str(canary), "ran")]):
                return {"y": tf.identity(x)}

    writer = Writer()
    tf.saved_model.save(writer, str(folder / "writer_folder"), signatures={"serving_default": writer.run})
    canary.unlink(missing_ok=True)  # building and tracing ran them


def _make_custom(folder: Path, keras: Any, tf_keras: Any) -> None:
    for library, prefix in ((keras, ""), (tf_keras, "tf_")):

        @library.saving.register_keras_serializable(package="Mine")
        class Doubling(library.layers.Layer):  # type: ignore[misc, name-defined]
            def call(self, x: Any) -> Any:
                return x * 2

        layers = library.layers
        inner = library.Sequential([layers.Input((4,)), Doubling(name="twice")], name="encoder")
        model = library.Sequential([layers.Input((4,)), inner, layers.Dense(2)])
        model.save(folder / f"{prefix}custom.keras")
        model.save(folder / f"{prefix}custom.h5")
        if library is tf_keras:
            model.save(folder / "tf_custom_folder", save_format="tf")
        else:
            model.export(folder / "custom_export", verbose=False)


def make_tflite(folder: Path) -> None:
    import numpy
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(1)
    layers = tf_keras.layers
    random = numpy.random.default_rng(0)

    def rows(shape: tuple[int, ...]) -> Any:
        return lambda: ([random.uniform(0, 255, (1, *shape)).astype("float32")] for _ in range(20))

    def convert(model: Any, name: str, *, integer: bool = False, float_io: bool = False, **options: Any) -> None:
        run = tf.function(lambda x: {"scores": model(x, training=False)})
        shape = model.input_shape[1:]
        concrete = run.get_concrete_function(tf.TensorSpec([1, *shape], tf.float32, name="image"))
        tf.saved_model.save(model, str(folder / "export"), signatures={"serving_default": concrete})
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "export"))
        for key, value in options.items():
            setattr(converter, key, value)
        if integer:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = rows(shape)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            if not float_io:
                converter.inference_input_type = converter.inference_output_type = tf.int8
        (folder / name).write_bytes(converter.convert())

    model = cnn(tf_keras)
    convert(model, "float.tflite")
    convert(model, "dynamic.tflite", optimizations=[tf.lite.Optimize.DEFAULT])
    convert(model, "int8.tflite", integer=True)
    convert(model, "int8_float_io.tflite", integer=True, float_io=True)
    elu = tf_keras.Sequential(
        [
            layers.Input(IMAGE),
            layers.Conv2D(4, 3, name="conv"),
            layers.ELU(name="bend"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    convert(elu, "island.tflite", integer=True)
    lstm = tf_keras.Sequential([layers.Input((6, 4)), layers.LSTM(5), layers.Dense(3)])
    convert(lstm, "lstm.tflite", integer=True)
    rolled = tf_keras.Sequential(
        [layers.Input((4,)), layers.Dense(4, activation="tanh"), layers.Lambda(lambda x: tf.roll(x, 1, 1))]
    )
    flex = tf.lite.TFLiteConverter.from_keras_model(rolled)
    flex.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    (folder / "flex.tflite").write_bytes(flex.convert())


if __name__ == "__main__":
    target = Path(sys.argv[1])
    {"keras": make_keras, "tflite": make_tflite}[sys.argv[2]](target)
    os._exit(0)  # TensorFlow's destructors take a second
