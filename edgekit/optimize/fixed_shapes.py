"""Gives a ``.tflite`` with an open batch a batch of 1, and folds the ops that only compute shapes.

Converters leave SHAPE → STRIDED_SLICE → PACK → RESHAPE where the batch is open. With the batch fixed their results are
constants; left in, they cost a float island in every quantized model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import ModelError
from edgekit.optimize import model_tree

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

# noise for the shape of the input: no constant, although nothing else goes in
_NEW_EVERY_TIME = ("MULTINOMIAL", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM")


def with_fixed_shapes(content: bytes, source: str) -> bytes:
    """The same model for one sample at a time; the bytes as they are where nothing is open.

    Args:
        content: a float ``.tflite``.
        source: what it came from, for messages.

    Raises:
        ModelError: an input whose size is open in another dimension, or a model that does not run on one sample.
    """
    model = model_tree.parse(content, source)
    graph = model.subgraphs[0]
    folded = _shape_ops(model)
    if len(model.subgraphs) > 1 or not (folded or _is_open(graph)):
        return content
    for spec in model_tree.inputs(model):
        if any(size < 0 for size in spec.shape[1:]):
            raise ModelError(
                f"{source}: the input {spec.name!r} has an open size: {spec.shape}",
                hint="convert the model again with fixed sizes: edgekit convert MODEL -o MODEL.tflite",
            )
    # all that the folded ops made, needed or not: ai-edge-quantizer reads every tensor of the file
    made = {int(index) for position in folded for index in graph.operators[position].outputs}
    shapes, values = _run(content, source, made)
    for index, tensor in enumerate(graph.tensors):
        tensor.shapeSignature = None
        if tensor.shape is not None and index in shapes:
            tensor.shape = list(shapes[index])
    for index, value in values.items():
        buffer = model_tree.schema().BufferT()
        buffer.data = list(value.tobytes())
        graph.tensors[index].buffer = len(model.buffers)
        model.buffers.append(buffer)
    graph.operators = [op for position, op in enumerate(graph.operators) if position not in folded]
    return model_tree.pack(model)


def _is_open(graph: Any) -> bool:
    return any(-1 in list(t.shapeSignature) for t in graph.tensors if t.shapeSignature is not None)


def _shape_ops(model: Any) -> set[int]:
    """Positions of the ops whose results depend on shapes and constants only."""
    graph = model.subgraphs[0]
    constant = {
        index
        for index, tensor in enumerate(graph.tensors)
        if model.buffers[tensor.buffer].data is not None and len(model.buffers[tensor.buffer].data)
    }
    known: set[int] = set()
    found: set[int] = set()
    for position, op in enumerate(graph.operators):  # a .tflite lists its ops in the order of execution
        given = {int(index) for index in op.inputs if int(index) >= 0} - constant
        name = model_tree.op_name(model, op)
        if name == "SHAPE" or (given and given <= known and name not in _NEW_EVERY_TIME):
            found.add(position)
            known |= {int(index) for index in op.outputs}
    return found


def _run(content: bytes, source: str, made: set[int]) -> tuple[Mapping[int, tuple[int, ...]], dict[int, Array]]:
    """Shapes of all tensors and values of those that were made, for one sample."""
    import numpy
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        interpreter = Interpreter(
            model_content=content,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        for detail in interpreter.get_input_details():
            interpreter.resize_tensor_input(detail["index"], [1, *detail["shape"][1:]])
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], numpy.zeros(detail["shape"], detail["dtype"]))
        interpreter.invoke()
        shapes = {item["index"]: tuple(int(n) for n in item["shape"]) for item in interpreter.get_tensor_details()}
        return shapes, {index: numpy.array(interpreter.get_tensor(index)) for index in sorted(made)}
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"{source} does not run on one sample: {' '.join(str(error).split())[:300]}",
            hint="convert the model again: edgekit convert MODEL -o MODEL.tflite",
        ) from error
