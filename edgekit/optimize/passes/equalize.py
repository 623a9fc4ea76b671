"""Cross-layer equalisation of a float .tflite: channels of very different ranges are scaled to one another.

A layer's channel divided by s and the next layer's weights for that channel multiplied by s give the same function
(Nagel et al. 2019, *Data-Free Quantization Through Weight Equalization and Bias Correction*), because convolution and
ReLU are linear in a positive factor. Their s equalises the ranges of both layers' weights. Here weights have a scale
per output channel, so what shares one scale are the activations between the layers and the next layer's weights across
its inputs: s = sqrt(activation / weight) (Xiao et al. 2022, *SmoothQuant*, equation 4, alpha 0.5), and where the next
layer is depthwise, whose channels all have a scale of their own, s = activation.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy

from edgekit.core.notice import Notice
from edgekit.data.block import Array
from edgekit.optimize import model_tree
from edgekit.optimize.passes.activations import Activations
from edgekit.optimize.passes.chains import RELU, RELU6, Pair, find_pairs, unshare_biases
from edgekit.optimize.passes.constants import constant, replace
from edgekit.optimize.representative import Rows
from edgekit.optimize.selective.layers import layer_names

_TOLERANCE = 1e-4  # of the largest output: float32 sums in another scale
_COMPARED_ROWS = 16
_WORTH = 1.05  # channels this alike gain nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Equalized:
    """A float model after equalisation.

    Attributes:
        content: of the .tflite; the given one where nothing was done.
        pairs: how many pairs of layers were scaled.
        notes: what was done, and what was left alone with the reason.
        notices: where the function may differ.
    """

    content: bytes
    pairs: int
    notes: tuple[str, ...]
    notices: tuple[Notice, ...] = ()


def equalize(content: bytes, source: str, rows: Rows) -> Equalized:
    """Equalises every pair of layers of a float32 .tflite that can be.

    Args:
        content: of the file.
        source: its name, for messages.
        rows: for the ranges of the activations, and to compare the outputs with.

    Raises:
        ModelError: the model does not run.
        DataError: rows that would ruin the model.
    """
    model = model_tree.parse(content, source)
    called = layer_names(content, source)
    unshare_biases(model)
    pairs, refused = find_pairs(model)
    refused = [(called.get(name, name), why) for name, why in refused]
    largest = _largest(content, source, rows, [pair.tensor for pair in pairs])
    opened: list[str] = []
    total, done = len(pairs) + len(refused), 0
    for pair in pairs:
        reached = largest[pair.tensor]
        if pair.clips and float(reached.max()) >= 6.0:
            refused.append(
                (called.get(pair.name, pair.name), "its RELU6 clips, at a value that would differ for each channel")
            )
            continue
        if _scale(model, pair, reached):
            done += 1
            if pair.clips:
                _open(model, pair)
                opened.append(called.get(pair.name, pair.name))
    notes = [f"cross-layer equalisation: {done} of {total} layers scaled to the next one"]
    notes += [f"left alone: {why} ({_some(names)})" for why, names in _by_reason(refused)]
    if not done:
        return Equalized(content=content, pairs=0, notes=tuple(notes))
    changed = model_tree.pack(model)
    difference = _difference(content, changed, source, rows)
    if difference > _TOLERANCE:
        return Equalized(
            content=content,
            pairs=0,
            notes=(f"cross-layer equalisation was undone: the outputs moved by {difference:.2g} of the largest",),
        )
    notes.append(f"outputs equal to float precision on {min(_COMPARED_ROWS, rows.seen.count)} rows ({difference:.1g})")
    return Equalized(content=changed, pairs=done, notes=tuple(notes), notices=_opened(opened))


def _largest(content: bytes, source: str, rows: Rows, tensors: list[int]) -> dict[int, Array]:
    """Tensor → largest magnitude of each channel over the rows."""
    if not tensors:
        return {}
    model = Activations(content, source)
    found: dict[int, Array] = {}
    for row in rows():
        model.run(row)
        for tensor in tensors:
            values = model.value(tensor)
            if values is not None:
                here = numpy.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
                found[tensor] = numpy.maximum(found[tensor], here) if tensor in found else here
    return found


def _scale(model: Any, pair: Pair, reached: Array) -> bool:
    """Scales one pair in place; False where its channels are alike already."""
    graph = model.subgraphs[0]
    weights = constant(model, graph, pair.weights)
    following = constant(model, graph, pair.next_weights)
    if weights is None or following is None:
        return False
    bias = constant(model, graph, pair.bias)
    live = reached > 0
    if pair.next_axis is None:  # depthwise: a scale for every channel
        factor = numpy.where(live, reached, 1.0).astype(numpy.float64)
    else:
        across = _by_input(following, pair.next_axis, len(reached))
        live &= across > 0
        factor = numpy.sqrt(numpy.where(live, reached, 1.0) / numpy.where(live, across, 1.0)).astype(numpy.float64)
    if not live.any():
        return False
    factor = numpy.where(live, factor / numpy.exp(numpy.log(factor[live]).mean()), 1.0)
    if factor.max() / factor.min() < _WORTH:
        return False
    shape = [1] * weights.ndim
    shape[pair.axis] = -1
    replace(model, graph, pair.weights, weights / factor.reshape(shape))
    if bias is not None:
        replace(model, graph, pair.bias, bias / factor)
    axis = following.ndim - 1 if pair.next_axis is None else pair.next_axis
    shape = [1] * following.ndim
    shape[axis] = -1
    repeated = numpy.tile(factor, following.shape[axis] // len(factor))  # a flattened image ends in its channels
    replace(model, graph, pair.next_weights, following * repeated.reshape(shape))
    return True


def _by_input(following: Array, axis: int, channels: int) -> Array:
    """Largest weight of each input channel, each output channel's weights in units of its own largest one."""
    turned = numpy.abs(numpy.moveaxis(following, axis, -1)).reshape(following.shape[0], -1, channels)
    top = turned.max(axis=(1, 2), keepdims=True)
    scaled: Array = (turned / numpy.where(top > 0, top, 1.0)).max(axis=(0, 1))
    return scaled


