"""The models of the claims, small enough to train in minutes on two cores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def vgg() -> Any:
    """VGG-16 with BatchNorm and one hidden dense layer, as Li et al. prune it, at a quarter of its width."""
    from keras import Input, Sequential, layers

    model = Sequential([Input((32, 32, 3), name="image"), layers.Rescaling(1 / 127.5, -1, name="scale")], name="vgg")
    number = 0
    for block, widths in enumerate(((16, 16), (32, 32), (64, 64, 64), (128, 128, 128), (128, 128, 128)), 1):
        for width in widths:
            number += 1
            model.add(layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{number}"))
            model.add(layers.BatchNormalization(momentum=0.9, name=f"bn{number}"))
            model.add(layers.ReLU(name=f"relu{number}"))
        model.add(layers.MaxPooling2D(name=f"pool{block}"))
    model.add(layers.Flatten(name="flatten"))
    model.add(layers.Dense(128, activation="relu", name="dense"))
    model.add(layers.Dense(10, activation="softmax", name="class"))
    return model


def wide() -> Any:
    """A plain CNN whose weights weigh 8 MB in float: convolutions up to 384 channels and a large dense layer."""
    from keras import Input, Sequential, layers

    model = Sequential([Input((32, 32, 3), name="image"), layers.Rescaling(1 / 127.5, -1, name="scale")], name="wide")
    for number, width in enumerate((32, 64, 128, 256, 384), 1):
        model.add(layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{number}"))
        model.add(layers.BatchNormalization(momentum=0.9, name=f"bn{number}"))
        model.add(layers.ReLU(name=f"relu{number}"))
        if number != 4:
            model.add(layers.MaxPooling2D(name=f"pool{number}"))
    model.add(layers.Flatten(name="flatten"))
    model.add(layers.Dense(512, activation="relu", name="dense"))
    model.add(layers.Dropout(0.3, name="dropout"))
    model.add(layers.Dense(10, activation="softmax", name="class"))
    return model


def ds_cnn() -> Any:
    """The keyword spotter of Zhang et al. 2017 ("Hello Edge"), DS-CNN small: 64 channels, four separable layers."""
    from keras import Input, Sequential, layers

    model = Sequential([Input((49, 10, 1), name="features")], name="ds_cnn")
    model.add(layers.Conv2D(64, (10, 4), strides=(2, 2), padding="same", use_bias=False, name="conv"))
    model.add(layers.BatchNormalization(momentum=0.9, name="bn"))
    model.add(layers.ReLU(name="relu"))
    for number in range(1, 5):
        model.add(layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"depthwise{number}"))
        model.add(layers.BatchNormalization(momentum=0.9, name=f"bn_depthwise{number}"))
        model.add(layers.ReLU(name=f"relu_depthwise{number}"))
        model.add(layers.Conv2D(64, 1, use_bias=False, name=f"pointwise{number}"))
        model.add(layers.BatchNormalization(momentum=0.9, name=f"bn_pointwise{number}"))
        model.add(layers.ReLU(name=f"relu_pointwise{number}"))
    model.add(layers.GlobalAveragePooling2D(name="pool"))
    model.add(layers.Dense(12, activation="softmax", name="word"))
    return model


#: model → what builds it, its data set (of ``data.SETS``) and the epochs of its training
MODELS = {"vgg": (vgg, "images", 24), "wide": (wide, "images", 8), "ds_cnn": (ds_cnn, "words", 10)}


def trained(name: str, arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Trains a model with a fixed seed and writes a ``.keras`` without optimizer state."""
    import keras

    build, _, epochs = MODELS[name]
    keras.utils.set_random_seed(7)
    model = build()
    steps = epochs * -(-len(arrays["x_train"]) // 64)
    schedule = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=2e-3, warmup_steps=steps // 20)
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(arrays["x_train"], arrays["y_train"], epochs=epochs, batch_size=64, verbose=2)
    written = build()
    written.set_weights(model.get_weights())
    written.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    written.save(path)
