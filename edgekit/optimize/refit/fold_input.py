"""Takes the preprocessing into a Keras model, into the first layer's weights where that is exact."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import ModelError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.model import libraries, load
from edgekit.model.load import LoadedModel
from edgekit.optimize import written
from edgekit.optimize.refit.scaling import Scaling, scaling_of
from edgekit.optimize.refit.training_only import compile_alike
from edgekit.optimize.sparse.graph import remade, run

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D")
_TOLERANCE = 1e-4  # of the largest output: sums of other numbers round differently
_ROWS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedInput:
    """A model that takes raw values.

    Attributes:
        path: the new file.
        form: ``weights`` (no op more), ``rescaling`` (of a Rescaling layer that was there; no op more) or ``layer``
            (a Rescaling layer in front: a multiplication and an addition more).
        layer: that took it in.
        max_abs_difference: of the outputs, against the old model fed with preprocessed values, on random frames.
        losses: none, nothing is trained.
        notes: sentences for people.
        notices: what the user should know and can act on.
    """

    path: str
    form: str
    layer: str
    max_abs_difference: float
    losses: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def fold_input(
    source: str, out: str, *, preprocessing: Mapping[str, Any], trust: bool = False, on_event: EventSink = ignore
) -> FoldedInput:
    """Takes the preprocessing into the model in ``source`` and writes ``out``, which takes raw values (0 to 255).

    Into the weights and the bias of the first layer where that is exact: no padding, or nothing but a factor (zeros
    that pad stand for 0 before and after). Runs in the TensorFlow child.

    Args:
        source: Keras 3 or tf_keras model of one input; stays as it is.
        out: the new file, with the ending of the old one (``.keras`` for a SavedModel).
        preprocessing: :class:`edgekit.data.spec.Preprocessing` as JSON values.
        trust: allow code inside the model file.

    Raises:
        ModelError: a model that cannot be loaded, has several inputs, or whose outputs would change.
        UsageError: a preprocessing that is not arithmetic; ``out`` cannot be written.
    """
    scaling = scaling_of(preprocessing)
    with written.changing(source, trust=trust, on_event=on_event) as loaded:
        written.check_kind(loaded, Path(out), "given its preprocessing")
        if len(loaded.model.inputs) != 1:
            raise ModelError(
                f"{loaded.path.name} has {len(loaded.model.inputs)} inputs, and the preprocessing is for one",
                hint="build a Rescaling layer behind the input that it is for",
            )
        with task("fold-input", on_event):
            folding = _Folding(loaded, scaling)
            model = folding.done()
            difference = _difference(loaded, model, scaling)
            notices = compile_alike(loaded.model, model)
            written.write(model, Path(out))
    note = (
        f"the model takes raw values, 0 to 255: {folding.said}; the app and the dataset leave the preprocessing out "
        f"(largest difference of outputs on random frames {difference:.1e})"
    )
    return FoldedInput(
        path=out,
        form=folding.form,
        layer=folding.layer,
        max_abs_difference=difference,
        notes=(note,),
        notices=(*loaded.notices, *notices),
    )


class _Folding:
    """Makes the model anew with another first layer."""

    def __init__(self, loaded: LoadedModel, scaling: Scaling) -> None:
        self._loaded, self._scaling = loaded, scaling
        self._keras = libraries.keras() if loaded.library == "keras" else libraries.tf_keras()
        self._channels = int(loaded.model.inputs[0].shape[-1] or 0)
        self.form, self.layer, self.said = "", "", ""

    def done(self) -> Any:
        """The new model."""
        first = _first_layer(self._loaded)
        if type(first).__name__ == "Rescaling" and first is not None:
            return self._with(first, self._rescaled(first))
        if first is not None:
            folded = self._weighted(first)
            if folded is not None:
                return self._with(first, folded)
        return self._in_front()

    def _rescaled(self, first: Any) -> Any:
        import numpy

        factor, offset = self._scaling.per_channel(self._channels)
        scale = numpy.asarray(first.scale, dtype="float64")
        self.form, self.layer = "rescaling", str(first.name)
        self.said = f"its Rescaling layer {first.name!r} has the preprocessing in it, without an op more"
        return self._rescaling(factor * scale, offset * scale + numpy.asarray(first.offset), str(first.name))

    def _rescaling(self, factor: Array, offset: Array, name: str) -> Any:
        def plain(values: Array) -> Any:
            return float(values[0]) if len(set(values.tolist())) == 1 else values.tolist()

        return self._keras.layers.Rescaling(plain(factor), plain(offset), name=name)

    def _weighted(self, first: Any) -> Callable[..., Any] | None:
        """The first layer with the preprocessing in its weights; None where that would not be exact."""
        kind = type(first).__name__
        if kind != "Dense" and kind not in _CONVOLUTIONS:
            return None
        if kind != "Dense" and (
            getattr(first, "data_format", "") != "channels_last"
            or (self._scaling.shifts and first.padding != "valid")
            or getattr(first, "groups", 1) != 1
        ):
            return None
        factor, offset = self._scaling.per_channel(self._channels)
        weights = [value.astype("float64") for value in first.get_weights()]
        kernel = weights[0]
        depthwise = kind.startswith("Depthwise")
        # [..., channels, filters] alike; of a depthwise kernel, filters are the multiples of a channel
        shift = kernel * offset[:, None]
        shift = (
            shift.sum(tuple(range(kernel.ndim - 2))).ravel() if depthwise else shift.sum(tuple(range(kernel.ndim - 1)))
        )
        config = first.get_config()
        new = [kernel * factor[:, None]]
        if first.use_bias or self._scaling.shifts:
            config["use_bias"] = True
            new.append((weights[1] if first.use_bias else 0.0) + shift)
        self.form, self.layer = "weights", str(first.name)
        self.said = f"the weights of {first.name!r} have the preprocessing in them, without an op more"
        layer = type(first).from_config(config)
        return _Weighted(layer, [value.astype("float32") for value in new], first.trainable)

    def _with(self, first: Any, instead: Callable[..., Any]) -> Any:
        model = self._loaded.model

        def replace(layer: Any) -> Callable[..., Any]:
            return instead if layer is first else layer

        return remade(self._loaded.library, model, replace)

    def _in_front(self) -> Any:
        model, tensor = self._loaded.model, self._loaded.model.inputs[0]
        self.form, self.layer = "layer", "preprocessing"
        self.said = (
            "a Rescaling layer 'preprocessing' in front (a multiplication and an addition more), because the first "
            "layer cannot take it into its weights exactly"
        )
        factor, offset = self._scaling.per_channel(self._channels)
        entry = self._keras.Input(
            batch_shape=tuple(tensor.shape), dtype="float32", name=load.input_names(self._loaded)[0]
        )
        scaled = self._rescaling(factor, offset, "preprocessing")(entry)
        return self._keras.Model(entry, run(self._loaded.library, model, scaled, _itself), name=model.name)


class _Weighted:
    """A layer that gets its weights when it is first called, which is when it has places for them."""

    def __init__(self, layer: Any, weights: list[Array], trainable: bool) -> None:
        self._layer, self._weights, self._trainable = layer, weights, trainable

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        outputs = self._layer(*arguments, **keywords)
        self._layer.set_weights(self._weights)
        self._layer.trainable = self._trainable
        return outputs


def _itself(layer: Any) -> Callable[..., Any]:
    return layer  # type: ignore[no-any-return]


def _first_layer(loaded: LoadedModel) -> Any:
    """The one layer that reads the input; None where several do, or where it is a model."""
    model = loaded.model
    graph = getattr(model, "_functional", None) or model
    entry = graph.inputs[0]
    found = []
    for nodes in graph._nodes_by_depth.values():
        for node in nodes:
            tensors = [] if node.is_input else node.input_tensors if loaded.library == "keras" else node.keras_inputs
            if any(tensor is entry for tensor in tensors):
                found.append(node.operation if loaded.library == "keras" else node.layer)
    single = len(found) == 1 and not hasattr(found[0], "layers")
    return found[0] if single else None


def _difference(loaded: LoadedModel, model: Any, scaling: Scaling) -> float:
    """Largest difference of any output between raw values into the new model and preprocessed ones into the old.

    Raises:
        ModelError: more than rounding.
    """
    import numpy

    spec = load.input_specs(loaded)[0]
    shape = (_ROWS, *(16 if size < 0 else size for size in spec.shape[1:]))
    frames = numpy.random.default_rng(0).integers(0, 256, shape).astype("float32")
    before = load.forward(loaded, {spec.name: scaling.apply(frames)})
    after = load.forward(dataclasses.replace(loaded, model=model), {spec.name: frames})
    worst = 0.0
    for old, new in zip(before.values(), after.values(), strict=True):
        difference = float(numpy.abs(old.astype("float64") - new).max())
        if not difference <= _TOLERANCE * max(1e-6, float(numpy.abs(old).max())):
            raise ModelError(
                f"{loaded.path.name} with the preprocessing in it gives other outputs (by {difference:.2g})",
                hint="leave the preprocessing outside",
            )
        worst = max(worst, difference)
    return worst
