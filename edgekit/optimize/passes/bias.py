"""Bias correction: the mean error that int8 makes in each channel of a layer, taken off its integer bias.

Nagel et al. 2019, section 4.2, the empirical form: the layers in order, each after those before it are corrected. An
activation that is fused into the layer lets only a part of its inputs through; the correction is divided by that part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from edgekit.core.events import Event, EventSink, ignore
from edgekit.data.block import Array
from edgekit.optimize import model_tree
from edgekit.optimize.passes.activations import Activations
from edgekit.optimize.passes.constants import constant, replace
from edgekit.optimize.passes.error import OutputError
from edgekit.optimize.representative import Rows
from edgekit.optimize.selective.layers import layer_names

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
_BIAS = {"TRANSPOSE_CONV": 3}  # the others: input 2
_DATA = {"TRANSPOSE_CONV": 2}  # the others: input 0
_LEAST_ACTIVE = 0.05  # a channel that is cut off nearly always tells nothing of its input


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A quantized model after bias correction.

    Attributes:
        content: of the .tflite; the given one where it helped nothing.
        layers: how many have other biases.
        notes: what was done and what it gave.
    """

    content: bytes
    layers: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    float_output: int
    output: int
    bias: int
    units: Array
    """What one step of the bias is worth, for each channel."""


def correct_biases(
    float_content: bytes, content: bytes, source: str, rows: Rows, on_event: EventSink = ignore
) -> Corrected:
    """Corrects the biases of a quantized .tflite, and keeps them only if the outputs come closer to the float model's.

    Args:
        float_content: the float32 .tflite that ``content`` was quantized from.
        content: the quantized one.
        source: name of the file, for messages.
        rows: to calibrate with; the first 64 are used.
        on_event: hears of every layer.

    Raises:
        ModelError: a model does not run.
    """
    model = model_tree.parse(content, source)
    reference = Activations(float_content, source)
    layers, without = _layers(model, reference.model)
    called = layer_names(float_content, source)
    without = [called.get(name, name) for name in without]
    error = OutputError(float_content, source, rows)
    means: dict[int, Array] = {}
    for row in error.rows:
        reference.run(row)
        for layer in layers:
            here = _by_channel(_held(reference.real(layer.float_output))).mean(axis=0)
            means[layer.float_output] = means.get(layer.float_output, 0) + here / len(error.rows)
    changed, touched = content, 0
    for number, layer in enumerate(layers):
        done = (number + 1) / len(layers)
        on_event(Event(state="progress", task="correct biases", message=f"layer {number + 1}", fraction=done))
        steps = _steps(changed, source, error.rows, layer, means[layer.float_output])
        if steps.any():
            graph = model.subgraphs[0]
            bias = constant(model, graph, layer.bias)
            assert bias is not None  # looked up in _layers
            limits = numpy.iinfo(bias.dtype)
            replace(model, graph, layer.bias, numpy.clip(bias.astype(numpy.float64) + steps, limits.min, limits.max))
            changed, touched = model_tree.pack(model), touched + 1
    before, after = error.of(content), error.of(changed)
    left = [f"no bias to correct in: {', '.join(without[:5])}{' …' if len(without) > 5 else ''}"] if without else []
    moved = f"the outputs' error in int8 went from {before:.3g} to {after:.3g} of their power ({len(error.rows)} rows)"
    if not after < before:
        return Corrected(content=content, layers=0, notes=(f"bias correction undone: {moved}", *left))
    return Corrected(content=changed, layers=touched, notes=(f"bias correction in {touched} layers: {moved}", *left))


def _layers(model: Any, reference: Any) -> tuple[list[_Layer], list[str]]:
    """The integer layers with a bias, and the names of those without.

    The quantizers keep the order of the ops, so the n-th convolution is the n-th one of the float model.
    """
    graph, plain = model.subgraphs[0], reference.subgraphs[0]
    ours, theirs = (
        [(model_tree.op_name(tree, op), op) for op in tree.subgraphs[0].operators] for tree in (model, reference)
    )
    ours, theirs = ([item for item in items if item[0] in _WEIGHTED] for items in (ours, theirs))
    found: list[_Layer] = []
    without: list[str] = []
    if [name for name, _ in ours] != [name for name, _ in theirs]:
        return found, ["every layer: the quantizer changed their order"]
    for (name, op), (_, float_op) in zip(ours, theirs):
        result = int(op.outputs[0])
        if model_tree.dtype(graph.tensors[result]) not in ("int8", "int16"):
            continue  # kept in float
        position = _BIAS.get(name, 2)
        bias = int(op.inputs[position]) if len(op.inputs) > position else -1
        if constant(model, graph, bias) is None:
            without.append(model_tree.text(plain.tensors[int(float_op.outputs[0])].name))
            continue
        data = graph.tensors[int(op.inputs[_DATA.get(name, 0)])].quantization.scale
        weights = graph.tensors[int(op.inputs[1])].quantization.scale
        found.append(
            _Layer(
                float_output=int(float_op.outputs[0]),
                output=result,
                bias=bias,
                units=numpy.asarray(weights, numpy.float64) * float(data[0]),
            )
        )
    return found, without


def _steps(content: bytes, source: str, rows: Sequence[Mapping[str, Array]], layer: _Layer, wanted: Array) -> Array:
    """By how many steps each channel's bias must move; whole numbers."""
    model = Activations(content, source)
    tensor = model.model.subgraphs[0].tensors[layer.output]
    limits = numpy.iinfo(model_tree.dtype(tensor))
    mean, active = numpy.zeros_like(wanted), numpy.zeros_like(wanted)
    for row in rows:
        model.run(row)
        raw = _by_channel(_held(model.value(layer.output)))
        mean += _by_channel(_held(model.real(layer.output))).mean(axis=0) / len(rows)
        active += ((raw > limits.min) & (raw < limits.max)).mean(axis=0) / len(rows)
    moved = numpy.where(active >= _LEAST_ACTIVE, (wanted - mean) / numpy.maximum(active, _LEAST_ACTIVE), 0.0)
    steps: Array = numpy.rint(moved / layer.units)
    return steps


def _by_channel(values: Array) -> Array:
    return values.reshape(-1, values.shape[-1])


def _held(values: Array | None) -> Array:
    assert values is not None  # outputs of ops are kept
    return values
