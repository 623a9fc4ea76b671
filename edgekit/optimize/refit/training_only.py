"""Takes layers that do something in training alone out of a model: dropout, noise, augmentation; outputs stay equal."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import ModelError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.model import libraries, load
from edgekit.model.load import LoadedModel
from edgekit.optimize import written
from edgekit.optimize.refit.samples import samples
from edgekit.optimize.sparse.graph import remade

_KINDS = frozenset(
    {
        *("Dropout", "AlphaDropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise"),
        *("GaussianDropout", "ActivityRegularization", "MixUp", "CutMix", "RandAugment", "AugMix"),
    }
)
_TOLERANCE = 1e-6  # of the largest output: the same arithmetic, which a compiler may order in another way


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A model without its training-only layers.

    Attributes:
        path: the new file.
        removed: paths of the layers that are gone, each with its type.
        left: layers of these types that stayed, each with the reason.
        max_abs_difference: of the outputs before and after.
        losses: none, nothing is trained.
        notes: sentences for people.
        notices: what the user should know and can act on.
    """

    path: str
    removed: tuple[str, ...]
    left: tuple[str, ...]
    max_abs_difference: float
    losses: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def training_only(source: str, out: str, *, trust: bool = False, on_event: EventSink = ignore) -> Removed:
    """Removes the training-only layers of the model in ``source`` and writes ``out``. Runs in the TensorFlow child.

    A layer goes only if it gives back what it is given, in inference, to the last bit; nested models are entered. Loss,
    optimizer, names and weights of all other layers stay.

    Args:
        source: Keras 3 or tf_keras model; stays as it is.
        out: the new file, with the ending of the old one (``.keras`` for a SavedModel).
        trust: allow code inside the model file.

    Raises:
        ModelError: a model that cannot be loaded, is nothing but such layers, or whose outputs would change.
        UsageError: ``out`` cannot be written.
    """
    with written.changing(source, trust=trust, on_event=on_event) as loaded:
        written.check_kind(loaded, Path(out), "freed of layers")
        with task("training-only", on_event):
            removal = _Removal(loaded.library)
            model = removal.without(loaded.model)
            if model is None:
                raise ModelError(
                    f"{loaded.path.name} consists of training-only layers: {', '.join(removal.removed)}",
                    hint="name the model that these layers belong to",
                )
            if removal.removed:
                difference, notices = _difference(loaded, model), compile_alike(loaded.model, model)
            else:
                difference, notices = 0.0, (_nothing(loaded, removal.left),)
            written.write(model, Path(out))
    return _record(out, removal, difference, (*loaded.notices, *notices))


class _Removal:
    """Makes models anew without the layers; the layers that stay are the same objects, with their weights."""

    def __init__(self, library: str) -> None:
        self._name = library
        self._keras = libraries.keras() if library == "keras" else libraries.tf_keras()
        self._made: dict[int, Any] = {}
        self._passes: dict[int, str] = {}
        self.removed: list[str] = []
        self.left: list[str] = []

    def without(self, model: Any, place: str = "") -> Any:
        """The model without them; the model itself where it has none."""
        if id(model) not in self._made:
            self._made[id(model)] = self._without(model, place)
        return self._made[id(model)]

    def _without(self, model: Any, place: str) -> Any:
        keras = self._keras
        layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
        goes = {id(layer) for layer in layers if self._goes(layer, f"{place}{layer.name}")}
        inner = {}
        for layer in layers:
            if isinstance(layer, keras.Model) and not _is_subclassed(layer):
                inner[id(layer)] = self.without(layer, f"{place}{layer.name}/")
        if not goes and all(inner[id(layer)] is layer for layer in layers if id(layer) in inner):
            return model
        empty = {key for key, made in inner.items() if made is None}
        kept = [layer for layer in layers if id(layer) not in goes | empty]
        if not kept:
            return None  # nothing but augmentation: the model around it does without
        if isinstance(model, keras.Sequential):
            return self._sequential(model, [inner.get(id(layer), layer) for layer in kept])

        def replace(layer: Any) -> Callable[..., Any]:
            if id(layer) in goes | empty:
                return _unchanged
            return inner.get(id(layer), layer)  # type: ignore[no-any-return]

        return remade(self._name, model, replace)

    def _sequential(self, model: Any, layers: list[Any]) -> Any:
        tensor = model.inputs[0]
        history = tensor._keras_history
        name = str((history.operation if self._name == "keras" else history.layer).name)
        entry = self._keras.layers.Input(batch_shape=tuple(tensor.shape), dtype=_dtype(tensor), name=name)
        return self._keras.Sequential([entry, *layers], name=model.name)

    def _goes(self, layer: Any, path: str) -> bool:
        kind = type(layer).__name__
        if kind not in _KINDS and not kind.startswith("Random"):
            return False
        if id(layer) not in self._passes:
            self._passes[id(layer)] = self._reason(layer)
            if self._passes[id(layer)]:
                self.left.append(f"{path} ({self._passes[id(layer)]})")
            else:
                self.removed.append(f"{path} ({kind})")
        return not self._passes[id(layer)]

    def _reason(self, layer: Any) -> str:
        """Why a layer must stay; empty where it gives back what it is given."""
        if type(layer).__module__.partition(".")[0] not in ("keras", "tf_keras"):
            return "it is a class of its author's"
        node = (layer._inbound_nodes if self._name == "keras" else layer.inbound_nodes)[0]
        tensors = node.input_tensors if self._name == "keras" else node.keras_inputs
        if len(tensors) != 1:
            return "it has several inputs"
        (tensor,), output = tensors, libraries.tensorflow().nest.flatten(node.outputs)[0]
        if _dtype(tensor) != _dtype(output):
            return f"it also converts {_dtype(tensor)} to {_dtype(output)}"
        if self._name == "tf_keras" and _always_trains(layer):
            return "it was called with training=True, so it acts in inference too"
        return "" if _gives_back(layer, tensor) else "it changes its input in inference too"


