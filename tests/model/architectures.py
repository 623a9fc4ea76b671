"""Keras 3 models of many kinds, for the rebuild. Only imported in a child with TensorFlow."""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
import keras
import numpy

layers = keras.layers
IMAGE = (12, 12, 3)


def cnn() -> Any:
    return keras.Sequential(
        [
            layers.Input(IMAGE),
            layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(3, activation="softmax", kernel_constraint="max_norm"),
        ]
    )


def separable() -> Any:
    return keras.Sequential(
        [
            layers.Input(IMAGE),
            layers.Rescaling(1 / 255, offset=-0.5),
            layers.SeparableConv2D(4, 3, padding="same"),
            layers.DepthwiseConv2D(3, strides=2),
            layers.Conv2DTranspose(2, 3, strides=2),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )


def lstm() -> Any:
    return keras.Sequential([layers.Input((6, 4)), layers.LSTM(5, return_sequences=True), layers.LSTM(3)])


def gru() -> Any:
    return keras.Sequential([layers.Input((6, 4)), layers.GRU(5), layers.Dense(3)])


def bidirectional() -> Any:
    return keras.Sequential(
        [
            layers.Input((6, 4)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.Bidirectional(layers.GRU(3), merge_mode="sum"),
        ]
    )


def embedding() -> Any:
    return keras.Sequential(
        [layers.Input((8,)), layers.Embedding(20, 4), layers.Conv1D(4, 3), layers.GlobalMaxPooling1D(), layers.Dense(2)]
    )


def masked_embedding() -> Any:
    return keras.Sequential(
        [layers.Input((8,), dtype="int32"), layers.Embedding(20, 4, mask_zero=True), layers.LSTM(3)]
    )


def attention() -> Any:
    inputs = layers.Input((6, 8))
    x = layers.LayerNormalization()(inputs)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.Add()([inputs, x]) + 0.5 * inputs
    return keras.Model(inputs, layers.Dense(2, activation="gelu")(keras.ops.mean(x, axis=1)))


def nested() -> Any:
    image = layers.Input(IMAGE)
    encoder = keras.Model(image, layers.BatchNormalization()(layers.Conv2D(2, 3)(image)), name="encoder")
    head = keras.Sequential([layers.Flatten(), layers.Dense(3)], name="head")
    inputs = layers.Input(IMAGE)
    return keras.Model(inputs, head(encoder(inputs)))


def transfer() -> Any:
    base = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
    base.trainable = False
    inputs = layers.Input((32, 32, 3))
    x = base(layers.Rescaling(1 / 127.5, offset=-1)(inputs), training=False)
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


def several() -> Any:
    image, meta = layers.Input((6, 6, 1), name="image"), layers.Input((5,), name="meta")
    shared = layers.Dense(4, name="shared")
    x = layers.Concatenate()([shared(meta), layers.Flatten()(image), shared(meta * 2.0)])
    return keras.Model([image, meta], [layers.Dense(2)(x), layers.Dense(1)(x)])


def named() -> Any:
    image, meta = layers.Input((6, 6, 1), name="image"), layers.Input((5,), name="meta")
    x = layers.Concatenate()([layers.Flatten()(image), meta])
    return keras.Model({"meta": meta, "image": image}, {"b": layers.Dense(2)(x), "a": layers.Dense(1)(x)})


def augmentation() -> Any:
    return keras.Sequential(
        [
            layers.Input(IMAGE),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.1),
            layers.RandomZoom(0.1),
            layers.RandomContrast(0.1),
            layers.Conv2D(4, 3),
            layers.PReLU(shared_axes=[1, 2]),
            layers.GroupNormalization(2),
            layers.LeakyReLU(negative_slope=0.1),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


def hard_activations() -> Any:
    return keras.Sequential(
        [
            layers.Input((8,)),
            layers.Dense(8, activation="hard_sigmoid"),
            layers.Dense(8, activation="hard_silu"),
            layers.Dense(3, activation="celu"),
        ]
    )


def hard_recurrent() -> Any:
    return keras.Sequential([layers.Input((6, 4)), layers.LSTM(5, recurrent_activation="hard_sigmoid")])


def time_distributed() -> Any:
    inner = keras.Sequential(
        [layers.Input((6, 6, 1)), layers.Conv2D(2, 3), layers.BatchNormalization(), layers.Flatten()]
    )
    return keras.Sequential([layers.Input((3, 6, 6, 1)), layers.TimeDistributed(inner), layers.SimpleRNN(3)])


def normalization() -> Any:
    layer = layers.Normalization(axis=-1)
    layer.adapt(numpy.random.default_rng(0).uniform(0, 9, (50, 7)))
    return keras.Sequential([layers.Input((7,)), layer, layers.Dense(2)])


def operations() -> Any:
    inputs = layers.Input((6, 6, 4))
    x = keras.ops.concatenate([keras.ops.relu(inputs), inputs], axis=-1)
    x = keras.ops.clip(keras.ops.reshape(x[:, 1:], (-1, 5 * 6 * 8)), -1, 1)
    left, right = keras.ops.split(x, 2, axis=1)
    return keras.Model(inputs, layers.Dense(2)(keras.ops.softmax(left * right)))


def siamese() -> Any:
    tower = keras.Sequential([layers.Input((8,)), layers.Dense(4)], name="tower")
    left, right = layers.Input((8,)), layers.Input((8,))
    return keras.Model([left, right], layers.Subtract()([tower(left), tower(right)]))


def states() -> Any:
    inputs = layers.Input((6, 4))
    x, *state = layers.LSTM(5, return_state=True)(inputs)
    return keras.Model(inputs, [x, layers.LSTM(5)(inputs, initial_state=state)])


def open_size() -> Any:
    return keras.Sequential([layers.Input((None, None, 3)), layers.Conv2D(2, 3), layers.GlobalAveragePooling2D()])


class Doubling(layers.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x * 2


def custom() -> Any:
    inner = keras.Sequential([layers.Input((8,)), Doubling(name="twice")], name="inner")
    return keras.Sequential([layers.Input((8,)), inner, layers.Dense(2)])


def without_counterpart() -> Any:
    return keras.Sequential([layers.Input((8,)), layers.RMSNormalization(name="rms"), layers.Dense(2)])


def own_activation() -> Any:
    return keras.Sequential([layers.Input((8,)), layers.Dense(2, activation=lambda x: x, name="mine")])


class Subclassed(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def subclassed() -> Any:
    model = Subclassed()
    model(numpy.zeros((1, 4), "float32"))
    return model
