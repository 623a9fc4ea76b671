"""What pruning and clustering will do to the weights of a ``.tflite``: the masks and the centres themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.optimize import model_tree
from edgekit.optimize.sparse import tensors

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

PRODUCTS = ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D", "BATCH_MATMUL", "UNIDIRECTIONAL_SEQUENCE_LSTM")
_KERNEL_AT = {"TRANSPOSE_CONV": (1,), "UNIDIRECTIONAL_SEQUENCE_LSTM": tuple(range(1, 9))}
_BLOCK = 4  # inputs by 1 output
_ROUNDS = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """The weights of one op.

    Attributes:
        op: its name.
        tensor: position in the main subgraph.
        values: as stored: outputs first (depthwise: last).
        flat: it moves along one axis only, as the kernel of a Conv1D.
    """

    op: str
    tensor: int
    values: Array
    flat: bool = False


def kernels(model: Any, *, ops: tuple[str, ...] = PRODUCTS) -> list[Kernel]:
    """Float kernels of the main subgraph, each once."""
    graph = model.subgraphs[0]
    found: dict[int, Kernel] = {}
    for op in graph.operators:
        name = model_tree.op_name(model, op)
        if name not in ops:
            continue
        for place in _KERNEL_AT.get(name, (1,)):
            index = int(op.inputs[place]) if place < len(op.inputs) else -1
            if index < 0 or index in found:
                continue
            values = tensors.values(model, graph.tensors[index])
            if values is not None and values.dtype.name == "float32" and values.ndim >= 2:
                found[index] = Kernel(op=name, tensor=index, values=values, flat=_is_flat(graph, op, name))
    return list(found.values())


def prune(model: Any, kernel: Kernel, pattern: str, sparsity: float) -> bool:
    """Zeroes what the step would zero in this kernel; whether the pattern is for it.

    Training moves the weights, and a batch normalization that is folded into them changes their order between
    channels: other weights may be zero in the end, but as many.
    """
    import numpy

    size = numpy.abs(kernel.values)
    if pattern == "block":
        if kernel.op != "FULLY_CONNECTED" or size.shape[0] < 2 or size.shape[1] <= _BLOCK:
            return False
        mask = _blocks(size, sparsity)
    elif pattern == "2:4":
        if (
            kernel.flat
            or kernel.values.shape[-1] < 4
            or kernel.op not in ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
        ):
            return False
        mask = _two_of_four(size)
    else:
        mask = _largest(size, sparsity)
    tensors.store(model, model.subgraphs[0].tensors[kernel.tensor], kernel.values * mask)
    return True


def cluster(model: Any, kernel: Kernel, clusters: int, *, preserve_sparsity: bool) -> None:
    """Gives a kernel as many distinct values as asked for: Lloyd's algorithm in one dimension."""
    import numpy

    flat = kernel.values.ravel()
    zero = flat == 0 if preserve_sparsity else numpy.zeros(flat.shape, bool)
    rest = flat[~zero]
    count = clusters - int(preserve_sparsity and bool(zero.any()))
    if not rest.size:
        return
    ordered = numpy.sort(rest)
    sums = numpy.concatenate([[0.0], numpy.cumsum(ordered, dtype=numpy.float64)])
    centres = numpy.unique(numpy.quantile(ordered, (numpy.arange(count) + 0.5) / count))
    for _ in range(_ROUNDS):
        edges = numpy.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        begins, ends = numpy.concatenate([[0], edges]), numpy.concatenate([edges, [ordered.size]])
        filled = ends > begins
        centres = (sums[ends[filled]] - sums[begins[filled]]) / (ends[filled] - begins[filled])
    nearest = numpy.searchsorted((centres[1:] + centres[:-1]) / 2, flat)
    found = centres[nearest].astype(numpy.float32)
    found[zero] = 0
    tensors.store(model, model.subgraphs[0].tensors[kernel.tensor], found.reshape(kernel.values.shape))


def zeros(model: Any) -> tuple[int, int]:
    """Zeros among the weights of all kernels, and their number."""
    import numpy

    found = kernels(model)
    total = sum(kernel.values.size for kernel in found)
    return total - sum(int(numpy.count_nonzero(kernel.values)) for kernel in found), total


def _is_flat(graph: Any, op: Any, name: str) -> bool:
    """Whether a convolution runs on maps of height 1: TFMOT's 2:4 does not take the Conv1D that it was."""
    shape = graph.tensors[int(op.inputs[0])].shape
    return name == "CONV_2D" and shape is not None and len(shape) == 4 and int(shape[1]) == 1 and int(shape[2]) > 1


def _largest(size: Array, sparsity: float) -> Array:
    import numpy

    keep = max(1, round(size.size * (1 - sparsity)))
    mask = numpy.zeros(size.size, numpy.float32)
    mask[numpy.argpartition(-size.ravel(), keep - 1)[:keep]] = 1
    return mask.reshape(size.shape)


def _blocks(size: Array, sparsity: float) -> Array:
    """Blocks of 4 inputs by 1 output with the smallest means; stored [outputs, inputs]."""
    import numpy

    outputs, inputs = size.shape
    wide = math.ceil(inputs / _BLOCK) * _BLOCK
    padded = numpy.pad(size, ((0, 0), (0, wide - inputs)))
    means = padded.reshape(outputs, wide // _BLOCK, _BLOCK).mean(axis=-1)
    return numpy.repeat(_largest(means, sparsity), _BLOCK, axis=1)[:, :inputs]


def _two_of_four(size: Array) -> Array:
    """The two largest of each four neighbours along the inputs."""
    import numpy

    inputs = size.shape[-1]
    wide = math.ceil(inputs / 4) * 4
    padded = numpy.pad(size.reshape(-1, inputs), ((0, 0), (0, wide - inputs)), constant_values=-1.0)
    fours = padded.reshape(-1, 4)
    ranks = numpy.argsort(numpy.argsort(-fours, axis=1, kind="stable"), axis=1)
    mask = (ranks < 2).astype(numpy.float32).reshape(padded.shape)[:, :inputs]
    found: Array = mask.reshape(size.shape)
    return found
