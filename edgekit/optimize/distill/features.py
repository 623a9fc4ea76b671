"""Feature maps of student and teacher brought together while the student trains.

After Romero et al., "FitNets: hints for thin deep nets", 2015, arXiv:1412.6550: the squared error between two feature
maps, the student's widened by a 1×1 projection that learns along and is thrown away. Here at every resolution, and all
the time instead of before.
"""

from __future__ import annotations

from typing import Any

from edgekit.core.errors import ModelError, UsageError
from edgekit.model import libraries, load
from edgekit.model.load import LoadedModel
from edgekit.optimize.distill.targets import match

_SMALLEST = 1e-6


def joined(student: LoadedModel, teacher: LoadedModel, first: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """A model with the student's inputs, outputs and layers that adds the distance of the feature maps to any loss.

    Args:
        student: the model that learns.
        teacher: a model of the same library; its weights stay as they are.
        first: some rows, input name → array [rows, …], for the scale of the teacher's maps.

    Returns:
        The model to train, and the pairs of layers: ``student layer = teacher layer``.

    Raises:
        UsageError: the two models belong to different libraries.
        ModelError: there is no pair of layers with the same resolution.
    """
    if student.library != teacher.library:
        raise UsageError(
            f"feature maps need both models in one library; {student.path.name} belongs to {student.library}, "
            f"{teacher.path.name} to {teacher.library}",
            hint="leave the features out, or save the student with the teacher's library",
        )
    library = libraries.keras() if student.library == "keras" else libraries.tf_keras()
    pairs = _pairs(student.model, teacher.model)
    if not pairs:
        raise ModelError(
            f"no layer of {student.path.name} has the resolution of one of {teacher.path.name}'s",
            hint="leave the features out",
        )
    order = match(load.input_specs(teacher), load.input_specs(student), teacher=teacher.path.name, what="input")
    tensors = dict(zip(load.input_names(teacher), teacher.model.inputs, strict=True))
    looked_at = library.Model([tensors[name] for name in order], [there.output for _, there in pairs])
    looked_at.trainable = False
    names = load.input_names(student)
    seen = _as_list(looked_at.predict([first[name] for name in names], verbose=0, batch_size=64))
    weights = [1.0 / (len(pairs) * max(_SMALLEST, float(value.var()))) for value in seen]
    theirs = _as_list(looked_at(list(student.model.inputs), training=False))
    ours = [
        here.output
        if here.output.shape[-1] == there.output.shape[-1]
        else library.layers.Dense(int(there.output.shape[-1]), name=f"projection_{index}")(here.output)
        for index, (here, there) in enumerate(pairs)
    ]
    graph: Any = getattr(student.model, "_functional", None) or student.model
    keras3 = student.library == "keras"
    inputs = getattr(graph, "_inputs_struct" if keras3 else "_nested_inputs")
    outputs = getattr(graph, "_outputs_struct" if keras3 else "_nested_outputs")
    distance = _distance_layer(library, weights)
    flatten = library.tree if keras3 else libraries.tensorflow().nest
    flat = list(flatten.flatten(outputs))
    flat[0] = distance([flat[0], *ours, *theirs])
    model = library.Model(inputs, flatten.pack_sequence_as(outputs, flat))
    return model, tuple(f"{here.name} = {there.name}" for here, there in pairs)


def _pairs(student: Any, teacher: Any) -> list[tuple[Any, Any]]:
    """For every resolution that both have, the last layer of each; a layer of the teacher by name where it has it."""
    here, there = _last_layers(student), _last_layers(teacher)
    named = {layer.name: layer for layer in _inner(teacher)}
    pairs = []
    for resolution, layer in here.items():
        other = named.get(layer.name)
        if other is None or tuple(other.output.shape[1:-1]) != resolution:
            other = there.get(resolution)
        if other is not None:
            pairs.append((layer, other))
    return pairs


def _last_layers(model: Any) -> dict[tuple[int | None, ...], Any]:
    """Resolution (the shape without batch and channels) → the last layer that has it."""
    return {tuple(layer.output.shape[1:-1]): layer for layer in _inner(model)}


def _inner(model: Any) -> list[Any]:
    """The layers between inputs and outputs with one output of two dimensions or more; no nested models."""
    ends = {id(tensor) for tensor in model.outputs} | {id(tensor) for tensor in model.inputs}
    found = []
    for layer in model.layers:
        if getattr(layer, "layers", None):
            continue  # its output is that of its own graph, not of the call here
        try:
            tensor = layer.output
        except (AttributeError, ValueError, RuntimeError):  # called several times, or never
            continue
        if hasattr(tensor, "shape") and len(tensor.shape) >= 2 and id(tensor) not in ends and _learns_before(layer):
            found.append(layer)
    return found


def _learns_before(layer: Any) -> bool:
    """Not a layer that only prepares the input or puts values in another order."""
    return type(layer).__name__ not in ("Rescaling", "Normalization", "InputLayer", "Flatten", "Reshape", "Dropout")


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _distance_layer(library: Any, weights: list[float]) -> Any:
    tf = libraries.tensorflow()

    class Distance(library.layers.Layer):  # type: ignore[misc, name-defined, unused-ignore]
        """Lets the first tensor through and adds the weighted squared errors of the others to the loss."""

        def call(self, values: Any) -> Any:
            first, *maps = values
            ours, theirs = maps[: len(weights)], maps[len(weights) :]
            for weight, one, other in zip(weights, ours, theirs, strict=True):
                error = tf.square(tf.cast(one, tf.float32) - tf.cast(other, tf.float32))
                self.add_loss(weight * tf.reduce_mean(error))
            return first

    return Distance(name="feature_distance")
