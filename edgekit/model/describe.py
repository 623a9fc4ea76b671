"""Layers, parameters and multiply-accumulates of a Keras model or SavedModel. Only in the TensorFlow child."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.model import libraries
from edgekit.model.custom import register
from edgekit.model.description import LayerDescription, Network, Training
from edgekit.model.load import LoadedModel, input_specs, load_model, output_specs
from edgekit.model.macs import Shape, layer_macs


def describe_keras(path: str, trust: bool = False, custom: Sequence[str] = ()) -> Network:
    """Loads a model and describes it.

    Raises:
        ModelError: it cannot be loaded, see :func:`edgekit.model.load.load_model`.
    """
    register(custom)
    return describe(load_model(Path(path), trust=trust))


def describe(loaded: LoadedModel) -> Network:
    """Describes a model that is loaded."""
    if loaded.library == "tensorflow":
        return _graph(loaded)
    model = loaded.model
    layers = tuple(_layers(model, "", 1))
    known = [layer.macs for layer in layers if layer.macs is not None]
    return Network(
        library=loaded.library,
        inputs=input_specs(loaded),
        outputs=output_specs(loaded),
        parameters=_count(model.weights),
        trainable=_count(model.trainable_weights),
        macs=sum(known) if known else None,
        layers=layers,
        last_activations=_last_activations(model),
        training=_training(model),
        signatures=(),
        notices=loaded.notices,
    )


def _graph(loaded: LoadedModel) -> Network:
    function = loaded.model.signatures[loaded.signature]
    return Network(
        library="tensorflow",
        inputs=input_specs(loaded),
        outputs=output_specs(loaded),
        parameters=_count(function.variables),
        trainable=None,
        macs=None,
        layers=(),
        last_activations=tuple("" for _ in output_specs(loaded)),
        training=None,
        signatures=tuple(sorted(str(name) for name in loaded.model.signatures)),
        notices=loaded.notices,
    )


def _layers(model: Any, place: str, calls: int) -> Iterator[LayerDescription]:
    """Each layer once, in the order of computation; ``calls``: how often the model around it runs."""
    graph = getattr(model, "_functional", None) or model
    nodes = getattr(graph, "_nodes_by_depth", {})
    uses: dict[int, list[Any]] = {}
    order: list[Any] = []
    for depth in sorted(nodes, reverse=True):
        for node in nodes[depth]:
            layer = _operation(node)
            if id(layer) not in uses:
                order.append(layer)
            uses.setdefault(id(layer), []).append(node)
    for layer in order:
        path = f"{place}/{layer.name}" if place else str(layer.name)
        used = uses[id(layer)]
        if hasattr(layer, "_nodes_by_depth") or getattr(layer, "_functional", None) is not None:
            yield from _layers(layer, path, calls * len(used))
        else:
            yield _layer(layer, path, used, calls)


def _operation(node: Any) -> Any:
    found = getattr(node, "operation", None)  # Keras 3
    return found if found is not None else node.layer


def _layer(layer: Any, path: str, nodes: Sequence[Any], calls: int) -> LayerDescription:
    flatten = libraries.tensorflow().nest.flatten
    weights = list(getattr(layer, "weights", ()))
    macs: int | None = 0
    shapes: list[Shape] = []
    for node in nodes:
        given = node.keras_inputs if hasattr(node, "keras_inputs") else node.input_tensors  # tf_keras; Keras 3
        inputs = [tuple(tensor.shape) for tensor in given]
        shapes = [tuple(t.shape) for t in flatten(node.outputs)]
        one = layer_macs(layer, inputs, shapes) if hasattr(layer, "weights") else 0
        macs = None if macs is None or one is None else macs + one * calls
    return LayerDescription(
        name=path,
        type=type(layer).__name__,
        output_shape=tuple(-1 if n is None else int(n) for n in shapes[0]) if shapes else (),
        parameters=_count(weights),
        trainable=_count(getattr(layer, "trainable_weights", ())),
        macs=macs,
        activation=_activation(layer),
    )


def _count(weights: Any) -> int:
    unique = {id(weight): weight for weight in weights}
    return sum(math.prod(int(n) for n in weight.shape) for weight in unique.values())


def _activation(layer: Any) -> str | None:
    if type(layer).__name__ in ("Softmax", "ReLU", "LeakyReLU", "ELU", "PReLU"):
        return type(layer).__name__.lower()
    found = getattr(layer, "activation", None)
    return None if found is None else _name(found)


def _last_activations(model: Any) -> tuple[str, ...]:
    found = []
    for tensor in model.outputs:
        history = getattr(tensor, "_keras_history", None)
        layer = getattr(history, "operation", None) or getattr(history, "layer", None)
        found.append(_final(layer))
    return tuple(found)


def _final(layer: Any) -> str:
    if layer is None:
        return ""
    inner = getattr(layer, "_functional", None) or layer
    if hasattr(inner, "_nodes_by_depth") and getattr(inner, "outputs", None):  # the last layer is a model
        return _last_activations(inner)[0]
    return _activation(layer) or ""


def _training(model: Any) -> Training | None:
    loss, optimizer = getattr(model, "loss", None), getattr(model, "optimizer", None)
    if loss is None and optimizer is None:
        return None
    metrics: Any = getattr(getattr(model, "_compile_metrics", None), "_user_metrics", None)
    if metrics is None:
        metrics = getattr(getattr(model, "compiled_metrics", None), "_user_metrics", None)
    return Training(
        loss=_name(loss),
        optimizer="" if optimizer is None else type(optimizer).__name__,
        metrics=tuple(_name(metric) for metric in libraries.tensorflow().nest.flatten(metrics) if metric is not None),
    )


def _name(value: Any) -> str:
    """What a loss, metric or activation is called, whichever way it was given."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_name(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_name(item) for item in value)
    return str(getattr(value, "name", None) or getattr(value, "__name__", None) or type(value).__name__)
