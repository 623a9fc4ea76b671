"""Runs a Keras 3 model and its tf_keras rebuild on the same inputs, and names the first layer that differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.core.errors import ModelError
from edgekit.model import libraries

if TYPE_CHECKING:
    import numpy

    from edgekit.model.rebuild import Trace

    Array = numpy.ndarray[Any, Any]

# relative to the largest output. Equal arithmetic in another order stays below 1e-6 in a network of 50 layers
_TOLERANCE = 1e-4
_SAMPLES = 2
# what image, audio and tabular models are usually fed: standardized, 0..1, -1..1, raw bytes
_RANGES = ("normal", (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
_FREE_SIZE = {3: 8, 4: 64, 5: 16}  # rank → size taken for a free dimension


def compare(trace: Trace) -> tuple[float, float]:
    """Largest output difference and the outputs' scale, for the worst of several input ranges.

    Raises:
        RebuildRefused: they differ; it names the layer where that begins.
    """
    import numpy

    worst = (0.0, 1.0)
    checked = False
    for number, span in enumerate(_RANGES):
        inputs = _inputs(trace.original, span, seed=number)
        expected = _run(trace.original, trace.original, inputs)
        found = _run(trace.original, trace.model, inputs)
        if not all(numpy.isfinite(value).all() for value in expected):
            continue  # this range is none for this model
        checked = True
        for old, new in zip(expected, found):
            difference, scale = _difference(old, new)
            if not difference <= _TOLERANCE * scale:
                raise _mismatch(trace, inputs, difference, scale)
            if difference * worst[1] > worst[0] * scale or worst == (0.0, 1.0):
                worst = (difference, scale)
    if not checked:
        raise ModelError(
            f"the model {trace.original.name!r} gives NaN or infinite outputs for every kind of input",
            hint="look for NaN in its weights; train it again with a smaller learning rate",
        )
    return worst


def _mismatch(trace: Trace, inputs: list[Array], difference: float, scale: float) -> ModelError:
    from edgekit.model.rebuild_layers import refused

    culprit, path = _first_difference(trace, inputs)
    reason = (
        f"from here on the rebuilt model computes something else (outputs differ by {difference:.3g} of {scale:.3g})"
    )
    error = refused(culprit, reason)
    error.details["path"] = path
    return error


def _first_difference(trace: Trace, inputs: list[Array]) -> tuple[Any, str]:
    """The operation (and its path) whose outputs differ first, looked for in nested models too."""
    keras, tf_keras = libraries.keras(), libraries.tf_keras()
    graph = trace.original
    old = keras.Model(graph.inputs, [t for _, tensors, _ in trace.steps for t in tensors])
    new = tf_keras.Model(trace.model.inputs, [t for _, _, tensors in trace.steps for t in tensors])
    before = [_array(v) for v in keras.tree.flatten(old(list(inputs), training=False))]
    after = [_array(v) for v in keras.tree.flatten(new(list(inputs), training=False))]
    values = {id(tensor): value for tensor, value in zip(graph.inputs, inputs)}
    at = 0
    for operation, tensors, _ in trace.steps:
        for tensor in tensors:
            difference, scale = _difference(before[at], after[at])
            if not difference <= _TOLERANCE * scale:
                inner = trace.inner.get(id(operation))
                node = next((n for n in operation._inbound_nodes if any(t is tensor for t in n.outputs)), None)
                if inner is None or node is None:
                    return operation, str(operation.name)
                fed = [values[id(t)] for t in node.input_tensors if id(t) in values]
                if len(fed) != len(inner.original.inputs):
                    return operation, str(operation.name)
                culprit, path = _first_difference(inner, fed)
                return culprit, f"{operation.name}/{path}"
            values[id(tensor)] = before[at]
            at += 1
    return graph, str(graph.name)


def _run(original: Any, model: Any, inputs: list[Array]) -> list[Array]:
    """Both models take the structure of inputs that the original was made with."""
    keras = libraries.keras()
    structure = original._inputs_struct
    packed: Any = list(inputs)
    if isinstance(structure, dict):
        order = {id(tensor): value for tensor, value in zip(original.inputs, inputs)}
        packed = {name: order[id(tensor)] for name, tensor in structure.items()}
    elif not isinstance(structure, (list, tuple)):
        packed = inputs[0]
    return [_array(value) for value in keras.tree.flatten(model(packed, training=False))]


def _array(value: Any) -> Array:
    import numpy

    found = numpy.asarray(value)
    return found.astype(numpy.float64) if found.dtype.kind != "O" else found


def _difference(old: Array, new: Array) -> tuple[float, float]:
    import numpy

    if old.shape != new.shape:
        return float("inf"), 1.0
    if not old.size:
        return 0.0, 1.0
    scale = max(float(numpy.abs(old).max()), 1e-6)
    return float(numpy.abs(old - new).max()), scale


def _inputs(graph: Any, span: Any, *, seed: int) -> list[Array]:
    import numpy

    random = numpy.random.default_rng(seed)
    whole = _index_limits(graph)
    found = []
    for tensor in graph.inputs:
        batch = tensor.shape[0] or _SAMPLES
        free = _FREE_SIZE.get(len(tensor.shape), 8)
        shape = tuple(int(size) for size in (batch, *(size or free for size in tensor.shape[1:])))
        dtype = str(tensor.dtype)
        if dtype == "string":
            raise ModelError(
                f"the input {tensor.name!r} takes text, which no microcontroller or .tflite runtime turns into numbers",
                hint="cut the text preparation off the model, and feed it numbers",
            )
        limit = whole.get(id(tensor))
        values: Array
        if limit is not None or not dtype.startswith(("float", "bfloat")):
            values = random.integers(0, limit or (2 if dtype == "bool" else 10), size=shape)
        elif span == "normal":
            values = random.standard_normal(shape)
        else:
            values = random.uniform(span[0], span[1], size=shape)
        found.append(values.astype("float32" if dtype == "bfloat16" else dtype))
    return found


def _index_limits(graph: Any) -> dict[int, int]:
    """id of each input that is an index into a table → the table's size."""
    keras = libraries.keras()
    tables = [layer for layer in graph._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    found: dict[int, int] = {}
    for tensor in graph.inputs:
        users = [
            node.operation
            for nodes in graph._nodes_by_depth.values()
            for node in nodes
            if not node.is_input and any(t is tensor for t in node.input_tensors)
        ]
        sizes = [user.input_dim for user in users if isinstance(user, keras.layers.Embedding)]
        if not sizes and tables and not str(tensor.dtype).startswith("float"):
            sizes = [table.input_dim for table in tables]
        if sizes:
            found[id(tensor)] = int(min(sizes))
    return found
