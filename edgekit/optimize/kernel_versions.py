"""Raises op versions to what the quantized kernels need, so that an old runtime refuses a file it would get wrong.

ai-edge-quantizer leaves the versions of the float model: tflite-runtime 2.14 then loads a dynamic-range file and
computes wrong numbers without a word. Only rules that depend on quantized types are here; everything else was right
in the float model, and versions are never lowered.

Source: tensorflow/lite/tools/versioning/op_version.cc (GetBuiltinOperatorVersion), TensorFlow 2.20.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgekit.model.op_versions import Version, number, since_tensorflow
from edgekit.optimize import model_tree

# op → (version with an int8 input, version with an int16 input); 0: no rule
_BY_INPUT: Mapping[str, tuple[int, int]] = {
    "ABS": (2, 3),
    "ADD": (2, 3),
    "ARG_MAX": (2, 0),
    "ARG_MIN": (2, 0),
    "AVERAGE_POOL_2D": (2, 3),
    "BATCH_TO_SPACE_ND": (2, 4),
    "BROADCAST_TO": (3, 3),
    "CONCATENATION": (2, 3),
    "DEPTH_TO_SPACE": (2, 0),
    "EQUAL": (2, 4),
    "EXP": (2, 2),
    "FLOOR_DIV": (3, 3),
    "FLOOR_MOD": (2, 2),
    "GATHER": (2, 4),
    "GATHER_ND": (0, 3),
    "GELU": (2, 0),
    "GREATER": (2, 0),
    "GREATER_EQUAL": (2, 3),
    "L2_NORMALIZATION": (2, 0),
    "LEAKY_RELU": (0, 2),
    "LESS": (2, 3),
    "LESS_EQUAL": (2, 0),
    "LOG": (2, 2),
    "LOGISTIC": (2, 3),
    "LOG_SOFTMAX": (2, 0),
    "MAXIMUM": (2, 4),
    "MAX_POOL_2D": (2, 3),
    "MEAN": (2, 3),
    "MINIMUM": (2, 4),
    "MIRROR_PAD": (2, 3),
    "NOT_EQUAL": (2, 0),
    "PACK": (2, 3),
    "PAD": (2, 3),
    "PADV2": (2, 3),
    "REDUCE_MAX": (2, 3),
    "REDUCE_MIN": (2, 3),
    "REDUCE_PROD": (2, 2),
    "RELU": (2, 3),
    "RELU6": (2, 3),
    "RESIZE_BILINEAR": (2, 4),
    "RESIZE_NEAREST_NEIGHBOR": (2, 4),
    "REVERSE_V2": (3, 0),
    "RSQRT": (2, 3),
    "SELECT": (2, 0),
    "SLICE": (2, 4),
    "SOFTMAX": (2, 3),
    "SPACE_TO_BATCH_ND": (2, 4),
    "SPACE_TO_DEPTH": (2, 0),
    "SPLIT": (2, 4),
    "SPLIT_V": (2, 0),
    "SQUARED_DIFFERENCE": (2, 0),
    "STRIDED_SLICE": (2, 0),
    "SUB": (2, 5),
    "SUM": (2, 0),
    "SVDF": (3, 0),
    "TANH": (2, 3),
    "TILE": (3, 0),
    "TOPK_V2": (2, 3),
    "TRANSPOSE": (2, 5),
    "TRANSPOSE_CONV": (2, 0),
    "UNPACK": (2, 4),
}
_MIN_RUNTIME = b"min_runtime_version"
INT16_ACTIVATIONS: Version = (2, 3)
"""TensorFlow Lite with the first int16x8 kernels (release notes of TensorFlow 2.3)."""
_DATA_INPUT = {"SPLIT": 1, "TRANSPOSE_CONV": 1}  # the others: 0

# op → (hybrid per tensor, hybrid per channel, int8, int4 weights, int16 with a bias type of its own)
_BY_WEIGHTS: Mapping[str, tuple[int, int, int, int, int]] = {
    "CONV_2D": (2, 5, 3, 7, 8),
    "DEPTHWISE_CONV_2D": (4, 6, 3, 7, 0),
    "FULLY_CONNECTED": (3, 12, 4, 10, 11),
}


def raise_versions(model: Any) -> dict[str, int]:
    """Raises the versions of a ``ModelT``'s operator codes in place.

    Returns:
        Op name → new version, of those that changed.
    """
    raised: dict[str, int] = {}
    for graph in model.subgraphs:
        for op in graph.operators or ():
            code = model.operatorCodes[op.opcodeIndex]
            name = model_tree.op_name(model, op)
            wanted = _version(name, op, graph.tensors)
            if wanted > code.version:
                code.version = wanted
                raised[name] = wanted
    return raised


def set_min_runtime(model: Any, *, at_least: Version = ()) -> None:
    """Writes the oldest TensorFlow Lite version with all op versions into the metadata of a ``ModelT``.

    Args:
        model: changed in place.
        at_least: a version needed for other reasons (16-bit activations have kernels without a version of their own).
    """
    codes = {op.opcodeIndex: model_tree.op_name(model, op) for graph in model.subgraphs for op in graph.operators or ()}
    needed = [since_tensorflow(name, model.operatorCodes[index].version) for index, name in codes.items()]
    entry = next((m for m in model.metadata or () if m.name == _MIN_RUNTIME), None)
    claimed = (
        ()
        if entry is None
        else number(bytes(model.buffers[entry.buffer].data).split(b"\0")[0].decode("ascii", "replace"))
    )
    oldest = max((*(found for found in needed if found), at_least, claimed))
    text = ".".join(map(str, (*oldest, 0)[:3])).encode().ljust(16, b"\0")
    if entry is None:
        schema = model_tree.schema()
        buffer, entry = schema.BufferT(), schema.MetadataT()
        model.buffers.append(buffer)
        entry.name, entry.buffer = _MIN_RUNTIME, len(model.buffers) - 1
        model.metadata = [*(model.metadata or ()), entry]
    model.buffers[entry.buffer].data = list(text)


def _version(name: str, op: Any, tensors: Sequence[Any]) -> int:
    operands = [tensors[int(index)] if int(index) >= 0 else None for index in op.inputs]
    if name in _BY_WEIGHTS:
        return _by_weights(name, op, operands)
    if name in _SPECIAL:
        return _SPECIAL[name](op, operands, [tensors[int(index)] for index in op.outputs])
    if name in _BY_INPUT:
        return _by_input(name, _DATA_INPUT.get(name, 0), operands)
    return 1


def _by_input(name: str, position: int, operands: Sequence[Any]) -> int:
    kind = _type(operands, position)
    int8, int16 = _BY_INPUT[name]
    return {"int8": int8, "int16": int16}.get(kind, 1)


def _by_weights(name: str, op: Any, operands: Sequence[Any]) -> int:
    per_tensor, per_channel, int8, int4, int16 = _BY_WEIGHTS[name]
    data, weights = _type(operands, 0), _type(operands, 1)
    options = op.builtinOptions
    if weights == "int4":
        return int4
    if weights != "int8":
        return 1
    if data == "float32":
        if _scales(operands[1]) > 1:
            return per_channel
        asymmetric = bool(getattr(options, "asymmetricQuantizeInputs", False))
        return 9 if asymmetric and name == "FULLY_CONNECTED" else per_tensor
    if data == "int16":
        # a kernel of its own, but no version of its own, unless the type of the bias is written down
        return int16 if getattr(options, "quantizedBiasType", 0) else int8
    return int8


def _mul(op: Any, operands: Sequence[Any], results: Sequence[Any]) -> int:
    del op
    kind = _type(operands, 0)
    if kind == "int16":
        return 4
    if kind != "int8":
        return 1
    scales = [_scale(tensor) for tensor in (*operands[:2], results[0])]
    if all(scales) and scales[0] * scales[1] / scales[2] >= 1.0:
        return 3
    return 2


def _quantize(op: Any, operands: Sequence[Any], results: Sequence[Any]) -> int:
    del op
    if "int4" in (_type(operands, 0), _type(results, 0)):
        return 4
    if _scales(results[0]) > 1:
        return 3
    return 2 if _type(results, 0) == "int16" else 1


def _dequantize(op: Any, operands: Sequence[Any], results: Sequence[Any]) -> int:
    del op, results
    kind = _type(operands, 0)
    if kind == "int8":
        return 5 if _scales(operands[0]) > 1 else 2
    return {"int4": 6, "int16": 3, "float16": 3}.get(kind, 1)


def _batch_matmul(op: Any, operands: Sequence[Any], results: Sequence[Any]) -> int:
    del results
    kinds = (_type(operands, 0), _type(operands, 1))
    if kinds == ("float32", "int8"):
        return 4 if getattr(op.builtinOptions, "asymmetricQuantizeInputs", False) else 1
    return {"int8": 2, "int16": 3}.get(kinds[0], 1)


def _lstm(hybrid: int) -> Callable[[Any, Sequence[Any], Sequence[Any]], int]:
    def version(op: Any, operands: Sequence[Any], results: Sequence[Any]) -> int:
        del results
        data, weights = _type(operands, 0), _type(operands, 2)
        if data == "int16" and weights == "int8":
            return 5
        if data == "float32" and weights == "int8":
            return hybrid + bool(getattr(op.builtinOptions, "asymmetricQuantizeInputs", False))
        return 1

    return version


_SPECIAL: Mapping[str, Callable[[Any, Sequence[Any], Sequence[Any]], int]] = {
    "MUL": _mul,
    "QUANTIZE": _quantize,
    "DEQUANTIZE": _dequantize,
    "BATCH_MATMUL": _batch_matmul,
    "LSTM": _lstm(3),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm(2),
}


def _type(tensors: Sequence[Any], position: int) -> str:
    if position >= len(tensors) or tensors[position] is None:
        return ""
    return model_tree.dtype(tensors[position])


def _scales(tensor: Any) -> int:
    quantization = None if tensor is None else tensor.quantization
    return 0 if quantization is None or quantization.scale is None else len(quantization.scale)


def _scale(tensor: Any) -> float:
    return float(tensor.quantization.scale[0]) if _scales(tensor) else 0.0
