"""Gives a .tflite an input of raw bytes, so that an app feeds camera frames as they are: one op, or none.

The preprocessing becomes the input's quantization: a byte u stands for (u − zero_point) × scale, which is what
``(u * scale − mean) / std`` is. QUANTIZE takes the bytes into int8, DEQUANTIZE into float. Only in a child process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core import files
from edgekit.core.errors import ModelError, UsageError
from edgekit.core.notice import Notice
from edgekit.optimize import model_tree
from edgekit.optimize.refit.scaling import Scaling, scaling_of

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_WHOLE = 1e-3  # bytes
_ROWS = 8
_FLOAT_TOLERANCE = 1e-4  # of the largest output


@dataclass(frozen=True, slots=True, kw_only=True)
class BytesIn:
    """A .tflite that takes bytes.

    Attributes:
        path: the new file.
        scale: real value of one step of a byte.
        zero_point: the byte that stands for 0.
        op: that was added, ``QUANTIZE`` or ``DEQUANTIZE``; empty where one that was there takes the bytes.
        offset_error: how far every input value is off, in real values, because the zero point is a whole byte.
        max_abs_difference: of the outputs, against the old file fed with preprocessed values, on random frames.
        notes: sentences for people.
        notices: what the user should know and can act on.
    """

    path: str
    scale: float
    zero_point: int
    op: str
    offset_error: float
    max_abs_difference: float
    notes: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def uint8_input(source: str, out: str, *, preprocessing: Mapping[str, Any]) -> BytesIn:
    """Writes the .tflite in ``source`` with a uint8 input.

    Args:
        source: a .tflite of one input, float32 or int8; stays as it is.
        out: the new file.
        preprocessing: :class:`edgekit.data.spec.Preprocessing` as JSON values: what the app need not do any more. Raw
            values are bytes, 0 to 255.

    Raises:
        ModelError: several inputs, or an input of another dtype.
        UsageError: a preprocessing that differs between channels, or that bytes cannot stand for.
    """
    scaling = scaling_of(preprocessing)
    scale, exact = _quantization(scaling)
    zero_point = round(exact)
    model = model_tree.read(Path(source))
    op = _insert(model, Path(source).name, scale, zero_point)
    with files.appearing(Path(out)) as temporary:
        temporary.write_bytes(model_tree.pack(model))
    off = abs(exact - zero_point) * abs(scale)
    difference = _difference(source, out, scaling, float_check=op == "DEQUANTIZE" and off < _WHOLE * abs(scale))
    notices: tuple[Notice, ...] = ()
    if abs(exact - zero_point) > _WHOLE:
        notices = (
            Notice(
                code="zero-between-bytes",
                message=f"the value 0 lies at {exact:g}, between two bytes, so every input value is off by {off:.2g}",
                hint="fold the preprocessing into the Keras model for an exact input, before it is converted",
            ),
        )
    added = f"one op more, {op}" if op else "no op more"
    note = (
        f"the input takes bytes as they come from a camera ({added}): scale {scale:.6g}, zero point {zero_point}; the "
        f"app leaves the preprocessing out (largest difference of outputs on random frames {difference:.2g})"
    )
    return BytesIn(
        path=out,
        scale=scale,
        zero_point=zero_point,
        op=op,
        offset_error=off if notices else 0.0,
        max_abs_difference=difference,
        notes=(note,),
        notices=notices,
    )


def _quantization(scaling: Scaling) -> tuple[float, float]:
    if not scaling.single:
        raise UsageError(
            "the channels are scaled or shifted differently, and a uint8 input has one scale for all of them",
            hint="fold the preprocessing into the Keras model first, then convert it",
        )
    factor, offset = scaling.factor[0], scaling.offset[0]
    exact = -offset / factor
    if factor <= 0 or not -0.5 <= exact <= 255.5:
        raise UsageError(
            f"bytes cannot stand for values from {offset:g} to {255 * factor + offset:g}: 0 must be among them",
            hint="fold the preprocessing into the Keras model first, then convert it",
        )
    return factor, min(255.0, max(0.0, exact))


def _insert(model: Any, file: str, scale: float, zero_point: int) -> str:
    schema = model_tree.schema()
    graph = model.subgraphs[0]
    if len(graph.inputs) != 1:
        raise ModelError(
            f"{file} has {len(graph.inputs)} inputs, and only a model with one takes the preprocessing in",
            hint="build the preprocessing into the Keras model, behind the input that it is for",
        )
    index = int(graph.inputs[0])
    tensor = graph.tensors[index]
    kind = model_tree.dtype(tensor)
    if kind not in ("float32", "int8"):
        raise ModelError(
            f"the input of {file} is {kind}, which cannot be made from bytes",
            hint="quantize with --mode int8, int8-float-io, dynamic, float16 or float32",
        )
    users = [op for op in graph.operators if op.inputs is not None and index in [int(i) for i in op.inputs]]
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [scale], [zero_point]
    if kind == "float32" and users and all(model_tree.op_name(model, op) == "QUANTIZE" for op in users):
        tensor.type, tensor.quantization = schema.TensorType.UINT8, quantization
        return ""
    entry = schema.TensorT()
    entry.shape, entry.shapeSignature, entry.hasRank = tensor.shape, tensor.shapeSignature, tensor.hasRank
    entry.type, entry.quantization, entry.buffer, entry.name = schema.TensorType.UINT8, quantization, 0, tensor.name
    tensor.name = f"{model_tree.text(tensor.name)}_{kind}".encode()
    graph.tensors.append(entry)
    new = len(graph.tensors) - 1
    name = "QUANTIZE" if kind == "int8" else "DEQUANTIZE"
    op = schema.OperatorT()
    op.opcodeIndex = _code(model, getattr(schema.BuiltinOperator, name))
    op.inputs, op.outputs = [new], [index]
    graph.operators.insert(0, op)
    graph.inputs = [new]
    for signature in model.signatureDefs or ():
        for place in signature.inputs or ():
            if int(signature.subgraphIndex) == 0 and int(place.tensorIndex) == index:
                place.tensorIndex = new
    return name


def _code(model: Any, builtin: int) -> int:
    """The place of an operator code of version 1, added where there is none."""
    for place, code in enumerate(model.operatorCodes):
        if model_tree.builtin_code(code) == builtin and code.version == 1 and not code.customCode:
            return place
    code = model_tree.schema().OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _difference(source: str, out: str, scaling: Scaling, *, float_check: bool) -> float:
    """Largest difference of any output between bytes into the new file and preprocessed values into the old one.

    Raises:
        ModelError: more than rounding, where the new file must compute the same.
    """
    import numpy

    from edgekit.optimize.interpreter import HostModel, quantized

    old, new = HostModel(source, num_threads=1), HostModel(out, num_threads=1)
    shape = tuple(abs(size) for size in new.inputs[0].shape[1:])
    frames = numpy.random.default_rng(0).integers(0, 256, (_ROWS, *shape)).astype("uint8")
    worst = largest = 0.0
    for frame in frames:
        given = quantized(scaling.apply(frame)[None], old.inputs[0])
        for expected, found, spec in zip(old.run([given]), new.run([frame[None]]), old.outputs, strict=True):
            step = spec.scale or 1.0
            before, after = expected.astype("float64") * step, found.astype("float64") * step
            worst = max(worst, float(numpy.abs(before - after).max()))
            largest = max(largest, float(numpy.abs(before).max()))
    if float_check and worst > _FLOAT_TOLERANCE * max(largest, 1e-6):
        raise ModelError(
            f"{Path(source).name} gives other outputs for bytes than for preprocessed values (by {worst:.2g})",
            hint="leave the input as it is",
        )
    return worst
