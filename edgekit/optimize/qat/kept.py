"""Whether zeros and shared values of a model are still there in the int8 file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.optimize import model_tree
from edgekit.optimize.qat.record import LayerKept, Preserve

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_SPARSE = 0.1  # a fraction of zeros that no training leaves by chance
_SHARED = 256  # values at most, of a kernel that was clustered


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel with zeros or shared values, before training.

    Attributes:
        layer: name in the flat model.
        path: in the user's model.
        values: [..., output channels], or [height, width, channels, multiplier] of a depthwise one.
        sparse: it has zeros worth keeping.
        shared: it has shared values.
    """

    layer: str
    path: str
    values: Array
    sparse: bool
    shared: bool


def kernels(model: Any, origin: Mapping[str, tuple[str, str]], preserve: Preserve) -> list[Kernel]:
    """The kernels of a flat model that have what is to be kept."""
    import numpy

    found = []
    for layer in model.layers if preserve != "none" else ():
        variable = getattr(layer, "depthwise_kernel", getattr(layer, "kernel", None))
        if variable is None:
            continue
        values = numpy.asarray(variable)
        sparse = bool((values == 0).mean() >= _SPARSE) and preserve in ("sparsity", "both")
        distinct = numpy.unique(values).size
        shared = distinct <= min(_SHARED, values.size // 2) and preserve in ("clusters", "both")
        if sparse or shared:
            path = origin.get(layer.name, (layer.name, ""))[0]
            found.append(Kernel(layer=str(layer.name), path=path, values=values, sparse=sparse, shared=shared))
    return found


def compare(before: Iterable[Kernel], content: bytes) -> tuple[LayerKept, ...]:
    """What became of the kernels in the ``.tflite``."""
    before = list(before)
    if not before:
        return ()
    constants = _constants(content)
    return tuple(_compared(kernel, constants) for kernel in before)


def lost(layers: Iterable[LayerKept], kernels: Iterable[Kernel]) -> list[str]:
    """Sentences about the layers that did not keep what they had."""
    found = []
    for layer, kernel in zip(layers, kernels, strict=True):
        if not layer.found:
            found.append(f"{layer.name} (its kernel is not in the file as one int8 tensor)")
        elif kernel.sparse and layer.zeros < layer.zeros_before:
            found.append(f"{layer.name} (zeros {layer.zeros_before} → {layer.zeros})")
        elif kernel.shared and layer.values > layer.values_before:
            found.append(f"{layer.name} (values with one scale {layer.values_before} → {layer.values})")
    return found


def _compared(kernel: Kernel, constants: list[tuple[str, Array, int | None]]) -> LayerKept:
    import numpy

    zeros = int((kernel.values == 0).sum())
    name = re.compile(rf"(?:^|[/;])(?:quant_)?{re.escape(kernel.layer)}/")
    match = next(
        ((values, axis) for text, values, axis in constants if values.size == kernel.values.size and name.search(text)),
        None,
    )
    if match is None:
        return LayerKept(
            name=kernel.path,
            weights=kernel.values.size,
            zeros_before=zeros,
            zeros=0,
            values_before=int(numpy.unique(kernel.values).size),
            values=0,
            found=False,
        )
    values, axis = match
    return LayerKept(
        name=kernel.path,
        weights=kernel.values.size,
        zeros_before=zeros,
        zeros=int((values == 0).sum()),
        values_before=_distinct(kernel.values, None if axis is None else kernel.values.ndim - 1),
        values=_distinct(values, axis),
        found=True,
    )


def _distinct(values: Array, axis: int | None) -> int:
    """Most distinct values that share a scale: of all, or of any slice along ``axis``."""
    import numpy

    if axis is None:
        return int(numpy.unique(values).size)
    return max(int(numpy.unique(part).size) for part in numpy.moveaxis(values, axis, 0))


def _constants(content: bytes) -> list[tuple[str, Array, int | None]]:
    """Name, values and axis of the scales (None: one scale) of each int8 constant."""
    import numpy

    model = model_tree.parse(content, "the int8 file")
    found = []
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if data is None or not len(data) or model_tree.dtype(tensor) != "int8":
            continue
        values = numpy.frombuffer(bytes(data), numpy.int8).reshape([int(n) for n in tensor.shape])
        scales = (
            0 if tensor.quantization is None or tensor.quantization.scale is None else len(tensor.quantization.scale)
        )
        axis = int(tensor.quantization.quantizedDimension) if scales > 1 else None
        found.append((model_tree.text(tensor.name), values, axis))
    return found
