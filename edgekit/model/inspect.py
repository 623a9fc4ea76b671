"""Describes a model file of any format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgekit.core import decode, files
from edgekit.core.child import run_once
from edgekit.core.errors import ModelError
from edgekit.core.events import EventSink, ignore, task
from edgekit.model import libraries, op_versions, safety
from edgekit.model.description import Flatbuffer, ModelDescription, Network, OpSummary
from edgekit.model.format import ModelFormat, detect_format
from edgekit.model.tflite import TfliteModel, read_tflite

_TIME_LIMIT_S = 600.0
_PACKAGES = {"keras": "Keras 3", "tf_keras": "tf_keras (Keras 2)", "tensorflow": "TensorFlow"}


def inspect_model(
    path: Path, *, trust: bool = False, custom: tuple[str, ...] = (), on_event: EventSink = ignore
) -> ModelDescription:
    """Reads all that a model file says about itself. A ``.tflite`` needs no TensorFlow.

    Args:
        path: a model file or SavedModel folder.
        trust: allow code inside the model.
        custom: ``module:name`` of the classes of your own that the model uses.
        on_event: receives progress.

    Raises:
        ModelError: missing, damaged, not a model, or code inside without ``trust``.
        DependencyError: a Keras model or SavedModel, and TensorFlow is not installed.
    """
    path = Path(path)
    fmt = detect_format(path)
    parts = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    size = sum(part.stat().st_size for part in parts)
    gzip = sum(files.gzip_size(part) for part in parts)
    if fmt.name == "tflite":
        with task("read the model", on_event):
            model = read_tflite(path)
        flat = _flatbuffer(model)
        return ModelDescription(
            path=str(path),
            format=fmt,
            size_bytes=size,
            gzip_bytes=gzip,
            inputs=model.inputs,
            outputs=model.outputs,
            parameters=flat.parameters,
            macs=flat.macs,
            flatbuffer=flat,
        )
    safety.refuse_code(path, fmt, trust=trust, custom=custom)  # before TensorFlow's seconds
    with task("load the model", on_event):
        network = _network(path, fmt, trust=trust, custom=custom)
    return ModelDescription(
        path=str(path),
        format=fmt,
        size_bytes=size,
        gzip_bytes=gzip,
        inputs=network.inputs,
        outputs=network.outputs,
        parameters=network.parameters,
        macs=network.macs,
        network=network,
        notices=network.notices,
    )


def _network(path: Path, fmt: ModelFormat, *, trust: bool, custom: tuple[str, ...]) -> Network:
    for module in dict.fromkeys(("tensorflow", fmt.library)):
        libraries.require(module, _PACKAGES[module])
    answer = run_once(
        "edgekit.model.describe:describe_keras",
        purpose=f"loading of {path.name}",
        time_limit_s=_TIME_LIMIT_S,
        path=str(path),
        trust=trust,
        custom=list(custom),
    )
    return decode.from_json(Network, answer, source=path.name, error=ModelError)


def _flatbuffer(model: TfliteModel) -> Flatbuffer:
    weights = model.weights
    sizes: dict[str, int] = {}
    for tensor in weights:
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size_bytes
    counted = [(t.zeros, _elements(t.shape)) for t in weights if t.zeros is not None]
    total = sum(count for _, count in counted)
    return Flatbuffer(
        ops=tuple(_summaries(model)),
        macs=model.macs,
        parameters=model.parameters,
        weights_bytes=dict(sorted(sizes.items())),
        quantization=_quantization(model),
        sparsity=sum(zeros * count for zeros, count in counted) / total if total else None,
        sparse_tensors=sum(tensor.sparse for tensor in model.tensors),
        min_runtime=op_versions.minimum_runtime(model.op_versions, model.min_runtime),
        signatures=tuple(signature.key for signature in model.signatures),
        subgraphs=model.subgraphs,
        converter=model.description,
    )


def _elements(shape: Iterable[int]) -> int:
    count = 1
    for size in shape:
        count *= abs(size)
    return count


def _summaries(model: TfliteModel) -> list[OpSummary]:
    groups: dict[tuple[str, bool], list[int]] = {}
    for position, op in enumerate(model.ops):
        groups.setdefault((op.name, op.builtin), []).append(position)
    found = []
    for (name, builtin), positions in groups.items():
        ops = [model.ops[position] for position in positions]
        macs = [op.macs for op in ops if op.macs is not None]
        dtypes = sorted({model.tensors[i].dtype for op in ops for i in (*op.inputs, *op.outputs) if i >= 0})
        found.append(
            OpSummary(
                name=name,
                version=max(op.version for op in ops),
                builtin=builtin,
                count=len(ops),
                macs=sum(macs) if macs else None,
                dtypes=tuple(dtypes),
            )
        )
    return sorted(found, key=lambda op: (-(op.macs or 0), -op.count, op.name))


def _quantization(model: TfliteModel) -> str:
    """What the weights and what flows between the ops are made of, in words."""
    weights = {t.dtype for t in model.weights}
    used = {i for op in model.ops for i in (*op.inputs, *op.outputs) if i >= 0}
    border = {*model.input_tensors, *model.output_tensors}
    flowing = {model.tensors[i].dtype for i in used - border if not model.tensors[i].constant}
    integers = sorted(weights & {"int2", "int4", "int8", "uint8", "int16"})
    if not integers:
        return "float16 weights" if "float16" in weights else "none"
    channels = any(t.scales > 1 for t in model.weights)
    grain = "per channel" if channels else "per tensor"
    quantized = sorted(flowing & {"int8", "uint8", "int16"})
    if not quantized:
        return f"{'/'.join(integers)} weights {grain}, float32 activations"
    words = f"{'/'.join(integers)} weights {grain}, {'/'.join(quantized)} activations"
    if any(dtype.startswith("float") for dtype in flowing):
        return f"{words}, float32 in places"
    float_border = any(spec.dtype.startswith("float") for spec in (*model.inputs, *model.outputs))
    return f"{words}, float32 inputs or outputs" if float_border else words
