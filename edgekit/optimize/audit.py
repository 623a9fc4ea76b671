"""Whether a ``.tflite`` is what it claims to be: full-integer, free of select-TF ops, within reach of a runtime.

Goes by the ops, not by the list of tensors: the converter leaves a NEG or an ELU as a float island between DEQUANTIZE
and QUANTIZE without a word, and a fused LSTM keeps float tensors that nothing computes with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from edgekit.core.artifact import Audit
from edgekit.core.errors import ModelError
from edgekit.model import op_versions
from edgekit.model.tflite import Op, Tensor, TfliteModel, read_tflite

_BORDERS = ("QUANTIZE", "DEQUANTIZE")
_VARIABLES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
# control flow, whose bodies are judged by their own ops
_CONTROL = ("IF", "WHILE", "CALL_ONCE")
_FLOAT_BORDER = "float32 at the border: "
_IN_FLOAT = " computes in float at "
_NAMED = 5


def audit_tflite(path: Path) -> Audit:
    """Audits a ``.tflite``.

    Raises:
        ModelError: missing, truncated, damaged, or not a .tflite.
    """
    return audit(read_tflite(path))


def audit(model: TfliteModel) -> Audit:
    """Audits a ``.tflite`` that was read.

    QUANTIZE and DEQUANTIZE at the model's inputs and outputs (``int8-float-io``) are no float ops; inside they are
    counted with the float island that they surround. What a float op computes is named in ``problems``.
    """
    borders = _border_ops(model)
    floats = [op for op in model.ops if _computes_in_float(op, model) and id(op) not in borders]
    flex = sorted({op.name for op in model.ops if not op.builtin and op.name.startswith("Flex")})
    float_io = [spec for spec in (*model.inputs, *model.outputs) if _is_float(spec.dtype)]
    versions = model.op_versions
    counts = sorted(Counter(op.name for op in floats).items(), key=lambda item: (item[0] in _BORDERS, -item[1]))
    return Audit(
        full_integer=not floats and not flex and not float_io,
        float_ops=tuple(f"{name} ({count})" for name, count in counts),
        flex_ops=tuple(flex),
        min_runtime=op_versions.minimum_runtime(versions, model.min_runtime),
        op_versions=versions,
        problems=tuple(_problems(model, floats, flex, [spec.name for spec in float_io])),
    )


def is_integer_inside(found: Audit) -> bool:
    """Whether every op computes in integers, whatever the inputs and outputs are (``int8-float-io``)."""
    return not found.float_ops and not found.flex_ops


def require_full_integer(found: Audit, *, allow_float: bool, mode: str = "int8") -> None:
    """Raises unless the model computes in integers as its mode promises.

    Args:
        found: the audit.
        allow_float: accept float ops.
        mode: ``int8`` and ``int16x8`` ask for integer inputs and outputs too, ``int8-float-io`` does not.

    Raises:
        ModelError: it does not; names the ops and where they come from.
    """
    if allow_float or found.full_integer or (mode == "int8-float-io" and is_integer_inside(found)):
        return
    culprits = [*found.float_ops, *found.flex_ops]
    if not culprits:
        raise ModelError(
            f"the model is not full-integer: {_border_of(found)}",
            hint="make it again with --mode int8, or ask for --mode int8-float-io",
            details={"float_ops": [], "flex_ops": []},
        )
    named = "; ".join(problem for problem in found.problems if _IN_FLOAT in problem)
    raise ModelError(
        f"the model is not full-integer: {', '.join(culprits[:_NAMED])}{_more(culprits)} stayed float"
        + (f" ({named})" if len(named) <= 300 and named else ""),
        hint="accept it with --allow-float-fallback, replace those layers (ReLU for ELU, multiplication for POW), "
        "or choose --mode dynamic or --mode float16",
        details={"float_ops": list(found.float_ops), "flex_ops": list(found.flex_ops)},
    )


def unsupported_ops(found: Audit, runtime_version: str, *, runtime: str = "LiteRT C API") -> tuple[str, ...]:
    """The ops of a model that a runtime does not have, as ``NAME version N``; empty when it can run the model.

    Args:
        found: the audit.
        runtime_version: as the runtime reports it ("2.3.0").
        runtime: its name; ``tflite_runtime`` is numbered like TensorFlow, everything else like LiteRT.
    """
    litert = "tflite" not in runtime and "tensorflow" not in runtime.lower()
    missing = [
        f"{name} version {version}"
        for name, version in found.op_versions.items()
        if not op_versions.is_supported(name, version, runtime_version, litert=litert)
    ]
    return (*missing, *found.flex_ops)


def _is_float(dtype: str) -> bool:
    return dtype.startswith(("float", "bfloat", "complex"))


def _computes_in_float(op: Op, model: TfliteModel) -> bool:
    if op.name in _CONTROL:
        return False
    return any(i >= 0 and _is_float(model.tensors[i].dtype) for i in (*op.inputs, *op.outputs))


def _border_ops(model: TfliteModel) -> set[int]:
    """QUANTIZE ops right behind an input and DEQUANTIZE ops right before an output."""
    found = set()
    for op in model.ops:
        if op.name == "QUANTIZE" and op.inputs and op.inputs[0] in model.input_tensors:
            found.add(id(op))
        if op.name == "DEQUANTIZE" and op.outputs and op.outputs[0] in model.output_tensors:
            found.add(id(op))
    return found


def _problems(model: TfliteModel, floats: list[Op], flex: list[str], float_io: list[str]) -> Iterable[str]:
    if float_io:
        yield f"{_FLOAT_BORDER}{', '.join(float_io)}"
    culprits: dict[str, list[str]] = {}
    for op in floats:
        if op.name not in _BORDERS:
            culprits.setdefault(op.name, []).append(_place(op, model))
    for name, found in culprits.items():
        places = list(dict.fromkeys(found))
        yield f"{name}{_IN_FLOAT}{', '.join(places[:_NAMED])}{_more(places)}"
    if flex:
        yield f"needs the select-TF (Flex) runtime, which boards do not have: {', '.join(flex)}"
    custom = sorted({op.name for op in model.ops if not op.builtin} - set(flex))
    if custom:
        yield f"custom ops, which only a runtime built with them can run: {', '.join(custom)}"
    variables = sorted({op.name for op in model.ops if op.name in _VARIABLES})
    if variables:
        yield f"weights are read from variables that the file does not fill ({', '.join(variables)}): convert it again"
    loops = sorted({op.name for op in model.ops if op.name in ("IF", "WHILE")})
    if loops:
        yield f"control flow ({', '.join(loops)}) keeps delegates out"
    for name, version in model.op_versions.items():
        if not op_versions.is_known(name, version):
            yield f"{name} version {version} is newer than any runtime that edgekit knows"


def _more(names: list[str]) -> str:
    return f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""


def _place(op: Op, model: TfliteModel) -> str:
    """The layer-like part of the name of what an op computes."""
    for index in op.outputs:
        if index in model.output_tensors:  # the converter calls these StatefulPartitionedCall
            return repr(model.outputs[model.output_tensors.index(index)].name)
        if index >= 0 and (name := layer_of(model.tensors[index])):
            return repr(name)
    return f"op {op.index}"


def layer_of(tensor: Tensor) -> str:
    """``model_1/block_3/elu/Elu;model_1/…`` → ``block_3/elu``: without the model's and the op's own names."""
    parts = tensor.name.split(";")[0].removeprefix("StatefulPartitionedCall/").split("/")
    inner = [part for part in parts if part]
    if len(inner) >= 3:
        return "/".join(inner[1:-1])
    return "/".join(inner)


def _border_of(found: Audit) -> str:
    for problem in found.problems:
        if problem.startswith(_FLOAT_BORDER):
            return f"the inputs or outputs {problem.removeprefix(_FLOAT_BORDER)} are float"
    return "an input or output is float"
