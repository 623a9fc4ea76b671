"""A Keras 3 Sequential or Functional model rebuilt as tf_keras and proven to compute the same.

The TensorFlow Model Optimization Toolkit takes tf_keras models only, and tf_keras loads no file of Keras 3. So the
graph of the Keras 3 model is walked, each layer is made again in tf_keras, the weights are copied, and both are run
on the same random inputs. What does not agree is refused, by name. Only in the TensorFlow child.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import ModelError
from edgekit.model import libraries
from edgekit.model.rebuild_layers import RebuildRefused, apply_operation, counterpart, refused

__all__ = ["RebuildRefused", "Rebuilt", "copy_weights_back", "rebuild_as_tf_keras"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """A tf_keras model and how it was proven.

    Attributes:
        model: the tf_keras Functional model; its inputs and outputs are in the order of the original's.
        max_abs_difference: the largest difference of any output, for the input range where they differ most.
        scale: the largest absolute output there: what the difference is to be compared with.
        counterpart: path of each layer that holds weights ("encoder/conv") → the tf_keras layer.
    """

    model: Any
    max_abs_difference: float
    scale: float
    counterpart: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One model's walk: what each operation of the original gave, and what it gives in tf_keras.

    Attributes:
        original: the Keras 3 Functional model.
        model: the tf_keras one.
        steps: operation, its output tensors, their counterparts, in the order of computation.
        inner: id of a nested Keras 3 model → its own walk.
    """

    original: Any
    model: Any
    steps: list[tuple[Any, list[Any], list[Any]]]
    inner: dict[int, Trace]


def rebuild_as_tf_keras(model: Any) -> Rebuilt:
    """Rebuilds a Keras 3 model as tf_keras, copies the weights and compares the outputs. The original is not changed.

    Args:
        model: a built ``keras.Sequential`` or Functional model.

    Raises:
        RebuildRefused: a layer without counterpart, or outputs that differ; it names the layer.
        DependencyError: Keras or tf_keras is not installed.
    """
    from edgekit.model.rebuild_check import compare

    rebuilding = _Rebuilding()
    trace = rebuilding.walk(model)
    found = dict(_pairs(model, rebuilding.made))
    for original, layer in found.values():
        _copy(original, layer)
    difference, scale = compare(trace)
    return Rebuilt(
        model=trace.model,
        max_abs_difference=difference,
        scale=scale,
        counterpart={path: layer for path, (_, layer) in found.items()},
    )


def copy_weights_back(rebuilt: Rebuilt, original: Any) -> None:
    """Puts the weights of a rebuilt model into the Keras 3 model it was made from (or another copy of that).

    Raises:
        ModelError: ``original`` is another model.
    """
    layers = dict(_leaves(original, ""))
    if layers.keys() != rebuilt.counterpart.keys():
        odd = sorted(layers.keys() ^ rebuilt.counterpart.keys())
        raise ModelError(f"the weights belong to another model: layer {odd[0]!r} is in one of the two only")
    for path, layer in layers.items():
        weights = rebuilt.counterpart[path].get_weights()
        if [w.shape for w in weights] != [tuple(w.shape) for w in layer.weights]:
            raise ModelError(f"the weights belong to another model: layer {path!r} has other shapes")
        layer.set_weights(weights)


def functional(model: Any) -> Any:
    """The graph of a Keras 3 model.

    Raises:
        RebuildRefused: it has none (a subclassed model), or it was never built.
    """
    keras = libraries.keras()
    if isinstance(model, keras.Sequential):
        if getattr(model, "_functional", None) is None:
            raise refused(model, "it was never built; begin it with keras.Input(shape=...)")
        return model._functional
    if not hasattr(model, "_nodes_by_depth"):
        raise refused(model, "it is a model class of its author's, which says nothing about its layers' order")
    return model


