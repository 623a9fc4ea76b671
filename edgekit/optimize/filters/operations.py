"""What operations that are no layers (``x + y``, ``keras.ops.relu(x)``, ``tf.nn.relu(x)``) do to channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from edgekit.model import libraries
from edgekit.optimize.filters.channels import Layout, NotUnderstood
from edgekit.optimize.filters.nodes import Call, is_tensor
from edgekit.optimize.filters.probe import acts_alone
from edgekit.optimize.filters.rules import Seen
from edgekit.optimize.filters.rules_shape import SHAPE_RULES

_LAYERS = {  # the name that tf_keras keeps of a function → the layer that does the same
    "__operators__.add": "Add",
    "math.add": "Add",
    "__operators__.sub": "Subtract",
    "math.subtract": "Subtract",
    "__operators__.mul": "Multiply",
    "math.multiply": "Multiply",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "concat": "Concatenate",
}
_MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")


def is_operation(layer: Any) -> bool:
    """Whether it is a function of Keras or TensorFlow in the place of a layer."""
    if type(layer).__name__ in ("TFOpLambda", "SlicingOpLambda"):
        return True
    return type(layer).__module__.startswith("keras.src.ops.")


def operation(seen: Seen, call: Call, library: str) -> Sequence[Layout | None]:
    """The layouts behind an operation; what it does to the channels of one tensor is found out by trying it.

    Raises:
        NotUnderstood: it mixes channels, or may.
    """
    kind = type(call.layer).__name__
    axis = getattr(call.layer, "axis", None)
    if library == "tf_keras":
        kind = _LAYERS.get(str(call.layer.get_config().get("function")), "")
        axis = call.kwargs.get("axis", call.args[1] if len(call.args) > 1 else None)
    if kind == "Concatenate" and isinstance(axis, int):
        return SHAPE_RULES[kind](dataclasses.replace(seen, kind=kind, layer=SimpleNamespace(axis=axis)))
    if len(call.inputs) > 1 and kind in _MERGES and not any(_is_constant(value, library) for value in call.args):
        return SHAPE_RULES[kind](dataclasses.replace(seen, kind=kind))
    if len(call.inputs) == 1:
        return (_tried(seen, call, library),)
    raise NotUnderstood("edgekit does not know what it does to channels")


def _is_constant(value: Any, library: str) -> bool:
    return hasattr(value, "shape") and not is_tensor(value, library)


def _tried(seen: Seen, call: Call, library: str) -> Layout:
    layout, shape = seen.inputs[0], seen.shapes[0]
    if layout is None or layout.axis != -1 or len(seen.outputs) != 1 or seen.outputs[0][-1:] != shape[-1:]:
        raise NotUnderstood("it moves or mixes channels")
    function = call.layer if library == "tf_keras" else call.layer.call

    def run(value: Any) -> Any:
        def filled(item: Any) -> Any:
            return value if is_tensor(item, library) else item

        structure = libraries.tensorflow().nest.map_structure
        return function(*structure(filled, list(call.args)), **structure(filled, dict(call.kwargs)))

    alone, keeps_zero = acts_alone(run, (2, *(size or 8 for size in shape[1:-1]), 8))
    if not alone:
        raise NotUnderstood("it mixes channels, or counts them")
    if not keeps_zero:
        seen.walk.channels.enliven(layout.ids)
    return layout
