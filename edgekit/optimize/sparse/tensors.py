"""The constants of a ``.tflite`` as arrays, read and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.optimize import model_tree

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_STORED = ("float32", "float16", "int32", "int64", "int8", "uint8", "int16")


def values(model: Any, tensor: Any) -> Array | None:
    """The values of a constant ``TensorT`` in its shape; those of a sparse one flat, zeros left out.

    None for tensors without values, and for dtypes that numpy does not have.
    """
    import numpy

    data = model.buffers[tensor.buffer].data
    kind = model_tree.dtype(tensor)
    if data is None or len(data) == 0 or kind not in _STORED:
        return None
    flat: Array = numpy.frombuffer(bytes(data), dtype=kind)
    if tensor.sparsity is not None or tensor.shape is None:
        return flat
    return flat.reshape(tuple(int(n) for n in tensor.shape))


def store(model: Any, tensor: Any, array: Array) -> None:
    """Gives a constant ``TensorT`` other values, dtype and all, in its own buffer."""
    import numpy

    number = next(code for code, name in model_tree._DTYPES.items() if name == array.dtype.name)
    tensor.type = number
    model.buffers[tensor.buffer].data = numpy.frombuffer(numpy.ascontiguousarray(array).tobytes(), dtype=numpy.uint8)