class _Rebuilding:
    """Makes each layer once, however often and wherever it is used."""

    def __init__(self) -> None:
        self.made: dict[int, Any] = {}
        self.walks: dict[int, Trace] = {}
        self._keras, self._tf_keras = libraries.keras(), libraries.tf_keras()

    def walk(self, model: Any) -> Trace:
        """Calls the counterparts of all layers in the order of the original's graph."""
        keras, tf_keras = self._keras, self._tf_keras
        graph = functional(model)
        tensors: dict[int, Any] = {}
        for tensor in graph.inputs:
            layer = tensor._keras_history.operation
            tensors[id(tensor)] = tf_keras.Input(batch_shape=tensor.shape, dtype=str(tensor.dtype), name=layer.name)
        structure = _input_structure(graph, tensors)
        steps = []
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for node in graph._nodes_by_depth[depth]:
                if node.is_input or node.operation is None:
                    continue
                flat = keras.tree.flatten(self._call(node, tensors))
                tensors.update((id(old), new) for old, new in zip(node.outputs, flat))
                steps.append((node.operation, list(node.outputs), flat))
        outputs = keras.tree.map_structure(lambda tensor: tensors[id(tensor)], graph._outputs_struct)
        rebuilt = tf_keras.Model(structure, outputs, name=model.name)
        return Trace(original=graph, model=rebuilt, steps=steps, inner=self.walks)

    def convert(self, layer: Any) -> Any:
        """The counterpart of a layer or nested model."""
        if id(layer) not in self.made:
            if isinstance(layer, self._keras.Model):
                self.walks[id(layer)] = self.walk(layer)
                made = self.walks[id(layer)].model
            else:
                made = counterpart(layer, self.convert)
            made.trainable = layer.trainable
            self.made[id(layer)] = made
        return self.made[id(layer)]

    def _call(self, node: Any, tensors: dict[int, Any]) -> Any:
        keras, operation = self._keras, node.operation

        def filled(value: Any) -> Any:
            return tensors[id(value)] if isinstance(value, keras.KerasTensor) else value

        arguments = keras.tree.map_structure(filled, node.arguments.args)
        # a node remembers training=True of the call that made it; in tf_keras it would stay for ever
        keywords = {
            name: keras.tree.map_structure(filled, value)
            for name, value in node.arguments.kwargs.items()
            if value is not None and name != "training"
        }
        try:
            if isinstance(operation, keras.layers.Layer):
                return self.convert(operation)(*arguments, **keywords)
            return apply_operation(operation, arguments, keywords, is_tensor=self._is_tensor)
        except RebuildRefused:
            raise
        except Exception as error:  # tf_keras checks arguments when a layer is made and when it is called
            what = " ".join(str(error).split())[:200]
            raise refused(operation, f"tf_keras says {type(error).__name__}: {what}") from error

    def _is_tensor(self, value: Any) -> bool:
        return hasattr(value, "shape") and bool(self._tf_keras.backend.is_keras_tensor(value))


def _input_structure(graph: Any, tensors: dict[int, Any]) -> Any:
    structure = graph._inputs_struct
    if isinstance(structure, dict):
        return {name: tensors[id(tensor)] for name, tensor in structure.items()}
    inputs = [tensors[id(tensor)] for tensor in graph.inputs]
    return inputs if isinstance(structure, (list, tuple)) else inputs[0]


def _pairs(model: Any, made: dict[int, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for path, layer in _leaves(model, ""):
        yield path, (layer, _made(layer, model, made))


def _made(layer: Any, model: Any, made: dict[int, Any]) -> Any:
    if id(layer) not in made:
        raise refused(layer, f"it belongs to {model.name!r} but takes no part in its outputs")
    return made[id(layer)]


def _leaves(model: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Each layer that holds weights, once, with its path; wrappers are entered where their order of weights differs."""
    keras = libraries.keras()
    seen: set[int] = set()

    def walk(layer: Any, path: str) -> Iterator[tuple[str, Any]]:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        if isinstance(layer, keras.Model):
            for inner in functional(layer).layers:
                yield from walk(inner, f"{path}/{inner.name}" if path else inner.name)
        elif isinstance(layer, keras.layers.TimeDistributed):
            yield from walk(layer.layer, f"{path}/{layer.layer.name}")
        elif layer.weights and not isinstance(layer, keras.layers.Normalization):
            yield path, layer

    yield from walk(model, place)


def _copy(original: Any, layer: Any) -> None:
    weights = original.get_weights()
    wanted = [tuple(w.shape) for w in layer.weights]
    if [tuple(w.shape) for w in weights] != wanted:
        raise refused(original, f"its weights have the shapes {[w.shape for w in weights]}, in tf_keras {wanted}")
    layer.set_weights(weights)