def _unchanged(inputs: Any, *arguments: Any, **keywords: Any) -> Any:
    del arguments, keywords  # training=True, a seed: nothing that matters without the layer
    return inputs


def _is_subclassed(model: Any) -> bool:
    return not (hasattr(model, "_nodes_by_depth") or getattr(model, "_functional", None) is not None)


def _always_trains(layer: Any) -> bool:
    """Whether a call of tf_keras has ``training=True`` for ever; Keras 3 lets the model's call decide."""
    return any(node.call_kwargs.get("training") is True for node in layer.inbound_nodes) and not type(
        layer
    ).__name__.startswith("Random")


def _gives_back(layer: Any, tensor: Any) -> bool:
    import numpy

    tf = libraries.tensorflow()
    shape = [2, *(8 if size is None else int(size) for size in tensor.shape[1:])]
    value = numpy.random.default_rng(0).uniform(0, 1, shape).astype(_dtype(tensor))
    given = layer(tf.constant(value), training=False)
    return bool(numpy.array_equal(numpy.asarray(given), value))


def _dtype(tensor: Any) -> str:
    found = tensor.dtype
    return found if isinstance(found, str) else str(found.name)


def _difference(loaded: LoadedModel, model: Any) -> float:
    """Largest difference of any output on samples of several ranges.

    Raises:
        ModelError: larger than rounding.
    """
    import numpy

    other = dataclasses.replace(loaded, model=model)
    worst = 0.0
    for inputs in samples(load.input_specs(loaded)):
        before, after = load.forward(loaded, inputs), load.forward(other, inputs)
        for old, new in zip(before.values(), after.values(), strict=True):
            difference = float(numpy.abs(old.astype("float64") - new).max()) if old.size else 0.0
            if not difference <= _TOLERANCE * max(1.0, float(numpy.abs(old).max())):
                raise ModelError(
                    f"without its training-only layers {loaded.path.name} gives other outputs (by {difference:.2g})",
                    hint="leave the training-only step out",
                )
            worst = max(worst, difference)
    return worst


def compile_alike(model: Any, new: Any) -> tuple[Notice, ...]:
    """Compiles the new model with the loss, optimizer and metrics of the old one."""
    if not (getattr(model, "compiled", False) or getattr(model, "_is_compiled", False)):
        return ()
    with contextlib.suppress(Exception):  # what cannot be told from a configuration, a function of the author's
        new.compile_from_config(model.get_compile_config())
        return ()
    message = "loss, optimizer and metrics could not be carried over to the model without training-only layers"
    return (Notice(code="compile-lost", message=message, hint="name the loss with --loss where a step trains"),)


def _nothing(loaded: LoadedModel, left: list[str]) -> Notice:
    why = f" that can be taken out: {', '.join(left)}" if left else ""
    return Notice(
        code="nothing-to-remove",
        message=f"{loaded.path.name} has no layer that works in training alone (dropout, noise, augmentation){why}; "
        "it stays as it is",
        hint="leave the training-only step out",
    )


def _record(out: str, removal: _Removal, difference: float, notices: tuple[Notice, ...]) -> Removed:
    if not removal.removed:
        return Removed(path=out, removed=(), left=tuple(removal.left), max_abs_difference=0.0, notices=notices)
    notes = [
        f"{len(removal.removed)} layers that work in training alone taken out: {', '.join(removal.removed)}; the "
        f"outputs are equal (largest difference {difference:.1e}). A .tflite never has them, so it gets neither "
        "smaller nor faster; the toolkits that rewrite models take more of them, and fine-tuning after this step works "
        "without dropout and augmentation",
    ]
    if removal.left:
        notes.append(f"left as they are: {', '.join(removal.left)}")
    return Removed(
        path=out,
        removed=tuple(removal.removed),
        left=tuple(removal.left),
        max_abs_difference=difference,
        notes=tuple(notes),
        notices=notices,
    )
