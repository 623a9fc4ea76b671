"""Ranges of the simulated tensors: found with representative rows before training, followed closely while it runs.

TFMOT begins with -6 to 6 for every activation and needs thousands of steps to come to the real range; the fine-tunings
here have hundreds. And it gives a depthwise kernel one scale for all its channels, where int8 kernels have one each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from edgekit.model import libraries
from edgekit.optimize.qat.annotate import Toolkit

_DECAY = 0.99  # of the moving average in training: a memory of a hundred steps


class Ranges:
    """The quantizers of a simulating model, replaced by ones whose ranges can be set.

    Args:
        model: from :func:`edgekit.optimize.qat.annotate.simulating`; changed.
    """

    def __init__(self, model: Any) -> None:
        self._tfmot = Toolkit()
        self._model = model
        self._observer = _observer(self._tfmot, whole=False)
        self._input = _observer(self._tfmot, whole=True)
        self._weights: list[tuple[Any, Any, Any]] = []
        for layer in model.layers:
            if isinstance(layer, self._tfmot.quantize_layer):
                if layer.quantizer is not None:
                    layer.quantizer = self._input
            elif isinstance(layer, self._tfmot.wrapper):
                self._adapt(layer)

    def _adapt(self, wrapper: Any) -> None:
        for activation in wrapper._quantize_activations:
            activation.quantizer = self._observer
        if wrapper._output_quantizers:
            wrapper._output_quantizers = [self._observer]
        if type(wrapper.layer).__name__ == "DepthwiseConv2D":
            wrapper._weight_vars = [
                (weight, _per_channel(self._tfmot), _channel_ranges(self._tfmot.keras, wrapper, weight))
                for weight, _, _ in wrapper._weight_vars
            ]
        self._weights += wrapper._weight_vars

    def find(self, batches: Iterable[Any]) -> None:
        """Sets the range of every tensor from its values in float: of inputs the extremes, of others their mean.

        Args:
            batches: inputs as the model takes them.
        """
        for observer in (self._observer, self._input):
            observer.begin()
        for batch in batches:
            self._model(batch, training=False)
        for observer in (self._observer, self._input):
            observer.end()
        for weight, quantizer, variables in self._weights:
            # TFMOT's own quantizers set the range as a side effect of a training step
            quantizer(weight, True, weights=variables)


def _observer(tfmot: Toolkit, *, whole: bool) -> Any:
    tf = libraries.tensorflow()

    class Observer(tfmot.quantizers.Quantizer):  # type: ignore[misc, name-defined, unused-ignore]
        """Watches float values first, then simulates int8 with a moving average of their extremes."""

        def __init__(self) -> None:
            self._seen: dict[int, list[Any]] | None = None

        def begin(self) -> None:
            self._seen = {}

        def end(self) -> None:
            seen, self._seen = self._seen or {}, None
            for low, high, lows, highs in seen.values():
                low.assign(min(0.0, min(lows) if whole else sum(lows) / len(lows)))
                high.assign(max(1e-6, max(highs) if whole else sum(highs) / len(highs)))

        def build(self, tensor_shape: Any, name: str, layer: Any) -> Any:
            raise NotImplementedError("it takes the place of one that was built")

        def __call__(self, inputs: Any, training: bool, weights: Any) -> Any:
            low, high = weights["min_var"], weights["max_var"]
            if self._seen is not None:
                record = self._seen.setdefault(id(low), [low, high, [], []])
                record[2].append(float(tf.reduce_min(inputs)))
                record[3].append(float(tf.reduce_max(inputs)))
                return inputs
            if training:
                least = tf.minimum(tf.reduce_min(inputs), 0.0)
                most = tf.maximum(tf.reduce_max(inputs), 1e-6)
                low = low.assign(tf.minimum(low, least) if whole else _DECAY * low + (1 - _DECAY) * least)
                high = high.assign(tf.maximum(high, most) if whole else _DECAY * high + (1 - _DECAY) * most)
            return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high, num_bits=8)

        def get_config(self) -> dict[str, Any]:
            return {}

    return Observer()


def _channel_ranges(keras: Any, wrapper: Any, weight: Any) -> dict[str, Any]:
    channels = int(weight.shape[-2]) * int(weight.shape[-1])

    def variable(name: str, value: float) -> Any:
        start = keras.initializers.Constant(value)
        return wrapper.add_weight(name, shape=(channels,), initializer=start, trainable=False)

    return {"min_var": variable("channel_min", -1.0), "max_var": variable("channel_max", 1.0)}


def _per_channel(tfmot: Toolkit) -> Any:
    tf = libraries.tensorflow()

    class PerChannel(tfmot.quantizers.Quantizer):  # type: ignore[misc, name-defined, unused-ignore]
        """A depthwise kernel [height, width, channels, multiplier] with a symmetric scale for each output channel."""

        def build(self, tensor_shape: Any, name: str, layer: Any) -> Any:
            raise NotImplementedError("it takes the place of one that was built")

        def __call__(self, inputs: Any, training: bool, weights: Any) -> Any:
            shape = inputs.shape
            flat = tf.reshape(inputs, (shape[0], shape[1], shape[2] * shape[3]))
            low, high = weights["min_var"], weights["max_var"]
            if training:
                extent = tf.maximum(tf.reduce_max(tf.abs(flat), axis=(0, 1)), 1e-9)
                low, high = low.assign(-extent), high.assign(extent)
            quantized = tf.quantization.fake_quant_with_min_max_vars_per_channel(
                flat, low, high, num_bits=8, narrow_range=True
            )
            return tf.reshape(quantized, shape)

        def get_config(self) -> dict[str, Any]:
            return {}

    return PerChannel()


def batches_of(rows: Iterable[dict[str, Any]], names: list[str], size: int) -> Iterator[list[Any]]:
    """Rows with batch 1 as batches: a list of arrays in the order of ``names``."""
    import numpy

    waiting: list[dict[str, Any]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == size:
            yield [numpy.concatenate([item[name] for item in waiting]) for name in names]
            waiting = []
    if waiting:
        yield [numpy.concatenate([item[name] for item in waiting]) for name in names]
