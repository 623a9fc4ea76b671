"""The door to the TensorFlow Lite schema, for the passes that rewrite a ``.tflite``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import ModelError

_DTYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16",
    8: "complex64", 9: "int8", 10: "float64", 11: "complex128", 12: "uint64", 13: "resource", 14: "variant",
    15: "uint32", 16: "uint16", 17: "int4", 18: "bfloat16",
}  # fmt: skip


def schema() -> Any:
    """The generated module: classes of the schema with an object API."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def read(path: Path) -> Any:
    """The file as a mutable ``ModelT``.

    Raises:
        ModelError: missing, or not a whole .tflite.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from error
    return parse(content, str(path))


def parse(content: bytes | bytearray, source: str) -> Any:
    """The bytes of a .tflite as a mutable ``ModelT``.

    Raises:
        ModelError: not a whole .tflite.
    """
    if content[4:8] != b"TFL3":
        raise ModelError(f"{source} is not a .tflite file", hint="give the file that a conversion wrote")
    try:
        model = schema().ModelT.InitFromPackedBuf(content, 0)
    except Exception as error:
        raise ModelError(f"{source} is truncated or damaged ({error})", hint="make or copy it again") from error
    if not model.subgraphs or not model.operatorCodes:
        raise ModelError(f"{source} has no ops", hint="make or copy it again")
    return model


def pack(model: Any) -> bytes:
    """A ``ModelT`` as the bytes of a .tflite."""
    import flatbuffers  # type: ignore[import-untyped]  # it has no stubs

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def dtype(tensor: Any) -> str:
    """numpy's name of a ``TensorT``'s type."""
    return _DTYPES.get(tensor.type, f"type-{tensor.type}")


def op_name(model: Any, op: Any) -> str:
    """``CONV_2D``, …, or the name of a custom op."""
    code = model.operatorCodes[op.opcodeIndex]
    if code.customCode:
        return text(code.customCode)
    number = builtin_code(code)
    return _OP_NAMES().get(number, f"OP_{number}")


def builtin_code(code: Any) -> int:
    """The builtin operator of an operator code; old files only fill the byte-sized field."""
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def text(value: Any) -> str:
    """A schema string (bytes, str or None) as str."""
    return value.decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else str(value or "")


def inputs(model: Any) -> tuple[TensorSpec, ...]:
    """The inputs of the main subgraph by their signature's names, in tensor order."""
    return _specs(model, "inputs")


def outputs(model: Any) -> tuple[TensorSpec, ...]:
    """The outputs of the main subgraph by their signature's names, in tensor order."""
    return _specs(model, "outputs")


def _specs(model: Any, side: str) -> tuple[TensorSpec, ...]:
    graph = model.subgraphs[0]
    names: dict[int, str] = {}
    for signature in model.signatureDefs or ():
        if int(signature.subgraphIndex) == 0:
            names.update({int(entry.tensorIndex): text(entry.name) for entry in getattr(signature, side) or ()})
    found = []
    for index in getattr(graph, side):
        tensor = graph.tensors[int(index)]
        scales, zeros = _quantization(tensor)
        shape = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
        found.append(
            TensorSpec(
                name=names.get(int(index), text(tensor.name)),
                dtype=dtype(tensor),
                shape=tuple(int(n) for n in (shape if shape is not None else ())),
                scale=scales[0] if len(scales) == 1 else None,
                zero_point=zeros[0] if len(zeros) == 1 else None,
            )
        )
    return tuple(found)


def _quantization(tensor: Any) -> tuple[list[float], list[int]]:
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None:
        return [], []
    zeros = quantization.zeroPoint if quantization.zeroPoint is not None else [0] * len(quantization.scale)
    return [float(s) for s in quantization.scale], [int(z) for z in zeros]


def _OP_NAMES() -> dict[int, str]:  # noqa: N802 - reads as the table that it is
    return {
        number: name
        for name, number in vars(schema().BuiltinOperator).items()
        if isinstance(number, int) and not name.startswith("_")
    }
