"""Pairs of layers of a float .tflite between which a channel's scale can be moved without changing the function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from edgekit.optimize import model_tree
from edgekit.optimize.passes.constants import constant, unshare

NONE, RELU, RELU6 = 0, 1, 3  # ActivationFunctionType of the schema
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# linear in a positive factor of a channel, and each channel by itself
_PASSING = (
    "RELU", "RELU6", "LEAKY_RELU", "MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "MEAN", "RESHAPE", "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two layers, the second of which alone takes what the first one gives.

    Attributes:
        name: of the first one's output tensor.
        tensor: the first one's output; its last axis are the channels.
        weights, axis: of the first one, and where its output channels are.
        bias: of the first one; -1 where it has none.
        next_weights, next_axis: of the second one, and where its input channels are; None: depthwise.
        clips: positions of the ops between them (the first one included) with a RELU6.
    """

    name: str
    tensor: int
    weights: int
    axis: int
    bias: int
    next_weights: int
    next_axis: int | None
    clips: tuple[int, ...]


def unshare_biases(model: Any) -> None:
    """Gives every layer a bias of its own: converters let layers without one share a row of zeros."""
    graph = model.subgraphs[0]
    seen: set[int] = set()
    for op in graph.operators or ():
        if model_tree.op_name(model, op) in _WEIGHTED and len(op.inputs) > 2 and int(op.inputs[2]) >= 0:
            if int(op.inputs[2]) in seen and constant(model, graph, int(op.inputs[2])) is not None:
                unshare(graph, op, 2)
            seen.add(int(op.inputs[2]))


def find_pairs(model: Any) -> tuple[list[Pair], list[tuple[str, str]]]:
    """All pairs of the main subgraph in order, and the layers that begin none with the reason."""
    graph = model.subgraphs[0]
    consumers: dict[int, list[int]] = {}
    for position, op in enumerate(graph.operators or ()):
        for index in op.inputs:
            consumers.setdefault(int(index), []).append(position)
    pairs, refused = [], []
    for position, op in enumerate(graph.operators or ()):
        if model_tree.op_name(model, op) in _WEIGHTED:
            found = _pair(model, graph, position, consumers)
            if isinstance(found, Pair):
                pairs.append(found)
            else:
                refused.append((_output_name(graph, op), found))
    return pairs, refused


def _pair(model: Any, graph: Any, position: int, consumers: dict[int, list[int]]) -> Pair | str:
    op = graph.operators[position]
    kind = model_tree.op_name(model, op)
    weights = constant(model, graph, int(op.inputs[1]))
    if weights is None or weights.dtype != numpy.float32:
        return "its weights are no plain float32 constants"
    if consumers[int(op.inputs[1])] != [position]:
        return "its weights are shared with another layer"
    bias = int(op.inputs[2]) if len(op.inputs) > 2 else -1
    if bias >= 0 and constant(model, graph, bias) is None:
        return "its bias is computed"
    axis = 3 if kind == "DEPTHWISE_CONV_2D" else 0
    channels = weights.shape[axis]
    clips: list[int] = []
    activation = int(getattr(op.builtinOptions, "fusedActivationFunction", NONE))
    if activation not in (NONE, RELU, RELU6):
        return "its activation is not linear in a positive factor"
    if activation == RELU6:
        clips.append(position)
    here, flat = int(op.outputs[0]), False
    edges = {int(index) for index in graph.outputs}
    while True:
        if here in edges:
            return "it ends in an output of the model"
        users = consumers.get(here, [])
        if len(users) != 1:
            return f"its output goes to {len(users)} ops"
        following = graph.operators[users[0]]
        name = model_tree.op_name(model, following)
        if name in _WEIGHTED:
            return _ended(model, graph, op, following, here, channels, clips, consumers, bias=bias, axis=axis)
        why = _passes(model, graph, following, channels, flat)
        if why is not None:
            return why
        if name == "RELU6" or int(getattr(following.builtinOptions, "fusedActivationFunction", NONE) or 0) == RELU6:
            clips.append(users[0])
        here = int(following.outputs[0])
        flat = int(graph.tensors[here].shape[-1]) != channels


def _ended(
    model: Any,
    graph: Any,
    op: Any,
    following: Any,
    here: int,
    channels: int,
    clips: list[int],
    consumers: dict[int, list[int]],
    *,
    bias: int,
    axis: int,
) -> Pair | str:
    name = model_tree.op_name(model, following)
    weights = constant(model, graph, int(following.inputs[1]))
    if int(following.inputs[0]) != here or weights is None or weights.dtype != numpy.float32:
        return "the next layer's weights are no plain float32 constants"
    if len(consumers[int(following.inputs[1])]) > 1:
        return "the next layer's weights are shared with another layer"
    next_axis: int | None = weights.ndim - 1
    if name == "DEPTHWISE_CONV_2D":
        next_axis = None
        if weights.shape[3] != channels:
            return "the next layer is depthwise with a multiplier"
    elif name == "CONV_2D" and weights.shape[3] != channels:
        return "the next layer is a grouped convolution"
    elif weights.shape[-1] % channels:
        return "the next layer does not take its channels in order"
    return Pair(
        name=_output_name(graph, op),
        tensor=int(op.outputs[0]),
        weights=int(op.inputs[1]),
        axis=axis,
        bias=bias,
        next_weights=int(following.inputs[1]),
        next_axis=next_axis,
        clips=tuple(clips),
    )


def _passes(model: Any, graph: Any, op: Any, channels: int, flat: bool) -> str | None:
    """Why a channel's scale does not pass this op; None where it does."""
    name = model_tree.op_name(model, op)
    activation = int(getattr(op.builtinOptions, "fusedActivationFunction", NONE) or 0)
    if name not in _PASSING or activation not in (NONE, RELU, RELU6):
        return f"its output goes to {name}"
    if flat and name != "RESHAPE":
        return f"its channels are flattened before {name}"
    rank = len(graph.tensors[int(op.inputs[0])].shape)
    if name == "MEAN":
        axes = constant(model, graph, int(op.inputs[1]))
        if axes is None or any(int(axis) in (-1, rank - 1) for axis in axes.reshape(-1)):
            return "its output goes to MEAN over the channels"
    if name == "PAD":
        around = constant(model, graph, int(op.inputs[1]))
        if around is None or around.reshape(-1, 2)[-1].any():
            return "its output goes to PAD of the channels"
    if name == "RESHAPE" and int(graph.tensors[int(op.outputs[0])].shape[-1]) % channels:
        return "its output goes to RESHAPE that mixes the channels"
    return None


def _output_name(graph: Any, op: Any) -> str:
    return model_tree.text(graph.tensors[int(op.outputs[0])].name)
