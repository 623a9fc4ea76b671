"""What each standard layer does to channels: makes them, reads them, passes them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.optimize.filters.channels import Layout, NotUnderstood, Part, Walk

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One call of a layer as a rule sees it.

    Attributes:
        walk: where to write things down.
        part: the layer's record.
        layer: the layer, or the one inside a TimeDistributed.
        inputs: layout of each tensor that goes in; None where the number of channels is open.
        shapes: of them.
        outputs: shapes of what comes out.
        names: of the inputs: their place among the arguments (``0``), or the argument's name.
        kind: type of the layer, or of the layer that an operation is like.
    """

    walk: Walk
    part: Part
    layer: Any
    inputs: tuple[Layout | None, ...]
    shapes: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    names: tuple[str, ...]
    kind: str

    def argument(self, *names: str) -> int:
        """Which input was given under one of these names, the first that was."""
        found = next((name for name in names if name in self.names), None)
        if found is None:
            raise NotUnderstood(f"it is called without {names[-1]}")
        return self.names.index(found)

    def last(self, index: int = 0) -> Array:
        """The channels of an input, along its last axis."""
        layout = self.inputs[index]
        if layout is None or layout.axis != -1:
            raise NotUnderstood("it reads channels along another axis than the last")
        return layout.ids

    def activation(self, ids: Array) -> None:
        """The layer's activation acts on these channels."""
        from edgekit.optimize.filters.probe import acts_alone

        function = getattr(self.layer, "activation", None)
        if function is None:
            return
        alone, keeps_zero = acts_alone(function)
        if not alone:
            name = getattr(function, "__name__", type(function).__name__)
            self.walk.channels.freeze(ids, f"the activation {name} of {self.part.path} compares channels")
        elif not keeps_zero:
            self.walk.channels.enliven(ids)


Rule = Callable[[Seen], Sequence[Layout | None]]


def along_last(ids: Array) -> tuple[Layout]:
    """The answer of a rule with one output, channels last."""
    return (Layout(axis=-1, ids=ids),)


def needs_channels_last(seen: Seen) -> None:
    """Raises:
    NotUnderstood: the layer keeps channels first.
    """
    if getattr(seen.layer, "data_format", "channels_last") == "channels_first":
        raise NotUnderstood("it keeps channels first, which no .tflite does")


def _same(seen: Seen) -> Sequence[Layout | None]:
    """Pooling, padding, dropout: every channel goes through by itself."""
    needs_channels_last(seen)
    return (seen.inputs[0],)


def _elementwise(seen: Seen) -> Sequence[Layout | None]:
    from edgekit.optimize.filters.probe import acts_alone

    layout = seen.inputs[0]
    if layout is not None:
        alone, keeps_zero = acts_alone(seen.layer)
        if not alone:
            seen.walk.channels.freeze(layout.ids, f"{seen.part.path} ({seen.kind}) compares or counts them")
        elif not keeps_zero:
            seen.walk.channels.enliven(layout.ids)
    return (layout,)


def _normalization(seen: Seen) -> Sequence[Layout | None]:
    layout = seen.inputs[0]
    if layout is not None:
        seen.walk.channels.freeze(layout.ids, f"{seen.part.path} holds a mean and a variance of the data for each")
    return (layout,)


def _softmax(seen: Seen) -> Sequence[Layout | None]:
    layout = seen.inputs[0]
    if layout is not None:
        seen.walk.channels.freeze(layout.ids, f"{seen.part.path} compares them (softmax)")
    return (layout,)


def _convolution(seen: Seen) -> Sequence[Layout | None]:
    needs_channels_last(seen)
    walk, part, layer, ids = seen.walk, seen.part, seen.layer, seen.last()
    made = walk.made(part, int(layer.filters), "filters")
    groups = int(getattr(layer, "groups", 1) or 1)
    if groups > 1:
        _grouped(seen, ids, made, groups)
    else:
        walk.cut(part, layer.kernel, -2, ids, "input")
    walk.cut(part, layer.kernel, -1, made, "filter")
    walk.cut(part, getattr(layer, "bias", None), -1, made, "bias")
    walk.edit(part, ("filters",), made)
    seen.activation(made)
    return along_last(made)


def _grouped(seen: Seen, ids: Array, made: Array, groups: int) -> None:
    """Whole groups go, or the same channel of every group, whichever leaves more to choose from."""
    walk = seen.walk
    inputs, outputs = ids.reshape(groups, -1), made.reshape(groups, -1)
    if groups >= inputs.shape[1]:
        for own_inputs, own_outputs in zip(inputs, outputs):
            walk.channels.unite(own_inputs, own_inputs[:1].repeat(own_inputs.size))
            walk.channels.unite(own_outputs, own_inputs[:1].repeat(own_outputs.size))
        walk.edit(seen.part, ("groups",), inputs[:, 0])
        return
    for own_inputs, own_outputs in zip(inputs, outputs):
        walk.channels.unite(own_inputs, inputs[0])
        walk.channels.unite(own_outputs, outputs[0])
    walk.cut(seen.part, seen.layer.kernel, -2, inputs[0], "input")


