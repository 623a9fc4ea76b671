"""Very small .tflite files, built byte by byte from the schema: no TensorFlow, no training, no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from ai_edge_litert import schema_py_generated as schema

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
    "string": schema.TensorType.STRING,
}
OPS = schema.BuiltinOperator
OPTIONS = schema.BuiltinOptions


@dataclass
class Tensor:
    """One tensor; ``value`` makes it a constant, ``scale`` a quantized one."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    value: Any = None
    scale: float | None = None
    zero_point: int = 0
    signature_shape: tuple[int, ...] | None = None


@dataclass
class Op:
    """One op by the names of its tensors."""

    code: int
    inputs: list[str]
    outputs: list[str]
    options: Any = None
    options_type: int = 0
    version: int = 1


def build(
    tensors: list[Tensor],
    ops: list[Op],
    inputs: list[str],
    outputs: list[str],
    signature: tuple[list[tuple[str, str]], list[tuple[str, str]]] | None = None,
) -> bytes:
    """The bytes of a model. ``signature``: (name, tensor) pairs of inputs and outputs, in the signature's order."""
    import flatbuffers

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, b"edgekit test"
    model.buffers, model.operatorCodes, model.subgraphs = [schema.BufferT()], [], [graph]
    graph.tensors, graph.operators, graph.name = [], [], b"main"
    index = {tensor.name: number for number, tensor in enumerate(tensors)}
    for tensor in tensors:
        graph.tensors.append(_tensor(tensor, model))
    codes: dict[tuple[int, int], int] = {}
    for op in ops:
        if (op.code, op.version) not in codes:
            code = schema.OperatorCodeT()
            code.builtinCode, code.version = op.code, op.version
            code.deprecatedBuiltinCode = min(op.code, 127)
            codes[op.code, op.version] = len(model.operatorCodes)
            model.operatorCodes.append(code)
        node = schema.OperatorT()
        node.opcodeIndex = codes[op.code, op.version]
        node.inputs, node.outputs = [index[n] for n in op.inputs], [index[n] for n in op.outputs]
        if op.options is not None:
            node.builtinOptions, node.builtinOptionsType = op.options, op.options_type
        graph.operators.append(node)
    graph.inputs, graph.outputs = [index[n] for n in inputs], [index[n] for n in outputs]
    if signature:
        entry = schema.SignatureDefT()
        entry.signatureKey, entry.subgraphIndex = b"serving_default", 0
        entry.inputs, entry.outputs = ([_named(*pair, index) for pair in side] for side in signature)
        model.signatureDefs = [entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _named(name: str, tensor: str, index: dict[str, int]) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index[tensor]
    return entry


def _tensor(tensor: Tensor, model: Any) -> Any:
    made = schema.TensorT()
    made.name, made.type, made.shape = tensor.name.encode(), TYPES[tensor.dtype], list(tensor.shape)
    made.hasRank = True
    if tensor.signature_shape:
        made.shapeSignature = list(tensor.signature_shape)
    if tensor.scale is not None:
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = [tensor.scale], [tensor.zero_point]
        made.quantization = quantization
    made.buffer = 0
    if tensor.value is not None:
        buffer = schema.BufferT()
        buffer.data = numpy.frombuffer(numpy.asarray(tensor.value, tensor.dtype).tobytes(), numpy.uint8)
        made.buffer = len(model.buffers)
        model.buffers.append(buffer)
    return made


def dense(*, bias: float | None = None, batch: int = 1, columns: int = 8, dynamic: bool = False) -> bytes:
    """Float32, one FULLY_CONNECTED [batch, columns] → [batch, 4] with seeded weights; ``bias`` fills the bias."""
    generator = numpy.random.default_rng(7)
    weights = generator.normal(size=(4, columns))
    bias_values = numpy.full(4, bias) if bias is not None else generator.normal(size=4)
    signature_shape = (-1, columns) if dynamic else None
    return build(
        [
            Tensor("x", "float32", (batch, columns), signature_shape=signature_shape),
            Tensor("w", "float32", (4, columns), weights),
            Tensor("b", "float32", (4,), bias_values),
            Tensor("y", "float32", (batch, 4), signature_shape=(-1, 4) if dynamic else None),
        ],
        [
            Op(
                OPS.FULLY_CONNECTED,
                ["x", "w", "b"],
                ["y"],
                schema.FullyConnectedOptionsT(),
                OPTIONS.FullyConnectedOptions,
            )
        ],
        ["x"],
        ["y"],
    )


def dense_int8(columns: int = 16) -> bytes:
    """Full int8, one FULLY_CONNECTED [1, columns] → [1, 10] with seeded weights."""
    generator = numpy.random.default_rng(11)
    return build(
        [
            Tensor("x", "int8", (1, columns), scale=0.05, zero_point=3),
            Tensor("w", "int8", (10, columns), generator.integers(-127, 128, (10, columns)), scale=0.01),
            Tensor("b", "int32", (10,), generator.integers(-500, 500, 10), scale=0.0005),
            Tensor("y", "int8", (1, 10), scale=0.1, zero_point=-4),
        ],
        [
            Op(
                OPS.FULLY_CONNECTED,
                ["x", "w", "b"],
                ["y"],
                schema.FullyConnectedOptionsT(),
                OPTIONS.FullyConnectedOptions,
                version=4,
            )
        ],
        ["x"],
        ["y"],
    )


def dense_chain_int8(layers: int = 6, columns: int = 64) -> bytes:
    """Full int8, FULLY_CONNECTED after FULLY_CONNECTED: XNNPACK and the built-in kernels round it differently."""
    generator = numpy.random.default_rng(3)
    tensors, ops, scale = [Tensor("x0", "int8", (1, columns), scale=0.05, zero_point=3)], [], 0.05
    for layer in range(layers):
        weights, bias = generator.integers(-127, 128, (columns, columns)), generator.integers(-500, 500, columns)
        tensors += [
            Tensor(f"w{layer}", "int8", (columns, columns), weights, scale=0.0013),
            Tensor(f"b{layer}", "int32", (columns,), bias, scale=scale * 0.0013),
            Tensor(f"x{layer + 1}", "int8", (1, columns), scale=0.0371, zero_point=-4),
        ]
        names = [f"x{layer}", f"w{layer}", f"b{layer}"]
        kind = schema.FullyConnectedOptionsT(), OPTIONS.FullyConnectedOptions
        ops.append(Op(OPS.FULLY_CONNECTED, names, [f"x{layer + 1}"], *kind, version=4))
        scale = 0.0371
    return build(tensors, ops, ["x0"], [f"x{layers}"])


def subtract(*, reversed_signature: bool = False) -> bytes:
    """Float32 with two inputs and two outputs: difference = left - right, and twice = left + left.

    With ``reversed_signature`` the signature names its inputs in the other order than the graph.
    """
    names = [("b_right", "right"), ("a_left", "left")]
    outputs = [("z_twice", "twice"), ("y_difference", "difference")]
    return build(
        [
            Tensor("left", "float32", (1, 4)),
            Tensor("right", "float32", (1, 4)),
            Tensor("difference", "float32", (1, 4)),
            Tensor("twice", "float32", (1, 4)),
        ],
        [
            Op(OPS.SUB, ["left", "right"], ["difference"], schema.SubOptionsT(), OPTIONS.SubOptions),
            Op(OPS.ADD, ["left", "left"], ["twice"], schema.AddOptionsT(), OPTIONS.AddOptions),
        ],
        ["left", "right"],
        ["difference", "twice"],
        (names, outputs) if reversed_signature else None,
    )


def cast(source: str, target: str, shape: tuple[int, ...] = (1, 5)) -> bytes:
    """One CAST from one dtype to another."""
    options = schema.CastOptionsT()
    options.inDataType, options.outDataType = TYPES[source], TYPES[target]
    return build(
        [Tensor("x", source, shape), Tensor("y", target, shape)],
        [Op(OPS.CAST, ["x"], ["y"], options, OPTIONS.CastOptions)],
        ["x"],
        ["y"],
    )


def dense_then_floor_mod(*, width: int = 4) -> bytes:
    """A float model with one op that XNNPACK does not take."""
    return build(
        [
            Tensor("x", "float32", (1, width)),
            Tensor("k", "float32", (1, width), numpy.full((1, width), 0.75)),
            Tensor("h", "float32", (1, width)),
            Tensor("y", "float32", (1, width)),
        ],
        [
            Op(OPS.ADD, ["x", "k"], ["h"], schema.AddOptionsT(), OPTIONS.AddOptions),
            Op(OPS.FLOOR_MOD, ["h", "k"], ["y"], schema.FloorModOptionsT(), OPTIONS.FloorModOptions),
        ],
        ["x"],
        ["y"],
    )


def remembers() -> bytes:
    """One SVDF [1, 2] → [1, 1] with a state tensor that a call leaves for the next one."""
    import flatbuffers

    options = schema.SVDFOptionsT()
    options.rank = 1
    whole = build(
        [
            Tensor("x", "float32", (1, 2)),
            Tensor("features", "float32", (1, 2), [[1.0, 1.0]]),
            Tensor("time", "float32", (1, 3), [[1.0, 1.0, 1.0]]),
            Tensor("bias", "float32", (1,), [0.0]),
            Tensor("state", "float32", (1, 3)),
            Tensor("y", "float32", (1, 1)),
        ],
        [Op(OPS.SVDF, ["x", "features", "time", "bias", "state"], ["y"], options, OPTIONS.SVDFOptions)],
        ["x"],
        ["y"],
    )
    model = schema.ModelT.InitFromPackedBuf(whole, 0)
    model.subgraphs[0].tensors[4].isVariable = True
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def write(folder: Path, content: bytes, name: str = "model.tflite") -> Path:
    """Writes a model into ``folder``."""
    path = folder / name
    path.write_bytes(content)
    return path
