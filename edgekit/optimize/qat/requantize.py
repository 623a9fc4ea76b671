"""Takes out the way through float that the converter leaves where a trained range meets a calibrated one.

DEQUANTIZE → QUANTIZE with nothing between them computes in float what one QUANTIZE from int8 to int8 does.
"""

from __future__ import annotations

from edgekit.optimize import kernel_versions, model_tree


def requantize(content: bytes) -> bytes:
    """The same ``.tflite`` with int8 → int8 in place of int8 → float → int8; the bytes as they are where there is none.

    Args:
        content: of a quantized file.
    """
    model = model_tree.parse(content, "the converted file")
    changed = False
    for graph in model.subgraphs:
        outputs = {int(index) for index in graph.outputs}
        readers: dict[int, list[int]] = {}
        for place, op in enumerate(graph.operators):
            for index in op.inputs:
                readers.setdefault(int(index), []).append(place)
        dropped: set[int] = set()
        for place, op in enumerate(graph.operators):
            if model_tree.op_name(model, op) != "DEQUANTIZE":
                continue
            source, float_tensor = int(op.inputs[0]), int(op.outputs[0])
            after = [graph.operators[reader] for reader in readers.get(float_tensor, ())]
            integer = model_tree.dtype(graph.tensors[source]) == "int8"
            if not integer or float_tensor in outputs or not after:
                continue
            if all(model_tree.op_name(model, reader) == "QUANTIZE" for reader in after):
                for reader in after:
                    reader.inputs = [source]
                dropped.add(place)
        if dropped:
            graph.operators = [op for place, op in enumerate(graph.operators) if place not in dropped]
            changed = True
    if not changed:
        return content
    kernel_versions.raise_versions(model)
    kernel_versions.set_min_runtime(model)
    return model_tree.pack(model)
