"""Reads the FlatBuffer of a ``.tflite`` with the schema that ai-edge-litert ships. Meant for a child process.

Uses the generated accessors and views into the mapped file, never the generated object tree: a 100 MB model costs the
time to count its zeros.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path
from typing import Any

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DependencyError, ModelError
from edgekit.model.tflite import Op, Signature, Tensor, TfliteModel

_NUMPY_DTYPES = {
    "float32": "<f4",
    "float16": "<f2",
    "float64": "<f8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "<i2",
    "uint16": "<u2",
    "int32": "<i4",
    "uint32": "<u4",
    "int64": "<i8",
    "uint64": "<u8",
    "bool": "u1",
}
_CUSTOM = 32  # BuiltinOperator.CUSTOM
_DAMAGE = (struct.error, ValueError, IndexError, TypeError, OverflowError, KeyError, AttributeError, MemoryError)


def read(path: str) -> TfliteModel:
    """Reads all of a ``.tflite``.

    Raises:
        ModelError: truncated or damaged.
        DependencyError: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise DependencyError("ai-edge-litert is not installed", hint="pip install ai-edge-litert") from error
    with Path(path).open("rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _Reader(schema, content, path).model()
    except _DAMAGE as error:
        raise ModelError(
            f"{Path(path).name} is truncated or damaged: {str(error) or type(error).__name__}",
            hint="copy or download the file again, and compare its SHA-256 with the original's",
        ) from error


def count(path: str) -> tuple[int, int]:
    """Multiply-accumulates of one inference, and parameters.

    Raises:
        ModelError: truncated or damaged.
    """
    model = read(path)
    return model.macs, model.parameters


class _Reader:
    """One pass over the file; every length is checked against its size before anything loops over it."""

    def __init__(self, schema: Any, content: mmap.mmap, path: str) -> None:
        self._schema, self._content, self._path = schema, content, path
        self._size = len(content)
        self._model = schema.Model.GetRootAs(content, 0)
        self._dtypes = {v: k.lower() for k, v in vars(schema.TensorType).items() if not k.startswith("_")}
        self._builtins = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
        self._codes = [self._code(i) for i in range(self._count(self._model.OperatorCodesLength()))]
        self._buffers = self._count(self._model.BuffersLength())

    def model(self) -> TfliteModel:
        """Everything.

        Raises:
            ValueError, struct.error, …: the file is damaged.
        """
        tensors: list[Tensor] = []
        ops: list[Op] = []
        begins: list[int] = []
        number = self._count(self._model.SubgraphsLength())
        if number == 0:
            raise ValueError("it has no subgraph")
        for position in range(number):
            graph = self._model.Subgraphs(position)
            begins.append(len(tensors))
            tensors += [self._tensor(graph.Tensors(i)) for i in range(self._count(graph.TensorsLength()))]
            ops += self._ops(graph, position, begins[-1], tensors)
        main = self._model.Subgraphs(0)
        inputs = self._positions(main.InputsLength(), main.InputsAsNumpy(), 0, begins, tensors)
        outputs = self._positions(main.OutputsLength(), main.OutputsAsNumpy(), 0, begins, tensors)
        signatures = self._signatures(begins, tensors)
        return TfliteModel(
            path=self._path,
            size_bytes=self._size,
            description=_text(self._model.Description()),
            inputs=_specs(inputs, tensors, [s.inputs for s in signatures[:1]]),
            outputs=_specs(outputs, tensors, [s.outputs for s in signatures[:1]]),
            input_tensors=inputs,
            output_tensors=outputs,
            signatures=signatures,
            ops=tuple(ops),
            tensors=tuple(tensors),
            subgraphs=number,
            min_runtime=self._min_runtime(),
        )

    def _count(self, length: int) -> int:
        if not 0 <= length <= self._size // 4:
            raise ValueError(f"a list of {length} entries in a file of {self._size} bytes")
        return length

    def _code(self, index: int) -> tuple[str, int, bool]:
        code = self._model.OperatorCodes(index)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # older files have only the narrow field
        if number == _CUSTOM:
            return _text(code.CustomCode()) or "CUSTOM", int(code.Version()), False
        if number not in self._builtins:
            return f"OP_{number}", int(code.Version()), True
        return self._builtins[number], int(code.Version()), True

    def _tensor(self, tensor: Any) -> Tensor:
        import numpy

        shape = _ints(tensor.ShapeLength(), tensor.ShapeAsNumpy())
        free = _ints(tensor.ShapeSignatureLength(), tensor.ShapeSignatureAsNumpy())
        dtype = self._dtypes[tensor.Type()]
        quantization = tensor.Quantization()
        scales = zero_points = numpy.zeros(0)
        if quantization is not None and quantization.ScaleLength() > 0:
            scales = quantization.ScaleAsNumpy()
            if quantization.ZeroPointLength() > 0:
                zero_points = quantization.ZeroPointAsNumpy()
        values = self._values(tensor.Buffer())
        sparse = tensor.Sparsity() is not None
        zero = int(zero_points[0]) if len(zero_points) else 0
        return Tensor(
            name=_text(tensor.Name()),
            dtype=dtype,
            shape=free if len(free) == len(shape) else shape,
            constant=values is not None,
            size_bytes=0 if values is None else len(values),
            scales=len(scales),
            scale=float(scales[0]) if len(scales) else None,
            zero_point=zero if len(scales) else None,
            zeros=_zeros(values, dtype, shape, zero, sparse),
            sparse=sparse,
        )

    def _values(self, index: int) -> Any:
        """The bytes of a buffer as a view, or None."""
        import numpy

        if not 0 <= index < max(self._buffers, 1):
            raise ValueError(f"buffer {index} of {self._buffers}")
        if self._buffers == 0:
            return None
        buffer = self._model.Buffers(index)
        if buffer.DataLength() > 0:
            return buffer.DataAsNumpy()
        begin, length = buffer.Offset(), buffer.Size()
        if begin > 1 and length > 0:  # files over 2 GB keep their weights behind the FlatBuffer
            return numpy.frombuffer(self._content, numpy.uint8, length, begin)
        return None

    def _ops(self, graph: Any, subgraph: int, begin: int, tensors: list[Tensor]) -> list[Op]:
        found = []
        for index in range(self._count(graph.OperatorsLength())):
            operator = graph.Operators(index)
            name, version, builtin = self._codes[operator.OpcodeIndex()]
            inputs = self._operands(operator.InputsLength(), operator.InputsAsNumpy(), begin, tensors)
            outputs = self._operands(operator.OutputsLength(), operator.OutputsAsNumpy(), begin, tensors)
            operands = [tensors[i] if i >= 0 else None for i in inputs], [tensors[i] for i in outputs if i >= 0]
            op = Op(
                index=index,
                subgraph=subgraph,
                name=name,
                version=version,
                builtin=builtin,
                inputs=inputs,
                outputs=outputs,
                macs=_macs(name, *operands) if builtin else None,
            )
            found.append(op)
        return found

    def _operands(self, length: int, values: Any, begin: int, tensors: list[Tensor]) -> tuple[int, ...]:
        found = _ints(self._count(length), values)
        for value in found:
            if not -1 <= value < len(tensors) - begin:
                raise ValueError(f"tensor {value} of {len(tensors) - begin}")
        return tuple(value + begin if value >= 0 else -1 for value in found)

    def _positions(
        self, length: int, values: Any, subgraph: int, begins: list[int], tensors: list[Tensor]
    ) -> tuple[int, ...]:
        end = begins[subgraph + 1] if subgraph + 1 < len(begins) else len(tensors)
        found = _ints(self._count(length), values)
        if any(not 0 <= value < end - begins[subgraph] for value in found):
            raise ValueError("an input or output is no tensor")
        return tuple(value + begins[subgraph] for value in found)

    def _signatures(self, begins: list[int], tensors: list[Tensor]) -> tuple[Signature, ...]:
        found = []
        for position in range(self._count(self._model.SignatureDefsLength())):
            signature = self._model.SignatureDefs(position)
            subgraph = signature.SubgraphIndex()
            maps = []
            for length, entry in (
                (signature.InputsLength(), signature.Inputs),
                (signature.OutputsLength(), signature.Outputs),
            ):
                items = [entry(i) for i in range(self._count(length))]
                indices = [item.TensorIndex() for item in items]
                places = self._positions(len(indices), indices, subgraph, begins, tensors)
                maps.append({_text(item.Name()): place for item, place in zip(items, places)})
            found.append(Signature(key=_text(signature.SignatureKey()), inputs=maps[0], outputs=maps[1]))
        return tuple(found)

    def _min_runtime(self) -> str | None:
        for position in range(self._count(self._model.MetadataLength())):
            entry = self._model.Metadata(position)
            if entry.Name() == b"min_runtime_version":
                values = self._values(entry.Buffer())
                return None if values is None else _text(bytes(values[:16]).split(b"\0")[0]) or None
        return None


def _text(raw: bytes | None) -> str:
    return raw.decode("utf-8", "replace") if raw else ""


def _ints(length: int, values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values) if length > 0 else ()


def _specs(places: tuple[int, ...], tensors: list[Tensor], names: list[dict[str, int]]) -> tuple[TensorSpec, ...]:
    named = {place: name for mapping in names for name, place in mapping.items()}
    return tuple(
        TensorSpec(
            name=named.get(place, tensors[place].name),
            dtype=tensors[place].dtype,
            shape=tensors[place].shape,
            scale=tensors[place].scale if tensors[place].dtype.startswith(("int", "uint")) else None,
            zero_point=tensors[place].zero_point if tensors[place].dtype.startswith(("int", "uint")) else None,
        )
        for place in places
    )


def _zeros(values: Any, dtype: str, shape: tuple[int, ...], zero_point: int, sparse: bool) -> float | None:
    import numpy

    kind = _NUMPY_DTYPES.get(dtype)
    if values is None or kind is None or not len(values):
        return None
    view = values[: len(values) - len(values) % numpy.dtype(kind).itemsize].view(kind)
    count = math.prod(shape) if sparse else len(view)
    if not count:
        return None
    different = int(numpy.count_nonzero(view)) if zero_point == 0 else int(numpy.count_nonzero(view != zero_point))
    return max(0.0, 1.0 - different / count)


def _macs(name: str, inputs: list[Tensor | None], outputs: list[Tensor]) -> int | None:
    """Multiply-accumulates by the operands' shapes; the layouts are those of the TFLite schema."""
    shapes = [t.shape if t is not None else () for t in inputs]
    out = math.prod(abs(size) for size in outputs[0].shape) if outputs else 0
    if name in ("CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") and len(shapes) >= 2:
        kernel = shapes[1]
        if name == "CONV_3D":  # depth, height, width, in, out
            return out * math.prod(kernel[:-1])
        if name == "DEPTHWISE_CONV_2D":  # 1, height, width, out
            return out * math.prod(kernel[1:-1])
        return out * math.prod(kernel[1:])  # out, height, width, in; or out, in
    if name == "TRANSPOSE_CONV" and len(shapes) >= 3:  # output shape; out, height, width, in; the input
        return math.prod(abs(size) for size in shapes[2]) * math.prod(shapes[1][:-1])
    if name == "BATCH_MATMUL" and outputs and min(len(shapes[0]), len(outputs[0].shape)) >= 2:
        # the inner dimension, however the left side is turned
        inner = abs(shapes[0][-1] * shapes[0][-2]) // max(abs(outputs[0].shape[-2]), 1)
        return out * inner
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM" and inputs and len(shapes[0]) == 3:
        weights = sum(math.prod(t.shape) for t in inputs[1:9] if t is not None)
        return weights * abs(shapes[0][0] * shapes[0][1])
    return None
