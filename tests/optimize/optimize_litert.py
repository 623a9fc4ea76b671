"""Runs a .tflite on rows with LiteRT and reads it tensor by tensor, for comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from edgekit.optimize import model_tree


def run(path: Path, arrays: dict[str, Any], rows: int) -> dict[str, Any]:
    """Real-valued outputs by signature name; inputs are quantized and outputs dequantized where they are integers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    found: dict[str, list[Any]] = {}
    for row in range(rows):
        given = {}
        for name, detail in runner.get_input_details().items():
            values = arrays[name if name in arrays else "x"][row][None]
            given[name] = _quantized(values, detail)
        for name, values in runner(**given).items():
            scale, zero = runner.get_output_details()[name]["quantization"]
            found.setdefault(name, []).append((values.astype("float64") - zero) * scale if scale else values)
    return {name: numpy.concatenate(values) for name, values in found.items()}


def _quantized(values: Any, detail: Any) -> Any:
    scale, zero = detail["quantization"]
    if not scale:
        return values.astype(detail["dtype"])
    limits = numpy.iinfo(detail["dtype"])
    return (values / scale + zero).round().clip(limits.min, limits.max).astype(detail["dtype"])


def contents(path: Path) -> list[Any]:
    """Everything that a file computes with: tensors with constants and scales, ops with options, inputs and outputs."""
    model = model_tree.read(path)
    found: list[Any] = []
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            constant = model.buffers[tensor.buffer].data
            quantization = tensor.quantization
            scales = [] if quantization is None or quantization.scale is None else list(quantization.scale)
            zeros = [] if quantization is None or quantization.zeroPoint is None else list(quantization.zeroPoint)
            held = b"" if constant is None else bytes(constant)
            found.append((tensor.name, list(tensor.shape), tensor.type, scales, zeros, held))
        for op in graph.operators:
            options = {} if op.builtinOptions is None else vars(op.builtinOptions)
            name = model_tree.op_name(model, op)
            found.append((name, list(op.inputs), list(op.outputs), sorted(map(str, options.items()))))
        found.append((list(graph.inputs), list(graph.outputs)))
    return found


def ops(path: Path) -> list[str]:
    """Op names in order."""
    model = model_tree.read(path)
    return [model_tree.op_name(model, op) for op in model.subgraphs[0].operators]