def _open(model: Any, pair: Pair) -> None:
    """RELU6 → RELU, which is linear in a positive factor."""
    graph = model.subgraphs[0]
    for position in pair.clips:
        op = graph.operators[position]
        if model_tree.op_name(model, op) == "RELU6":
            op.opcodeIndex = _code(model, "RELU")
        elif op.builtinOptions.fusedActivationFunction == RELU6:
            op.builtinOptions.fusedActivationFunction = RELU


def _code(model: Any, name: str) -> int:
    """The place of an op in the model's operator codes, added where it is not there."""
    number = getattr(model_tree.schema().BuiltinOperator, name)
    for place, code in enumerate(model.operatorCodes):
        if model_tree.builtin_code(code) == number:
            return place
    code = model_tree.schema().OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, number, 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _difference(one: bytes, other: bytes, source: str, rows: Rows) -> float:
    """Largest difference of the outputs, in units of the largest output."""
    models = [Activations(one, source), Activations(other, source)]
    outputs = [int(index) for index in models[0].model.subgraphs[0].outputs]
    largest = apart = 0.0
    for count, row in enumerate(rows.part()):
        if count == _COMPARED_ROWS:
            break
        for model in models:
            model.run(row)
        for index in outputs:
            before, after = (model.value(index) for model in models)
            if before is not None and after is not None:
                largest = max(largest, float(numpy.abs(before).max(initial=0.0)))
                apart = max(apart, float(numpy.abs(after - before).max(initial=0.0)))
    return apart / largest if largest else apart


def _opened(names: list[str]) -> tuple[Notice, ...]:
    if not names:
        return ()
    return (
        Notice(
            code="relu6-opened",
            message=f"RELU6 became RELU in {_some(names)}: no calibration row reached 6 there, another row may",
            hint="leave equalisation out if the limit of 6 matters for inputs unlike the calibration rows",
        ),
    )


def _by_reason(refused: list[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    order = Counter(why for _, why in refused)
    return [(why, [name for name, other in refused if other == why]) for why, _ in order.most_common()]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
