"""How a float32 ``.tflite`` is stored in another numeric mode or in the sparse encoding, but for the calibration."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from edgekit.optimize import model_tree
from edgekit.optimize.sparse import tensors

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_CHANNEL_AT = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0, "CONV_3D": 4}
_DYNAMIC = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "GATHER", "EMBEDDING_LOOKUP",
            "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "SVDF")  # fmt: skip
_ENOUGH = 1024  # weights that the dynamic-range quantizer leaves alone when there are fewer
_INPUT_SCALE = 0.02  # of activations, for the values of biases; how a bias compresses hardly depends on it


def stored(model: Any, mode: str) -> None:
    """Rewrites a float32 ``ModelT`` in place as the numeric mode would store it. Activations get ranges of no meaning.

    Args:
        model: float32.
        mode: ``int8``, ``int8-float-io``, ``int16x8``, ``dynamic`` or ``float16``; ``float32`` changes nothing.
    """
    if mode == "float16":
        _float16(model)
    elif mode == "dynamic":
        _dynamic(model)
    elif mode != "float32":
        _integer(model, wide=mode == "int16x8")


def stored_sparse(model: Any, least: float = 0.3) -> None:
    """Puts kernels with more than ``least`` of zeros into the sparse encoding, each with its DENSIFY op."""
    import numpy

    graph = model.subgraphs[0]
    for index in sorted(_kernels(model, ("CONV_2D", "FULLY_CONNECTED"))):
        tensor = graph.tensors[index]
        values = tensors.values(model, tensor)
        if values is None or values.dtype.kind != "f":
            continue
        rows = values.reshape(-1, values.shape[-1])
        if numpy.count_nonzero(rows) > (1 - least) * rows.size:
            continue
        filled = rows != 0
        segments = numpy.concatenate([[0], numpy.cumsum(filled.sum(axis=1))])
        _own_buffer(model, tensor)
        tensors.store(model, tensor, rows[filled])
        tensor.sparsity = _sparsity(values.shape, segments, numpy.nonzero(filled)[1])
        _unpack(model, index, "DENSIFY", tensor.type)


def _sparsity(shape: tuple[int, ...], segments: Array, indices: Array) -> Any:
    import numpy

    schema = model_tree.schema()
    found = schema.SparsityParametersT()
    found.traversalOrder = numpy.arange(len(shape), dtype=numpy.int32)
    found.dimMetadata = []
    for size in shape[:-1]:
        dense = schema.DimensionMetadataT()
        dense.format, dense.denseSize = 0, int(size)
        found.dimMetadata.append(dense)
    last = schema.DimensionMetadataT()
    last.format = 1
    last.arraySegmentsType, last.arraySegments = _vector(segments)
    last.arrayIndicesType, last.arrayIndices = _vector(indices)
    found.dimMetadata.append(last)
    return found


def _vector(values: Array) -> tuple[int, Any]:
    """In the narrowest type that holds the values."""
    import numpy

    schema = model_tree.schema()
    for kind, most, dtype in (("Uint8Vector", 255, "uint8"), ("Uint16Vector", 65535, "uint16")):
        if int(values.max(initial=0)) <= most:
            vector = getattr(schema, f"{kind}T")()
            vector.values = values.astype(dtype)
            return int(getattr(schema.SparseIndexVector, kind)), vector
    vector = schema.Int32VectorT()
    vector.values = values.astype(numpy.int32)
    return int(schema.SparseIndexVector.Int32Vector), vector


def _integer(model: Any, *, wide: bool) -> None:
    """Full-integer: int8 kernels with a scale per channel, integer biases, a scale for every other tensor."""
    import numpy

    graph = model.subgraphs[0]
    if not wide:  # the older quantizer that does int16 shares them
        _own_biases(model)
    channel = _kernels(model, tuple(_CHANNEL_AT))
    biases = {
        int(op.inputs[2]): int(op.inputs[1])
        for op in graph.operators
        if model_tree.op_name(model, op) in _CHANNEL_AT and len(op.inputs) > 2 and int(op.inputs[2]) >= 0
    }
    scales: dict[int, Array] = {}
    for index, axis in channel.items():
        scales[index] = _quantize(model, graph.tensors[index], axis)
    for index, tensor in enumerate(graph.tensors):
        if index in channel or model_tree.dtype(tensor) != "float32":
            continue
        values = tensors.values(model, tensor)
        if values is None:
            tensor.type = _code("int16" if wide else "int8")
            _set_scale(tensor, numpy.asarray([_INPUT_SCALE]), 0)
        elif index in biases and biases[index] in scales:
            by = scales[biases[index]] * _INPUT_SCALE
            whole = numpy.round(values / numpy.maximum(by, 1e-12).astype("float64")).clip(-(2**31), 2**31 - 1)
            _own_buffer(model, tensor)
            tensors.store(model, tensor, whole.astype("int64" if wide else "int32"))
            _set_scale(tensor, numpy.broadcast_to(by, values.shape[-1:]) if by.size > 1 else by, 0)
        else:
            _quantize(model, tensor, None)
    _share_buffers(model)


def _dynamic(model: Any) -> None:
    graph = model.subgraphs[0]
    for index, axis in _kernels(model, _DYNAMIC).items():
        values = tensors.values(model, graph.tensors[index])
        if values is not None and values.dtype.name == "float32" and values.size >= _ENOUGH:
            _quantize(model, graph.tensors[index], axis)


def _float16(model: Any) -> None:
    """Every float constant as float16 with an op that makes it float32 again."""
    graph = model.subgraphs[0]
    for index in range(len(graph.tensors)):
        tensor = graph.tensors[index]
        values = tensors.values(model, tensor)
        if values is None or values.dtype.name != "float32":
            continue
        _own_buffer(model, tensor)
        tensors.store(model, tensor, values.clip(-65504, 65504).astype("float16"))
        _unpack(model, index, "DEQUANTIZE", _code("float32"))


def _kernels(model: Any, ops: tuple[str, ...]) -> dict[int, int | None]:
    """Constant second inputs (all of an LSTM's) of these ops → axis of their channels."""
    graph = model.subgraphs[0]
    found: dict[int, int | None] = {}
    for op in graph.operators:
        name = model_tree.op_name(model, op)
        if name not in ops:
            continue
        places = range(1, 9) if "LSTM" in name else (0, 1) if name in ("GATHER", "EMBEDDING_LOOKUP") else (1,)
        for place in places:
            index = int(op.inputs[place]) if place < len(op.inputs) else -1
            if index >= 0 and tensors.values(model, graph.tensors[index]) is not None:
                found.setdefault(index, _CHANNEL_AT.get(name))
    return found


def _quantize(model: Any, tensor: Any, axis: int | None) -> Array:
    """Symmetric int8, one scale for each index along ``axis`` or for all; returns the scales."""
    import numpy

    values = tensors.values(model, tensor)
    assert values is not None  # the caller looked
    others = None if axis is None else tuple(n for n in range(values.ndim) if n != axis)
    largest = numpy.abs(values).max(axis=others, keepdims=axis is not None, initial=0)
    scales = numpy.maximum(largest, 1e-12) / 127
    _own_buffer(model, tensor)
    tensors.store(model, tensor, numpy.round(values / scales).astype("int8"))
    flat: Array = numpy.asarray(scales, numpy.float32).ravel()
    _set_scale(tensor, flat, axis or 0)
    return flat


def _set_scale(tensor: Any, scales: Array, axis: int) -> None:
    import numpy

    quantization = model_tree.schema().QuantizationParametersT()
    quantization.scale = scales.astype(numpy.float32)
    quantization.zeroPoint = numpy.zeros(len(scales), numpy.int64)
    quantization.quantizedDimension = axis
    tensor.quantization = quantization


def _unpack(model: Any, index: int, name: str, dtype: int) -> None:
    """Puts an op between a constant and its readers."""
    import numpy

    schema, graph = model_tree.schema(), model.subgraphs[0]
    source = graph.tensors[index]
    whole = schema.TensorT()
    whole.shape, whole.type, whole.buffer, whole.name = source.shape, dtype, 0, source.name
    source.name = model_tree.text(source.name).encode() + b"1"
    graph.tensors.append(whole)
    for op in graph.operators:
        op.inputs = numpy.asarray([len(graph.tensors) - 1 if int(i) == index else int(i) for i in op.inputs], "int32")
    op = schema.OperatorT()
    op.opcodeIndex = _op_code(model, name)
    op.inputs, op.outputs = numpy.asarray([index], "int32"), numpy.asarray([len(graph.tensors) - 1], "int32")
    graph.operators.insert(0, op)


def _op_code(model: Any, name: str) -> int:
    schema = model_tree.schema()
    number = getattr(schema.BuiltinOperator, name)
    for at, code in enumerate(model.operatorCodes):
        if model_tree.builtin_code(code) == number:
            return at
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = number
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _own_buffer(model: Any, tensor: Any) -> None:
    """Gives a tensor that shares its values with another one a buffer of its own."""
    if sum(other.buffer == tensor.buffer for graph in model.subgraphs for other in graph.tensors) > 1:
        copy = model_tree.schema().BufferT()
        copy.data = model.buffers[tensor.buffer].data
        model.buffers.append(copy)
        tensor.buffer = len(model.buffers) - 1


def _own_biases(model: Any) -> None:
    """Gives each op a bias of its own: biases that are equal in float have other scales as integers."""
    import numpy

    graph = model.subgraphs[0]
    seen: set[int] = set()
    for op in graph.operators:
        if model_tree.op_name(model, op) not in _CHANNEL_AT or len(op.inputs) < 3 or int(op.inputs[2]) < 0:
            continue
        index = int(op.inputs[2])
        if index in seen:
            graph.tensors.append(copy.copy(graph.tensors[index]))
            op.inputs = numpy.asarray([*op.inputs[:2], len(graph.tensors) - 1, *op.inputs[3:]], "int32")
        seen.add(index)


def _share_buffers(model: Any) -> None:
    """Keeps equal constants once, as the converter does in the end."""
    first: dict[bytes, int] = {}
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if data is None or len(data) == 0:
            continue
        at = first.setdefault(bytes(data), tensor.buffer)
        if at != tensor.buffer:
            model.buffers[tensor.buffer].data = None
            tensor.buffer = at


def _code(dtype: str) -> int:
    return {"float32": 0, "float16": 1, "int16": 7, "int8": 9}[dtype]
