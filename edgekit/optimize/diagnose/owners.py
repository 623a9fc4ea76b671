"""Which layer of the Keras model an op of the converted .tflite comes from, by the names that the converter keeps.

A tensor is called after all that went into it: ``net/re_lu/Relu;net/bn/FusedBatchNormV3;net/conv/Conv2D``. Keras 3
traces a loaded model a second time and puts a number behind every name then: ``conv2d_1`` becomes ``conv2d_1_2``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit.model.description import LayerDescription
from edgekit.model.tflite import Op, TfliteModel

_NUMBERED = re.compile(r"_\d+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedOp:
    """One op with the layers that it computes.

    Attributes:
        op: as in the file.
        owner: the layer that its work belongs to; None where no name tells.
        layers: all layers that went into it, in the model's order; the owner among them.
        certain: by name; else the owner is the layer before it.
    """

    op: Op
    owner: str | None
    layers: tuple[str, ...]
    certain: bool


def owned_ops(model: TfliteModel, layers: Sequence[LayerDescription]) -> tuple[OwnedOp, ...]:
    """Each op of the first subgraph with its layers.

    Args:
        model: the .tflite that was converted from the network.
        layers: of the network, in its order; empty: nobody owns anything.
    """
    order = {layer.name: position for position, layer in enumerate(layers)}
    by_name = {layer.name: layer for layer in layers}
    ops = [op for op in model.ops if op.subgraph == 0]
    texts = [[model.tensors[i].name for i in op.outputs if i >= 0] for op in ops]
    numbered = _is_numbered([text for names in texts for text in names], order)
    found: list[OwnedOp] = []
    makers: dict[int, str] = {}
    for op, names in zip(ops, texts):
        inside = sorted(_layers_in(names, order, numbered=numbered), key=order.__getitem__)
        owner = _chief(op, inside, by_name)
        certain = owner is not None
        if op.macs and not (owner and by_name[owner].macs):
            worker = _by_work(op, layers, found)
            if worker is not None:
                inside, owner = sorted({*inside, worker}, key=order.__getitem__), worker
        if owner is None:
            owner = _guess(op, model, makers, found, layers)
            inside = [owner] if owner else []
        if owner is not None:
            makers.update((tensor, owner) for tensor in op.outputs)
        found.append(OwnedOp(op=op, owner=owner, layers=tuple(inside), certain=certain))
    return tuple(found)


def _is_numbered(texts: Sequence[str], order: Mapping[str, int]) -> bool:
    """Whether names got a number behind them: with it more of them are layers than without."""
    plain = {name for text in texts for name in _layers_in([text], order, numbered=False)}
    stripped = {name for text in texts for name in _layers_in([text], order, numbered=True)}
    return len(stripped) > len(plain)


def _layers_in(texts: Sequence[str], order: Mapping[str, int], *, numbered: bool) -> set[str]:
    found = set()
    for text in texts:
        for name in text.split(";"):
            parts = name.split("/")
            if numbered:
                parts = [_NUMBERED.sub("", part) for part in parts]
            layer = _longest(parts, order)
            if layer is not None:
                found.add(layer)
    return found


def _longest(parts: Sequence[str], order: Mapping[str, int]) -> str | None:
    """The longest run of parts that is the path of a layer; the outermost of those of one length."""
    for length in range(len(parts), 0, -1):
        for start in range(len(parts) - length + 1):
            path = "/".join(parts[start : start + length])
            if path in order:
                return path
    return None


def _chief(op: Op, inside: Sequence[str], by_name: Mapping[str, LayerDescription]) -> str | None:
    """The layer that the op's work belongs to: the one with multiply-accumulates, else the last."""
    if not inside:
        return None
    if op.macs:
        return max(inside, key=lambda name: by_name[name].macs or 0)
    return inside[-1]


def _by_work(op: Op, layers: Sequence[LayerDescription], before: Sequence[OwnedOp]) -> str | None:
    """For an op with work whose names tell of no layer with work: the next one that has as much and no op yet.

    The names of a fused LSTM, and of a convolution in groups, are not those of their layers.
    """
    taken = {item.owner for item in before if item.op.macs}
    for layer in layers:
        if layer.name not in taken and layer.macs == op.macs:
            return layer.name
    if "LSTM" not in op.name:
        return None
    recurrent = [layer.name for layer in layers if layer.type in ("LSTM", "Bidirectional")]
    both_ways = [layer.name for layer in layers if layer.type == "Bidirectional"]
    half = [name for name in both_ways if sum(item.owner == name for item in before if item.op.macs) == 1]
    return next(iter(half), None) or next((name for name in recurrent if name not in taken), None)


def _guess(
    op: Op,
    model: TfliteModel,
    makers: Mapping[int, str],
    before: Sequence[OwnedOp],
    layers: Sequence[LayerDescription],
) -> str | None:
    """For an op without a name of its own, as at the end of a model: a last layer that has no op yet, or its input's.

    The converter calls the outputs of a model after the function, not after the layer.
    """
    if set(op.outputs) & set(model.output_tensors) and layers:
        taken = {name for item in before for name in item.layers}
        last = layers[-1]
        if last.name not in taken:
            return last.name
    return next((makers[tensor] for tensor in op.inputs if tensor in makers), None)