def _transposed(seen: Seen) -> Sequence[Layout | None]:
    needs_channels_last(seen)
    walk, part, layer = seen.walk, seen.part, seen.layer
    made = walk.made(part, int(layer.filters), "filters")
    walk.cut(part, layer.kernel, -1, seen.last(), "input")
    walk.cut(part, layer.kernel, -2, made, "filter")
    walk.cut(part, getattr(layer, "bias", None), -1, made, "bias")
    walk.edit(part, ("filters",), made)
    seen.activation(made)
    return along_last(made)


def _depthwise(seen: Seen) -> Sequence[Layout | None]:
    needs_channels_last(seen)
    layer, ids = seen.layer, seen.last()
    kernel = layer.kernel if getattr(layer, "kernel", None) is not None else layer.depthwise_kernel
    passed = ids.repeat(int(layer.depth_multiplier))
    seen.walk.cut(seen.part, kernel, -2, ids, "pass")
    seen.walk.cut(seen.part, getattr(layer, "bias", None), -1, passed, "bias")
    seen.activation(passed)
    return along_last(passed)


def _separable(seen: Seen) -> Sequence[Layout | None]:
    needs_channels_last(seen)
    walk, part, layer, ids = seen.walk, seen.part, seen.layer, seen.last()
    made = walk.made(part, int(layer.filters), "filters")
    walk.cut(part, layer.depthwise_kernel, -2, ids, "input")
    walk.cut(part, layer.pointwise_kernel, -2, ids.repeat(int(layer.depth_multiplier)), "input")
    walk.cut(part, layer.pointwise_kernel, -1, made, "filter")
    walk.cut(part, getattr(layer, "bias", None), -1, made, "bias")
    walk.edit(part, ("filters",), made)
    seen.activation(made)
    return along_last(made)


def _dense(seen: Seen) -> Sequence[Layout | None]:
    walk, part, layer = seen.walk, seen.part, seen.layer
    made = walk.made(part, int(layer.units), "units")
    walk.cut(part, layer.kernel, -2, seen.last(), "input")
    walk.cut(part, layer.kernel, -1, made, "filter")
    walk.cut(part, getattr(layer, "bias", None), -1, made, "bias")
    walk.edit(part, ("units",), made)
    seen.activation(made)
    return along_last(made)


def _embedding(seen: Seen) -> Sequence[Layout | None]:
    walk, part, layer = seen.walk, seen.part, seen.layer
    made = walk.made(part, int(layer.output_dim), "dimensions")
    walk.cut(part, layer.embeddings, -1, made, "filter")
    walk.edit(part, ("output_dim",), made)
    return along_last(made)


def _recurrent(seen: Seen) -> Sequence[Layout | None]:
    """Reads channels; its own units stay."""
    if len(seen.inputs) > 1:
        raise NotUnderstood("it is given states from outside")
    cells = [
        getattr(inner, "cell", None)
        for inner in (
            (seen.layer.forward_layer, seen.layer.backward_layer)
            if hasattr(seen.layer, "forward_layer")
            else (seen.layer,)
        )
    ]
    if any(getattr(cell, "kernel", None) is None for cell in cells):
        raise NotUnderstood("its cell is not one of Keras'")
    for cell in cells:
        assert cell is not None
        seen.walk.cut(seen.part, cell.kernel, 0, seen.last(), "input")
    reason = f"units of {seen.part.path} ({type(seen.layer).__name__}) feed its own state: recurrent units stay"
    return [fixed(seen, shape, reason) for shape in seen.outputs]


def fixed(seen: Seen, shape: Shape, reason: str) -> Layout | None:
    """Channels of an output that nobody may cut."""
    if len(shape) < 2 or shape[-1] is None:
        return None
    return Layout(axis=-1, ids=seen.walk.fixed(int(shape[-1]), reason))


_SAME = (
    *(
        f"{kind}{rank}D"
        for kind in (
            *("MaxPooling", "AveragePooling", "GlobalAveragePooling", "GlobalMaxPooling", "AdaptiveAveragePooling"),
            *("AdaptiveMaxPooling", "ZeroPadding", "Cropping", "UpSampling", "SpatialDropout"),
        )
        for rank in (1, 2, 3)
    ),
    *("Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization", "Identity"),
    *("Resizing", "CenterCrop", "RepeatVector", "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation"),
    *("RandomCrop", "RandomHeight", "RandomWidth", "StochasticDepth"),
)
_ELEMENTWISE = ["Activation", "ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Rescaling"]

RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    "Softmax": _softmax,
    "Normalization": _normalization,
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), _convolution),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _transposed),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable),
    "Dense": _dense,
    "Embedding": _embedding,
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "Bidirectional"), _recurrent),
}
