"""Rewrites a Keras model into the form that XNNPACK has sparse kernels for, with equal outputs.

XNNPACK wants the same number of zeros on each side of a convolution, and TensorFlow's SAME with stride 2 puts them on
one side where the size is even. Three rewrites are exact. Seen from the other end the zeros are at the beginning, and
then as many windows fit with zeros on both sides: so the image is turned around and every kernel with it. A depthwise
kernel of 3×3 lies in one of 5×5 with zeros, which begins elsewhere. And a size that is odd has equal padding already.
Further: average pooling over the whole map is GlobalAveragePooling2D, a separable convolution is a depthwise and a
1×1 one, and a first convolution on 1 channel is one on 3 with two kernels of zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekit.core.errors import ModelError
from edgekit.model.load import LoadedModel
from edgekit.optimize.sparse import graph
from edgekit.optimize.sparse.graph import Ready, Step
from edgekit.optimize.sparse.padding import Window, explicit, offset_in, same

_SPATIAL = ("DepthwiseConv2D", "SeparableConv2D")
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """A model in the form.

    Attributes:
        model: a new Functional model of the same library.
        pointwise: names of the 1×1 convolutions that sparse kernels will run.
        changes: what was rewritten, each a sentence.
        turned: the image is turned around inside the model.
    """

    model: Any
    pointwise: tuple[str, ...]
    changes: tuple[str, ...]
    turned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """How a convolution with padding is written anew: kernel size, its place in the new kernel, whether turned."""

    kernel: int
    offsets: tuple[int, int]
    flipped: tuple[bool, bool]


@dataclass(slots=True, kw_only=True)
class _Plan:
    stem: Step
    flipped: tuple[bool, bool]
    places: dict[str, _Place] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    pooled: set[str] = field(default_factory=set)
    heads: set[str] = field(default_factory=set)
    pointwise: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def rewrite(loaded: LoadedModel) -> Rewritten:
    """The model in the form; the one given is not changed.

    Raises:
        ModelError: it cannot be brought into the form; the message says what is in the way.
    """
    flat = graph.flat_copy(loaded)
    steps = graph.steps_of(loaded.library, flat)
    plan = _plan(steps, loaded.path.name)
    if plan.reasons:
        raise _refused(loaded.path.name, plan.reasons)
    library = graph.library_of(loaded)
    writer = _Writer(library, plan)
    model = graph.remade(loaded.library, flat, writer.replace)
    return Rewritten(
        model=model,
        pointwise=tuple(plan.pointwise),
        changes=tuple(_changes(plan)),
        turned=any(plan.flipped),
    )


def _plan(steps: list[Step], name: str) -> _Plan:
    producers = {id(tensor): step for step in steps for tensor in step.outputs}
    readers: dict[int, list[Step]] = {}
    for step in steps:
        for tensor in step.inputs:
            readers.setdefault(id(tensor), []).append(step)
    stem = next((step for step in steps if step.kind in ("Conv2D", "Dense", *_SPATIAL)), None)
    if stem is None or stem.kind != "Conv2D":
        raise _refused(name, ["it has no convolution at its beginning"])
    why = _bad_stem(stem)
    if why:
        raise _refused(name, [why])
    plan = _Plan(stem=stem, flipped=(False, False))
    padding = _padding_before(stem, producers, readers)
    for flipped in ((False, False), (True, True), (False, True), (True, False)):
        place = _place(stem, padding, flipped, (3,))
        if place is not None:
            plan.flipped = flipped
            plan.places[stem.layer.name] = place
            break
    else:
        raise _refused(name, [f"no equal padding of {stem.layer.name} (Conv2D) reads the same values"])
    plan.dropped |= {padding.layer.name} if padding else set()
    _plan_body(plan, _behind(stem, readers), producers, readers)
    return plan


def _plan_body(plan: _Plan, body: list[Step], producers: Mapping[int, Step], readers: Mapping[int, list[Step]]) -> None:
    ended = False
    seen: set[str] = set()
    for step in body:
        name, kind = step.layer.name, step.kind
        ended = ended or kind == "GlobalAveragePooling2D"
        if step.sizes is None or step.sizes == (1, 1):
            plan.heads |= {name} if kind == "Conv2D" and step.sizes and _is_last(step, readers) else set()
            continue
        if name in seen and kind in (*_SPATIAL, "ZeroPadding2D"):
            plan.reasons.append(f"{name} ({kind}) is used in several places")
        seen.add(name)
        if kind == "Conv2D":
            why = _bad_pointwise(step)
            plan.reasons += [why] if why else []
            plan.pointwise += [] if why or name in plan.pointwise else [name]
        elif kind in _SPATIAL:
            _plan_spatial(plan, step, _padding_before(step, producers, readers))
        elif kind == "AveragePooling2D" and tuple(step.outputs[0].shape)[1:3] == (1, 1):
            ended = True
            plan.pooled.add(name)
        elif kind in ("Flatten", "Reshape", "Dense", "MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D"):
            plan.reasons.append(f"{name} ({kind}) is no global average pooling, with which the part must end")
    if not ended:
        plan.reasons.append("no global average pooling follows, with which the part must end")
    if not plan.pointwise:
        plan.reasons.append("it has no 1×1 convolution")


def _plan_spatial(plan: _Plan, step: Step, padding: Step | None) -> None:
    layer, name = step.layer, step.layer.name
    if tuple(layer.dilation_rate) != (1, 1) or layer.depth_multiplier != 1 or layer.data_format != "channels_last":
        plan.reasons.append(f"{name} ({step.kind}) is dilated, or has a depth multiplier")
        return
    sizes = (*dict.fromkeys((int(layer.kernel_size[0]), 5)),)
    place = _place(step, padding, plan.flipped, sizes) if sizes[0] in (3, 5) else None
    if place is None:
        kernel = "×".join(str(n) for n in layer.kernel_size)
        plan.reasons.append(
            f"{name} ({step.kind}, {kernel}, strides {layer.strides}) has no kernel of 3×3 or 5×5 with equal padding "
            "that reads the same values"
        )
        return
    plan.places[name] = place
    plan.dropped |= {padding.layer.name} if padding else set()
    plan.pointwise += [f"{name}_pointwise"] if step.kind == "SeparableConv2D" else []


def _place(step: Step, padding: Step | None, flipped: tuple[bool, bool], kernels: tuple[int, ...]) -> _Place | None:
    windows = _windows(step, padding)
    for kernel in kernels:
        offsets = [offset_in(window, kernel, flipped=axis) for window, axis in zip(windows, flipped, strict=True)]
        if offsets[0] is not None and offsets[1] is not None:
            return _Place(kernel=kernel, offsets=(offsets[0], offsets[1]), flipped=flipped)
    return None


def _windows(step: Step, padding: Step | None) -> list[Window]:
    layer = step.layer
    sizes = (padding or step).sizes
    assert sizes is not None  # the caller looked
    zeros = padding.layer.padding if padding else ((0, 0), (0, 0))
    found = []
    for size, kernel, stride, (before, after) in zip(sizes, layer.kernel_size, layer.strides, zeros, strict=True):
        if layer.padding == "same":
            window = same(size + before + after, kernel, stride)
            found.append(Window(size=size, kernel=kernel, stride=stride, before=window.before + before, out=window.out))
        else:
            found.append(explicit(size, kernel, stride, before, after))
    return found


def _padding_before(step: Step, producers: Mapping[int, Step], readers: Mapping[int, list[Step]]) -> Step | None:
    """The ZeroPadding2D whose output goes into this layer and nowhere else."""
    before = producers.get(id(step.inputs[0]))
    if before is None or before.kind != "ZeroPadding2D" or len(readers[id(step.inputs[0])]) != 1:
        return None
    return before


def _behind(stem: Step, readers: Mapping[int, list[Step]]) -> list[Step]:
    """What depends on the first convolution, each call once."""
    found: dict[int, Step] = {}
    waiting = [stem]
    while waiting:
        for tensor in waiting.pop().outputs:
            for step in readers.get(id(tensor), ()):
                if id(step) not in found:
                    found[id(step)] = step
                    waiting.append(step)
    return list(found.values())


def _is_last(step: Step, readers: Mapping[int, list[Step]]) -> bool:
    """Whether nothing behind it is larger than one place, as behind a squeeze-and-excite."""
    return all(later.sizes in (None, (1, 1)) for later in _behind(step, readers))


def _bad_stem(step: Step) -> str:
    layer = step.layer
    channels = int(layer.kernel.shape[2])
    kernel = "×".join(str(n) for n in layer.kernel_size)
    if tuple(layer.kernel_size) != (3, 3) or tuple(layer.strides) != (2, 2) or channels not in (1, 3):
        return (
            f"its first convolution, {layer.name}, is {kernel} with stride {layer.strides[0]} on {channels} channels; "
            "it must be 3×3 with stride 2 on 3 channels (or on 1)"
        )
    if layer.groups != 1 or tuple(layer.dilation_rate) != (1, 1) or layer.data_format != "channels_last":
        return f"its first convolution, {layer.name}, is in groups, dilated or channels_first"
    if step.sizes is None:
        return f"the image that {layer.name} takes has no fixed size"
    return ""


def _bad_pointwise(step: Step) -> str:
    layer = step.layer
    kernel = "×".join(str(n) for n in layer.kernel_size)
    if tuple(layer.kernel_size) != (1, 1) or layer.groups != 1 or layer.data_format != "channels_last":
        return (
            f"{layer.name} is a {kernel} convolution; behind the first one only 1×1 and depthwise convolutions have "
            "channel-first kernels"
        )
    return f"{layer.name} is a 1×1 convolution with stride {layer.strides[0]}" if tuple(layer.strides) != (1, 1) else ""


class _Writer:
    """Makes the new layers of a plan, each once."""

    def __init__(self, library: Any, plan: _Plan) -> None:
        self._library, self._plan = library, plan
        self._made: dict[int, Callable[..., Any]] = {}

    def replace(self, layer: Any) -> Callable[..., Any]:
        """What stands in the place of a layer of the flat copy."""
        if id(layer) not in self._made:
            self._made[id(layer)] = self._new(layer)
        return self._made[id(layer)]

    def _new(self, layer: Any) -> Callable[..., Any]:
        name, plan = layer.name, self._plan
        if name in plan.dropped:
            return lambda inputs, **_: inputs
        if name in plan.pooled:
            pooling = self._library.layers.GlobalAveragePooling2D(keepdims=True, name=name)
            return lambda inputs, **_: pooling(inputs)
        if name in plan.heads:
            return self._head(layer)
        place = plan.places.get(name)
        if place is None:
            return graph.copy_of(layer, self._library)  # type: ignore[no-any-return]
        if layer is plan.stem.layer:
            return self._stem(layer, place)
        return self._spatial(layer, place)

    def _stem(self, layer: Any, place: _Place) -> Callable[..., Any]:
        weights = layer.get_weights()
        channels = int(layer.kernel.shape[2])
        weights[0] = _embedded(weights[0], place)
        if channels == 1:
            weights[0] = _with_silent_channels(weights[0])
        conv = type(layer).from_config({**layer.get_config(), "padding": "valid"})
        pad = self._pad(layer.name, 1)
        three = self._library.layers.Concatenate(name=f"{layer.name}_channels") if channels == 1 else None
        steps = tuple(slice(None, None, -1) if axis else slice(None) for axis in place.flipped)
        ready = Ready(conv, weights, layer.trainable)

        def call(inputs: Any, **_: Any) -> Any:
            turned = inputs[(slice(None), *steps)] if any(place.flipped) else inputs
            return ready(pad(turned if three is None else three([turned, turned, turned])))

        return call

    def _spatial(self, layer: Any, place: _Place) -> Callable[..., Any]:
        weights = layer.get_weights()
        weights[0] = _embedded(weights[0], place)
        config = layer.get_config()
        padded = tuple(layer.strides) != (1, 1)
        changed = {"kernel_size": (place.kernel, place.kernel), "padding": "valid" if padded else "same"}
        pad = self._pad(layer.name, place.kernel // 2) if padded else None
        if type(layer).__name__ == "SeparableConv2D":
            first, last = self._separated(layer, changed, weights)
        else:
            first, last = Ready(type(layer).from_config({**config, **changed}), weights, layer.trainable), None

        def call(inputs: Any, **_: Any) -> Any:
            found = first(inputs if pad is None else pad(inputs))
            return found if last is None else last(found)

        return call

    def _separated(self, layer: Any, changed: dict[str, Any], weights: list[Any]) -> tuple[Ready, Ready]:
        layers = self._library.layers
        depthwise = layers.DepthwiseConv2D(
            changed["kernel_size"],
            strides=layer.strides,
            padding=changed["padding"],
            use_bias=False,
            name=f"{layer.name}_depthwise",
        )
        pointwise = layers.Conv2D(
            layer.filters, 1, use_bias=layer.use_bias, activation=layer.activation, name=f"{layer.name}_pointwise"
        )
        return (
            Ready(depthwise, weights[:1], layer.trainable),
            Ready(pointwise, weights[1:], layer.trainable),
        )

    def _head(self, layer: Any) -> Callable[..., Any]:
        """A convolution on one place as a dense layer: behind the pooling LiteRT 2.2 cannot load a convolution."""
        layers, weights = self._library.layers, layer.get_weights()
        weights[0] = weights[0].reshape(weights[0].shape[-2:])
        flat = layers.Reshape((int(weights[0].shape[0]),), name=f"{layer.name}_flat")
        dense = layers.Dense(layer.filters, use_bias=layer.use_bias, activation=layer.activation, name=layer.name)
        back = layers.Reshape((1, 1, layer.filters), name=f"{layer.name}_place")
        ready = Ready(dense, weights, layer.trainable)
        return lambda inputs, **_: back(ready(flat(inputs)))

    def _pad(self, name: str, zeros: int) -> Any:
        return self._library.layers.ZeroPadding2D(((zeros, zeros), (zeros, zeros)), name=f"{name}_pad")


def _embedded(kernel: Any, place: _Place) -> Any:
    """The kernel, turned where the image is, inside the larger one: [height, width, …]."""
    import numpy

    turned = kernel[tuple(slice(None, None, -1) if axis else slice(None) for axis in place.flipped)]
    found = numpy.zeros((place.kernel, place.kernel, *kernel.shape[2:]), kernel.dtype)
    rows, columns = place.offsets
    found[rows : rows + kernel.shape[0], columns : columns + kernel.shape[1]] = turned
    return found


def _with_silent_channels(kernel: Any) -> Any:
    import numpy

    return numpy.concatenate([kernel, numpy.zeros_like(kernel), numpy.zeros_like(kernel)], axis=2)


def _changes(plan: _Plan) -> list[str]:
    found = []
    if any(plan.flipped):
        axes = " and ".join(name for name, axis in zip(("height", "width"), plan.flipped, strict=True) if axis)
        found.append(
            f"the image is turned around along {axes} inside the model, and every kernel with it: so the zeros of SAME "
            "padding lie where XNNPACK's sparse kernels want them"
        )
    if plan.heads:
        found.append(f"{', '.join(sorted(plan.heads))}: a 1×1 convolution on one place is a dense layer")
    larger = [name for name, place in plan.places.items() if place.kernel == 5 and max(place.offsets) > 0]
    if larger:
        found.append(f"{', '.join(larger)}: the kernel of 3×3 lies in one of 5×5, whose padding is equal on all sides")
    if plan.pooled:
        found.append(f"{', '.join(sorted(plan.pooled))}: average pooling over the whole map is GlobalAveragePooling2D")
    split = [
        name.removesuffix("_pointwise") for name in plan.pointwise if name.removesuffix("_pointwise") in plan.places
    ]
    if split:
        found.append(f"{', '.join(split)}: split into a depthwise and a 1×1 convolution")
    if int(plan.stem.layer.kernel.shape[2]) == 1:
        found.append(f"{plan.stem.layer.name}: takes the one channel three times, two of them with kernels of zeros")
    return found


def _refused(name: str, reasons: list[str]) -> ModelError:
    more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    return ModelError(
        f"{name} cannot be brought into the form that XNNPACK has sparse kernels for: "
        f"{'; '.join(reasons[:_SHOWN])}{more}",
        hint="for lower latency use --recipe int8 or filters-int8; the form is that of MobileNet V1 and V2",
        details={"reasons": reasons},
    )
