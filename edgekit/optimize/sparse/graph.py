"""Walks the graph of a Keras 3 or tf_keras model and makes a new one, layer by layer, nested models opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import ModelError
from edgekit.model import libraries
from edgekit.model.load import LoadedModel

Replace = Callable[[Any], Callable[..., Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a layer in a model without nested ones.

    Attributes:
        layer: a layer, or an operation of Keras 3.
        inputs: the symbolic tensors that it is called on.
        outputs: what it gives.
    """

    layer: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]

    @property
    def kind(self) -> str:
        """The class of the layer."""
        return type(self.layer).__name__

    @property
    def sizes(self) -> tuple[int, int] | None:
        """Height and width of the first input; None where it is no image of fixed size."""
        shape = tuple(self.inputs[0].shape) if self.inputs else ()
        return (int(shape[1]), int(shape[2])) if len(shape) == 4 and None not in shape[1:3] else None


def flat_copy(loaded: LoadedModel) -> Any:
    """A Functional model with copies of all layers and of their weights; layers of nested models stand among the rest.

    Raises:
        ModelError: a model without a graph of layers.
    """
    library = library_of(loaded)
    made: dict[int, Any] = {}
    names: dict[str, int] = {}

    def copied(layer: Any) -> Callable[..., Any]:
        if isinstance(layer, library.Model):
            return lambda inputs, **_: run(loaded.library, layer, inputs, copied)
        if id(layer) not in made:
            made[id(layer)] = copy_of(layer, library, names)
        return made[id(layer)]  # type: ignore[no-any-return]

    return remade(loaded.library, loaded.model, copied)


def remade(library: str, model: Any, replace: Replace) -> Any:
    """A new Functional model on new inputs, where ``replace(layer)`` stands in the place of each layer."""
    keras = libraries.keras() if library == "keras" else libraries.tf_keras()
    graph = _graph(model)
    tensors = [
        keras.Input(batch_shape=tuple(tensor.shape), dtype=_dtype(tensor), name=name)
        for tensor, name in zip(graph.inputs, _input_names(library, graph), strict=True)
    ]
    if library == "keras":
        by_id = {id(old): new for old, new in zip(graph.inputs, tensors, strict=True)}
        inputs = keras.tree.map_structure(lambda tensor: by_id[id(tensor)], graph._inputs_struct)
    else:
        flatten = libraries.tensorflow().nest
        inputs = flatten.pack_sequence_as(graph._nested_inputs, tensors)
    return keras.Model(inputs, run(library, model, inputs, replace), name=model.name)


def run(library: str, model: Any, inputs: Any, replace: Replace) -> Any:
    """Calls what ``replace`` gives for each layer on symbolic tensors, in the order of the graph."""
    graph = _graph(model)
    if library == "keras":
        return graph._run_through_graph(inputs, operation_fn=replace)
    nest = libraries.tensorflow().nest
    held: dict[str, list[Any]] = {}
    for old, new in zip(graph.inputs, nest.flatten(inputs), strict=True):
        held[str(id(old))] = [new] * graph._tensor_usage_count[str(id(old))]
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input or any(place not in held for place in node.flat_input_ids):
                continue
            arguments, keywords = node.map_arguments(held)
            outputs = replace(node.layer)(*arguments, **keywords)
            for place, value in zip(node.flat_output_ids, nest.flatten(outputs), strict=True):
                held[place] = [value] * graph._tensor_usage_count[place]
    found = [held[str(id(tensor))].pop() for tensor in graph.outputs]
    return nest.pack_sequence_as(graph._nested_outputs, found)


def steps_of(library: str, model: Any) -> list[Step]:
    """The calls of a flat model in the order of computation."""
    graph = _graph(model)
    nest = libraries.tensorflow().nest
    found = []
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            layer = node.operation if library == "keras" else node.layer
            inputs = node.input_tensors if library == "keras" else node.keras_inputs
            found.append(Step(layer=layer, inputs=tuple(inputs), outputs=tuple(nest.flatten(node.outputs))))
    return found


def library_of(loaded: LoadedModel) -> Any:
    """The Keras that the model belongs to."""
    return libraries.keras() if loaded.library == "keras" else libraries.tf_keras()


def _graph(model: Any) -> Any:
    graph = getattr(model, "_functional", None) or model  # a Sequential of Keras 3 has it inside
    if not getattr(graph, "_nodes_by_depth", None):
        raise ModelError(
            f"the model {model.name!r} is a class of its author's, which says nothing about its layers' order",
            hint="write it as a Functional model",
        )
    return graph


def copy_of(layer: Any, library: Any, names: dict[str, int] | None = None) -> Any:
    """What acts as a layer and is another one of the same weights.

    Args:
        layer: a layer, or an operation of Keras 3, which has no state and stays.
        library: the Keras that it belongs to.
        names: how often each name was given; None: the copy has the same one.
    """
    if not isinstance(layer, library.layers.Layer):
        return layer  # an operation of Keras 3 has no state
    config = layer.get_config()
    if names is not None:
        count = names[layer.name] = names.get(layer.name, 0) + 1
        if count > 1:  # two nested models may use the same name
            config["name"] = f"{layer.name}_{count - 1}"
    return Ready(type(layer).from_config(config), layer.get_weights(), layer.trainable)


class Ready:
    """A new layer that gets its weights when it is first called, which is when it has places for them."""

    def __init__(self, layer: Any, weights: list[Any], trainable: bool) -> None:
        self._layer, self._trainable = layer, trainable
        self._weights: list[Any] | None = weights

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Calls the layer."""
        outputs = self._layer(*arguments, **keywords)
        if self._weights is not None:
            self._layer.set_weights(self._weights)
            self._layer.trainable = self._trainable
            self._weights = None
        return outputs


def _input_names(library: str, graph: Any) -> list[str]:
    if library == "keras":
        return [str(tensor._keras_history.operation.name) for tensor in graph.inputs]
    return [str(tensor._keras_history.layer.name) for tensor in graph.inputs]


def _dtype(tensor: Any) -> str:
    return tensor.dtype if isinstance(tensor.dtype, str) else str(tensor.dtype.name)
