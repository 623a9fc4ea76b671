"""What each layer has of the whole: multiply-accumulates, parameters, bytes in the file, time on a device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit.model.description import LayerDescription
from edgekit.model.tflite import Op, TfliteModel
from edgekit.optimize.diagnose.owners import OwnedOp

#: ops of the file → words for the kind of work; convolutions get the size of their window
_KINDS = {
    "CONV_2D": "convolution",
    "CONV_3D": "3-D convolution",
    "DEPTHWISE_CONV_2D": "depthwise convolution",
    "TRANSPOSE_CONV": "transposed convolution",
    "FULLY_CONNECTED": "dense",
    "BATCH_MATMUL": "matrix product",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "recurrent",
    "BIDIRECTIONAL_SEQUENCE_LSTM": "recurrent",
    "WHILE": "recurrent",
    "SVDF": "recurrent",
    "MAX_POOL_2D": "pooling",
    "AVERAGE_POOL_2D": "pooling",
    "MEAN": "pooling",
    "SOFTMAX": "softmax",
}
_INNER = ("BatchNorm", "batchnorm", "act_quant", "weights_quant", "StatefulPartitionedCall")
_WINDOWED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTiming:
    """What was measured of one op.

    Attributes:
        elapsed_ns: in one run.
        delegated: the delegate took it.
    """

    elapsed_ns: float
    delegated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShare:
    """One layer, or one op where there are no layers.

    Attributes:
        name: with the models around it.
        type: class of the layer, or name of the op.
        kind: of work, in words: ``3×3 convolution``, ``dense``; "" where it has no op of its own.
        ops: names of its ops, in order.
        macs, parameters: numbers; None where the type leaves them open.
        bytes: of its weights in the float32 .tflite.
        elapsed_ns: of its ops on the device; None without one.
        delegated: the delegate took all its ops; None without a device or without ops.
        joined_to: the layer whose op computes this one too; None where it has its own, or nothing to compute.
    """

    name: str
    type: str
    kind: str
    ops: tuple[str, ...]
    macs: int | None
    parameters: int
    bytes: int
    elapsed_ns: float | None
    delegated: bool | None
    joined_to: str | None


def layer_shares(
    model: TfliteModel,
    owned: Sequence[OwnedOp],
    layers: Sequence[LayerDescription],
    timings: Sequence[OpTiming] = (),
) -> tuple[LayerShare, ...]:
    """What each layer has of the whole, in the model's order; ops that belong to no layer come last, one row each.

    Args:
        model: the float32 .tflite.
        owned: its ops with their layers.
        layers: of the network; empty for a .tflite without one: then each op is a row.
        timings: one for each op of the first subgraph, from a device; or none.
    """
    if not layers:
        return tuple(_of_op(model, item, timings) for item in owned)
    mine: dict[str, list[OwnedOp]] = {}
    joined: dict[str, str] = {}
    for item in owned:
        if item.owner is not None:
            mine.setdefault(item.owner, []).append(item)
            joined.update((name, item.owner) for name in item.layers if name != item.owner)
    rows = [_of_layer(model, layer, mine.get(layer.name, []), joined, timings) for layer in layers]
    return (*rows, *(_of_op(model, item, timings) for item in owned if item.owner is None))


def _of_layer(
    model: TfliteModel,
    layer: LayerDescription,
    items: Sequence[OwnedOp],
    joined: Mapping[str, str],
    timings: Sequence[OpTiming],
) -> LayerShare:
    ops = [item.op for item in items]
    known = [timings[op.index] for op in ops] if timings else []
    return LayerShare(
        name=layer.name,
        type=layer.type,
        kind=_kind_of(model, ops),
        ops=tuple(op.name for op in ops),
        macs=layer.macs,
        parameters=layer.parameters,
        bytes=_bytes(model, ops),
        elapsed_ns=sum(timing.elapsed_ns for timing in known) if timings else None,
        delegated=all(timing.delegated for timing in known) if known else None,
        joined_to=joined.get(layer.name) if not ops else None,
    )


def _of_op(model: TfliteModel, item: OwnedOp, timings: Sequence[OpTiming]) -> LayerShare:
    op = item.op
    timing = timings[op.index] if timings else None
    return LayerShare(
        name=op_label(model, op),
        type=op.name,
        kind=_kind_of(model, [op]),
        ops=(op.name,),
        macs=op.macs,
        parameters=sum(math.prod(model.tensors[i].shape) for i in _weights(model, op)),
        bytes=_bytes(model, [op]),
        elapsed_ns=timing.elapsed_ns if timing else None,
        delegated=timing.delegated if timing else None,
        joined_to=None,
    )


def op_label(model: TfliteModel, op: Op) -> str:
    """What to call an op that belongs to no layer: the last scope in the name of what it makes, and its position."""
    names = [model.tensors[i].name for i in op.outputs if i >= 0]
    scopes = [part.split("/") for part in (names[0].split(";") if names else [])]
    known = [part for parts in scopes for part in parts[:-1] if not part.startswith(_INNER)]
    return f"{known[-1] if known else op.name.lower()} (op {op.index})"


def _kind_of(model: TfliteModel, ops: Sequence[Op]) -> str:
    """The kind of the op with the most work; what loops is recurrent, whatever it needs around the loop."""
    if not ops:
        return ""
    loops = [op for op in ops if _KINDS.get(op.name) == "recurrent"]
    chief = max(loops or ops, key=lambda op: op.macs or 0)
    words = _KINDS.get(chief.name, chief.name.lower().replace("_", " "))
    if chief.name in _WINDOWED and len(chief.inputs) > 1:
        shape = model.tensors[chief.inputs[1]].shape
        if len(shape) == 4:
            return f"{shape[1]}×{shape[2]} {words}"
    return words


def _weights(model: TfliteModel, op: Op) -> list[int]:
    return [i for i in dict.fromkeys(op.inputs) if i >= 0 and model.tensors[i].constant]


def _bytes(model: TfliteModel, ops: Sequence[Op]) -> int:
    places = dict.fromkeys(i for op in ops for i in _weights(model, op))
    return sum(model.tensors[i].size_bytes for i in places)
