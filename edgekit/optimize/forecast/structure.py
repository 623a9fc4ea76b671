"""What a ``.tflite`` consists of, and what is left of it when every layer loses filters."""

from __future__ import annotations

import math
from typing import Any

from edgekit.model.tflite import TfliteModel
from edgekit.optimize import model_tree
from edgekit.optimize.forecast.effects import Shares

_RECURRENT = ("WHILE", "IF", "CALL_ONCE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM")


def values_in(model: Any) -> int:
    """Values in weights and biases, as :attr:`edgekit.model.tflite.TfliteModel.parameters` counts them."""
    total = 0
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        data = model.buffers[tensor.buffer].data
        scaled = tensor.quantization is not None and tensor.quantization.scale is not None
        integer = model_tree.dtype(tensor) in ("int32", "int64")
        if data is not None and len(data) and tensor.shape is not None and len(tensor.shape):
            total += 0 if integer and not scaled else math.prod(abs(int(n)) for n in tensor.shape)
    return total


def weights_bytes(model: Any) -> int:
    """Of constants with two dimensions or more, sparse ones by what they hold."""
    used = {
        tensor.buffer
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.shape is not None and len(tensor.shape) >= 2
    }
    return sum(len(model.buffers[at].data) for at in used if model.buffers[at].data is not None)


def after_filters(model: Any, keep: float) -> tuple[float, float]:
    """Ratios of multiply-accumulates and weights when every layer keeps ``keep`` of its outputs.

    A layer between two that shrink keeps ``keep`` squared; the first has its inputs still, the last its outputs;
    a depthwise convolution and a layer that feeds the model's output shrink by ``keep`` alone.
    """
    graph = model.subgraphs[0]
    given = {int(i) for i in graph.inputs}
    shrunk: set[int] = set()
    macs = [0.0, 0.0]
    held = [0.0, 0.0]
    products = [
        op
        for op in graph.operators
        if model_tree.op_name(model, op) in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
    ]
    last = products[-1] if products else None
    for op in graph.operators:
        outs = [int(i) for i in op.outputs]
        if not any(op is product for product in products):
            if any(int(i) in shrunk for i in op.inputs):
                shrunk |= set(outs)
            continue
        name = model_tree.op_name(model, op)
        place = 2 if name == "TRANSPOSE_CONV" else 0
        narrow_in = int(op.inputs[place]) in shrunk and int(op.inputs[place]) not in given
        narrow_out = op is not last
        shape = [int(n) for n in graph.tensors[int(op.inputs[1])].shape]
        size = math.prod(shape)
        each = math.prod(shape[1:-1]) if name == "DEPTHWISE_CONV_2D" else math.prod(shape[1:])
        work = math.prod(abs(int(n)) for n in graph.tensors[outs[0]].shape) * each
        if name == "DEPTHWISE_CONV_2D":
            factor = keep if narrow_in else 1.0
            narrow_out = narrow_in
        else:
            factor = (keep if narrow_in else 1.0) * (keep if narrow_out else 1.0)
        macs[0] += work
        macs[1] += work * factor
        held[0] += size
        held[1] += size * factor
        if narrow_out:
            shrunk |= set(outs)
    return macs[1] / max(1.0, macs[0]), held[1] / max(1.0, held[0])


def shares_of(model: TfliteModel) -> Shares:
    """What the ops of a file spend their multiply-accumulates on."""
    total = max(1, model.macs)

    def share(*names: str) -> float:
        return sum(op.macs or 0 for op in model.ops if op.name in names) / total

    return Shares(
        macs=model.macs,
        depthwise=share("DEPTHWISE_CONV_2D"),
        dense=share("FULLY_CONNECTED", "BATCH_MATMUL"),
        recurrent=any(op.name in _RECURRENT for op in model.ops),
    )
