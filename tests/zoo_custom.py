"""A user's own layers, activation and loss, as they would lie beside a model: for ``--custom zoo_custom:Gate``."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
import tf_keras


class Gate(keras.layers.Layer):  # type: ignore[misc]
    """Keras 3: each channel times a learned number between 0 and 1."""

    def build(self, shape: Any) -> None:
        self.gate = self.add_weight(shape=(shape[-1],), initializer="ones", name="gate")

    def call(self, x: Any) -> Any:
        return x * tf.sigmoid(self.gate)


class OldGate(tf_keras.layers.Layer):  # type: ignore[misc]
    """The same for tf_keras."""

    def build(self, shape: Any) -> None:
        self.gate = self.add_weight(shape=(shape[-1],), initializer="ones", name="gate")

    def call(self, x: Any) -> Any:
        return x * tf.sigmoid(self.gate)


def soft_step(x: Any) -> Any:
    return x * tf.sigmoid(2.0 * x)


def gentle_loss(wanted: Any, given: Any) -> Any:
    return tf.reduce_mean(tf.abs(tf.cast(wanted, given.dtype) - given), axis=-1)


NOT_A_LAYER = 7
