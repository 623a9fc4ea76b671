"""A tf_keras model as one flat graph of the layers that TFMOT can train with quantization in mind.

Models inside the model are opened, training-only layers left out, and layers that TFMOT does not know are written as
others that compute the same: separable and one-dimensional convolutions as Conv2D and DepthwiseConv2D, activations that
it cannot simulate as layers of their own. The outputs stay the same; :func:`check` holds them to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import ModelError
from edgekit.model import libraries
from edgekit.optimize.qat.rewrite import rewritten

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

#: identity at inference
TRAINING_ONLY = (
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomContrast",
    "RandomBrightness",
    "RandomHeight",
    "RandomWidth",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
)
_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat:
    """The flat model and where its layers come from.

    Attributes:
        model: tf_keras Functional, without models inside; its inputs and outputs are lists in the original's order.
        origin: name of a layer in ``model`` → path and type of the layer that it comes from.
        shared: names of the layers that are called more than once.
        removed: paths of the training-only layers that are left out.
    """

    model: Any
    origin: dict[str, tuple[str, str]]
    shared: frozenset[str]
    removed: tuple[str, ...]


def flatten(model: Any, input_names: Sequence[str]) -> Flat:
    """The flat graph of a tf_keras Sequential or Functional model, with copies of its weights.

    Args:
        model: stays as it is.
        input_names: for the Input layers, in the order of ``model.inputs``.

    Raises:
        ModelError: a subclassed model, or a layer that cannot be made again.
    """
    keras = libraries.tf_keras()
    inputs = [
        keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
        for tensor, name in zip(model.inputs, input_names, strict=True)
    ]
    walk = _Walk(taken=set(input_names))
    outputs = walk.run(model, inputs, "")
    outputs = [_distinct(keras, tensor, index, outputs, inputs) for index, tensor in enumerate(outputs)]
    flat = keras.Model(inputs, outputs, name=model.name)
    for copy, weights in walk.weights:
        copy.set_weights(weights)
    return Flat(
        model=flat,
        origin=walk.origin,
        shared=frozenset(name for name, calls in walk.calls.items() if calls > 1),
        removed=tuple(walk.removed),
    )


def check(flat: Flat, model: Any, batch: list[Array]) -> None:
    """Compares the outputs of the flat model with the original's.

    Args:
        flat: from :func:`flatten`.
        model: the original.
        batch: flat inputs.

    Raises:
        ModelError: they differ.
    """
    import numpy

    nest = libraries.tensorflow().nest
    structure = getattr(model, "_nested_inputs", None)
    packed = nest.pack_sequence_as(structure, batch) if structure is not None else batch
    old = [numpy.asarray(value) for value in nest.flatten(model(packed, training=False))]
    new = [numpy.asarray(value) for value in nest.flatten(flat.model(batch, training=False))]
    for before, after in zip(old, new, strict=True):
        scale = max(1e-6, float(numpy.abs(before).max()))
        difference = float(numpy.abs(before - after).max())
        if not difference <= _TOLERANCE * scale:
            raise ModelError(
                f"the flat form of {model.name!r} computes something else (outputs differ by {difference:.3g} of "
                f"{scale:.3g}), so it cannot be trained with quantization in mind",
                hint="use quantize --mode int8 instead, and report this with the model's layers",
            )


@dataclass(slots=True, kw_only=True)
class _Walk:
    """Makes each layer once, however often and wherever it is called."""

    taken: set[str]
    origin: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    weights: list[tuple[Any, list[Any]]] = field(default_factory=list)
    made: dict[int, list[Any]] = field(default_factory=dict)

    def run(self, model: Any, inputs: list[Any], prefix: str) -> list[Any]:
        """Calls the layers of ``model`` on symbolic tensors; the flat outputs."""
        nest = libraries.tensorflow().nest
        graph = getattr(model, "_nodes_by_depth", None)
        if graph is None or not getattr(model, "inputs", None):
            raise ModelError(
                f"{model.name!r} is a model class of its author's, which says nothing about its layers' order",
                hint="use quantize --mode int8 instead, which needs no layers",
            )
        tensors = {id(old): new for old, new in zip(model.inputs, inputs, strict=True)}
        for depth in sorted(graph, reverse=True):
            for node in graph[depth]:
                if node.is_input:
                    continue
                arguments, options = nest.map_structure(
                    lambda value: tensors.get(id(value), value), (node.call_args, dict(node.call_kwargs))
                )
                options.pop("training", None)
                found = nest.flatten(self._call(node.layer, arguments, options, prefix))
                tensors.update((id(old), new) for old, new in zip(nest.flatten(node.outputs), found))
        return [tensors[id(tensor)] for tensor in model.outputs]

    def _call(self, layer: Any, arguments: Any, options: Mapping[str, Any], prefix: str) -> Any:
        kind = type(layer).__name__
        path = f"{prefix}{layer.name}"
        if isinstance(layer, libraries.tf_keras().Model):
            return self.run(layer, libraries.tensorflow().nest.flatten(arguments), f"{path}/")
        if kind in TRAINING_ONLY:
            self.removed.append(path)
            return libraries.tensorflow().nest.flatten(arguments)[0]
        if id(layer) not in self.made:
            self.made[id(layer)] = self._copies(layer, path)
        copies = self.made[id(layer)]
        value = copies[0](*arguments, **options)
        for copy in copies[1:]:
            value = copy(value)
        for copy in copies:
            self.calls[copy.name] = self.calls.get(copy.name, 0) + 1
        return value

    def _copies(self, layer: Any, path: str) -> list[Any]:
        name = str(layer.name)
        if name in self.taken:
            name = path.replace("/", "_")
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        try:
            parts = rewritten(layer, name)
        except Exception as error:  # a layer of the author's may refuse its own configuration
            raise ModelError(
                f"the layer {path!r} ({type(layer).__name__}) cannot be made again from its configuration: "
                f"{' '.join(str(error).split())[:200]}",
                hint="give the layer a get_config() with all arguments of its __init__",
            ) from error
        for part in parts:
            self.taken.add(part.layer.name)
            self.origin[part.layer.name] = (path, type(layer).__name__)
            self.weights.append((part.layer, part.weights))
        return [part.layer for part in parts]


def _distinct(keras: Any, tensor: Any, index: int, outputs: list[Any], inputs: list[Any]) -> Any:
    """An output that is an input, or another output too, through a layer of its own: a graph needs one each."""
    earlier = [*inputs, *outputs[:index]]
    if all(tensor is not other for other in earlier):
        return tensor
    return keras.layers.Activation("linear", name=f"output_{index}_again")(tensor)
