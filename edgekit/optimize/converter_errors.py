"""What the converter's exceptions and crashes mean: which op, which layer, and the way out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.core.child import ChildDied
from edgekit.core.errors import EdgekitError, ModelError
from edgekit.optimize.export import RecurrentLayer

_NO_BUILTIN = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
_NO_INT16 = re.compile(r"Quantization to 16x8-bit not yet supported for op: '(\w+)'")
_NO_RANGE = re.compile(r"Failed for tensor (\S+)")
_LOCATION = re.compile(r'"(\w+):", "([^"@]+)@')
_CALIBRATED = ("int8", "int8-float-io", "int16x8")


def explain(
    error: Exception,
    *,
    mode: str,
    recurrent: Sequence[RecurrentLayer] = (),
    layers_of_op: Mapping[str, Sequence[str]] | None = None,
) -> EdgekitError:
    """The error of ours for an exception of the converter; one of ours passes through.

    Args:
        error: what was raised.
        mode: the numeric mode that was asked for.
        recurrent: the model's layers with a loop.
        layers_of_op: op name → names of its output tensors in the float model, which carry the layers' names.
    """
    if isinstance(error, EdgekitError):
        return error
    text = str(error)
    if found := _NO_BUILTIN.findall(text):
        ops = sorted(set(found))
        places = [f"{layer.rsplit('/', 1)[0]}" for op, layer in _LOCATION.findall(text) if op in ops]
        where = f" (in {', '.join(sorted(set(places))[:3])})" if places else ""
        return ModelError(
            f"TensorFlow Lite has no op for {', '.join(ops)}{where}",
            hint="build that layer from other operations, or compute it outside the model",
            details={"ops": ops, "layers": sorted(set(places))},
        )
    if match := _NO_INT16.search(text):
        op = match[1]
        layers = list((layers_of_op or {}).get(op, ()))[:3]
        where = f" (in {', '.join(layers)})" if layers else ""
        return ModelError(
            f"int16x8 is not supported for the op {op}{where}",
            hint="use --mode int8, or --mode float16 for the full accuracy of float",
            details={"op": op, "layers": layers},
        )
    if match := _NO_RANGE.search(text):
        return ModelError(
            f"{mode}: the quantizer has no range for the tensor {match[1]} (an integer input or a loop, most often)",
            hint="use --mode int8, or --mode dynamic",
        )
    names = f" (recurrent layers: {_named(recurrent)})" if recurrent else ""
    first = next((line for line in text.splitlines() if "error:" in line), text.strip())
    return ModelError(
        f"the conversion to {mode} failed{names}: {' '.join(first.split())[:400]}",
        hint="use --mode dynamic or --mode float16"
        if mode in _CALIBRATED
        else "what the converter printed is in its log",
    )


def explain_death(error: ChildDied, *, mode: str, exported: Mapping[str, Any]) -> ModelError:
    """The error for a converter that crashed, hung, or was killed. For the parent process.

    Args:
        error: what :meth:`edgekit.core.child.Child.call` raised.
        mode: the numeric mode that was asked for.
        exported: the answer of :func:`edgekit.optimize.export.export`, which names the model's layers.

    Source: TensorFlow 2.21 ends with SIGSEGV when it calibrates a WHILE op (GRU, and LSTM that is not fused).
    """
    layers = tuple(RecurrentLayer(name=layer["name"], type=layer["type"]) for layer in exported.get("recurrent", ()))
    details: dict[str, object] = {"signal": error.signal_name, "layers": [layer.name for layer in layers], "mode": mode}
    if error.timed_out:
        return ModelError(f"{error.message} ({mode})", hint=error.hint, details=details)
    if error.out_of_memory:
        return ModelError(
            f"the conversion to {mode} ran out of memory",
            hint="close other programs, use a machine with more memory, or give fewer representative rows",
            details=details,
        )
    if layers and mode in _CALIBRATED:
        return ModelError(
            f"the converter crashes ({error.signal_name}) on the recurrent layers of this model in {mode}: "
            f"{_named(layers)}",
            hint=_recurrent_way_out(layers),
            details=details,
        )
    return ModelError(
        f"the converter crashed ({error.signal_name or 'no signal'}) while converting to {mode}",
        hint=f"use --mode dynamic or --mode float16; {error.hint}",
        details=details,
    )


def tensors_by_op(model: Any) -> dict[str, list[str]]:
    """Op name → names of the tensors that such ops write, of a ``ModelT``."""
    from edgekit.optimize import model_tree

    # the converter names the tensors of the outputs after its own wrapper; their signature has the layer's name
    outputs = dict(zip((int(index) for index in model.subgraphs[0].outputs), model_tree.outputs(model), strict=True))
    found: dict[str, list[str]] = {}
    for graph in model.subgraphs:
        for op in graph.operators or ():
            if len(op.outputs):
                index = int(op.outputs[0])
                is_output = graph is model.subgraphs[0] and index in outputs
                name = outputs[index].name if is_output else model_tree.text(graph.tensors[index].name)
                found.setdefault(model_tree.op_name(model, op), []).append(name)
    return found


def unreadable(path: Path, error: Exception) -> ModelError:
    """A float .tflite that the quantizer cannot take."""
    return ModelError(f"{path.name} cannot be quantized: {' '.join(str(error).split())[:400]}", hint="convert it again")


def _named(layers: Sequence[RecurrentLayer]) -> str:
    return ", ".join(f"{layer.name} ({layer.type})" for layer in layers)


def _recurrent_way_out(layers: Sequence[RecurrentLayer]) -> str:
    if all(layer.type in ("LSTM", "Bidirectional") for layer in layers):
        return (
            "use --mode dynamic; for int8, the LSTM must be a plain one (default activations) in a model of standard "
            "layers, which then becomes one fused op"
        )
    return "use --mode dynamic, or replace these layers by LSTM, which becomes one fused op that int8 can do"
