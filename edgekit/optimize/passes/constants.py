"""Constant tensors of a ``ModelT`` as arrays, read and replaced."""

from __future__ import annotations

import copy
from typing import Any

import numpy

from edgekit.data.block import Array
from edgekit.optimize import model_tree


def constant(model: Any, graph: Any, tensor: int) -> Array | None:
    """The values of a constant tensor, in its shape; None for one that is computed, missing or packed."""
    if tensor < 0:
        return None
    held = graph.tensors[tensor]
    data = model.buffers[held.buffer].data
    kind = model_tree.dtype(held)
    if data is None or len(data) == 0 or held.sparsity is not None or kind.startswith(("type", "string", "int4")):
        return None
    shape = [] if held.shape is None else [int(size) for size in held.shape]
    return numpy.frombuffer(bytes(bytearray(data)), numpy.dtype(kind)).reshape(shape)


def replace(model: Any, graph: Any, tensor: int, values: Array) -> None:
    """Gives a constant tensor other values of the same type, in a buffer of its own: others may share the old one."""
    held = graph.tensors[tensor]
    buffer = model_tree.schema().BufferT()
    buffer.data = numpy.frombuffer(
        numpy.ascontiguousarray(values, numpy.dtype(model_tree.dtype(held))).tobytes(), numpy.uint8
    )
    sharing = sum(1 for other in model.subgraphs for item in other.tensors if item.buffer == held.buffer)
    if sharing == 1:
        model.buffers[held.buffer].data = buffer.data
        return
    model.buffers.append(buffer)
    held.buffer = len(model.buffers) - 1


def unshare(graph: Any, op: Any, position: int) -> None:
    """Gives an op a constant input tensor of its own."""
    shared = graph.tensors[int(op.inputs[position])]
    own = copy.copy(shared)
    own.name = model_tree.text(shared.name).encode() + b"_of_" + str(len(graph.tensors)).encode()
    op.inputs = [len(graph.tensors) if n == position else int(index) for n, index in enumerate(op.inputs)]
    graph.tensors = [*graph.tensors, own]
