"""Multiply-accumulates of a Keras layer, from the shapes of its weights and of what flows through it.

For one sample. The same attributes exist in Keras 3 and tf_keras.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

Shape = Sequence[int | None]


def layer_macs(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    """Multiply-accumulates of one call; 0 for a layer that has none, None where it cannot be told.

    Args:
        layer: a Keras 3 or tf_keras layer, not a model.
        inputs: shapes of its input tensors, with the batch dimension.
        outputs: likewise of its outputs.
    """
    rule = _RULES.get(type(layer).__name__)
    if rule is None:
        own = type(layer).__module__.startswith(("keras.", "tf_keras."))
        return 0 if own and (not layer.weights or _is_normalization(layer)) else None
    try:
        return rule(layer, inputs, outputs)
    except (TypeError, IndexError, AttributeError, ValueError):  # a free dimension, or a layer used in another way
        return None


def _is_normalization(layer: Any) -> bool:
    """Layers whose weights are scales, tables and statistics: additions and look-ups, folded or negligible."""
    name = type(layer).__name__
    return "Normalization" in name or name in ("Embedding", "PReLU", "Discretization", "CategoryEncoding")


def _positions(shape: Shape) -> int:
    """Numbers in one sample; TypeError where a dimension is free."""
    return math.prod(shape[1:])  # type: ignore[arg-type]  # None raises, which is the point


def _size(weight: Any) -> int:
    return math.prod(int(n) for n in weight.shape)


def _convolution(layer: Any, _: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return _positions(outputs[0]) * math.prod(int(n) for n in layer.kernel.shape[:-1])


def _transposed(layer: Any, inputs: Sequence[Shape], _: Sequence[Shape]) -> int:
    return _positions(inputs[0]) * math.prod(int(n) for n in layer.kernel.shape[:-1])


def _depthwise(layer: Any, _: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    kernel = layer.kernel if getattr(layer, "kernel", None) is not None else layer.depthwise_kernel
    return _positions(outputs[0]) * math.prod(int(n) for n in kernel.shape[:-2])


def _separable(layer: Any, _: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    places = _positions(outputs[0]) // int(layer.filters)
    return places * (_size(layer.depthwise_kernel) + _size(layer.pointwise_kernel))


def _dense(layer: Any, _: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return _positions(outputs[0]) * int(layer.kernel.shape[0])


def _einsum(layer: Any, _: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    operands, result = layer.equation.replace(" ", "").split("->")
    kernel = operands.split(",")[1]
    return _positions(outputs[0]) * math.prod(int(n) for c, n in zip(kernel, layer.kernel.shape) if c not in result)


def _recurrent(layer: Any, inputs: Sequence[Shape], _: Sequence[Shape]) -> int:
    steps = inputs[0][1]
    if steps is None:
        raise TypeError("the number of time steps is free")
    return steps * sum(_size(w) for w in layer.weights if len(w.shape) == 2 and "bias" not in str(w.name))


def _attention(layer: Any, inputs: Sequence[Shape], _: Sequence[Shape]) -> int:
    query, value = inputs[0], inputs[min(1, len(inputs) - 1)]
    to, of = _positions(query[:-1]), _positions(value[:-1])
    query_dense, key_dense = layer._query_dense, layer._key_dense
    value_dense, output_dense = layer._value_dense, layer._output_dense
    heads, key_size = int(query_dense.kernel.shape[-2]), int(query_dense.kernel.shape[-1])
    value_size = int(value_dense.kernel.shape[-1])
    projections = to * (_size(query_dense.kernel) + _size(output_dense.kernel))
    projections += of * (_size(key_dense.kernel) + _size(value_dense.kernel))
    return projections + to * of * heads * (key_size + value_size)


def _each_step(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    steps = inputs[0][1]
    if steps is None or not hasattr(layer.layer, "weights") or hasattr(layer.layer, "_nodes_by_depth"):
        return None
    one = layer_macs(
        layer.layer, [(shape[0], *shape[2:]) for shape in inputs], [(shape[0], *shape[2:]) for shape in outputs]
    )
    return None if one is None else steps * one


_RULES: dict[str, Callable[[Any, Sequence[Shape], Sequence[Shape]], int | None]] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), _convolution),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _transposed),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable),
    "Dense": _dense,
    "EinsumDense": _einsum,
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional"), _recurrent),
    "MultiHeadAttention": _attention,
    "TimeDistributed": _each_step,
}
