"""The graph of a Keras 3 or tf_keras model, read alike: which layer is called with which tensors, in what order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import ModelError
from edgekit.model import libraries


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a layer, nested model or operation.

    Attributes:
        layer: that is called.
        inputs: tensors, flat.
        outputs: tensors, flat.
        names: of the inputs: their place among the arguments (``0``), or the argument's name.
        args: positional arguments, tensors in their places.
        kwargs: named ones.
    """

    layer: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    names: tuple[str, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def is_model(layer: Any) -> bool:
    """Whether it is a model with layers of its own."""
    return hasattr(layer, "_nodes_by_depth") or getattr(layer, "_functional", None) is not None


def graph(model: Any) -> Any:
    """The Functional graph of a model; a Sequential of Keras 3 has it inside.

    Raises:
        ModelError: a subclassed model, whose code alone knows the order of its layers.
    """
    found = getattr(model, "_functional", None) or model
    if not hasattr(found, "_nodes_by_depth"):
        raise ModelError(
            f"the model {model.name!r} is a class of its author's: nothing says in which order its layers run",
            hint="build it with the Functional interface, keras.Model(inputs, outputs), to prune its filters",
        )
    return found


def maker(tensor: Any) -> Any:
    """The layer that a tensor of the graph comes from."""
    history = tensor._keras_history
    return getattr(history, "operation", None) or history.layer


def flatten(value: Any, library: str) -> list[Any]:
    """The leaves of nested lists and dicts."""
    if library == "keras":
        return list(libraries.keras().tree.flatten(value))
    return list(libraries.tensorflow().nest.flatten(value))


def is_tensor(value: Any, library: str) -> bool:
    """Whether a value stands for a tensor of the graph."""
    if library == "keras":
        return isinstance(value, libraries.keras().KerasTensor)
    return hasattr(value, "shape") and bool(libraries.tf_keras().backend.is_keras_tensor(value))


def calls(model: Any, library: str) -> Iterator[Call]:
    """All calls of the graph in the order of computation, inputs left out."""
    nodes = graph(model)._nodes_by_depth
    for depth in sorted(nodes, reverse=True):
        for node in nodes[depth]:
            if node.is_input:
                continue
            if library == "keras":
                args, kwargs, layer = node.arguments.args, node.arguments.kwargs, node.operation
            else:
                args, kwargs, layer = node.call_args, node.call_kwargs, node.layer
            given = [(str(place), value) for place, value in enumerate(args)] + sorted(kwargs.items())
            flat = [(name, leaf) for name, value in given for leaf in flatten(value, library)]
            tensors = [(name, leaf) for name, leaf in flat if is_tensor(leaf, library)]
            yield Call(
                layer=layer,
                inputs=tuple(tensor for _, tensor in tensors),
                outputs=tuple(flatten(node.outputs, library)),
                names=tuple(name for name, _ in tensors),
                args=tuple(args),
                kwargs=dict(kwargs),
            )


def leaves(model: Any) -> Iterator[tuple[str, Any]]:
    """Path and layer of everything that is no model, each layer once; models inside TimeDistributed are entered."""
    seen: set[int] = set()

    def walk(parent: Any, place: str) -> Iterator[tuple[str, Any]]:
        for layer in graph(parent).layers:
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            path = f"{place}{layer.name}"
            if is_model(layer):
                yield from walk(layer, f"{path}/")
            elif is_model(getattr(layer, "layer", None)):
                yield from walk(layer.layer, f"{path}/")
            else:
                yield path, layer

    yield from walk(model, "")
