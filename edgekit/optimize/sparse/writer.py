"""The new layers of a rewritten model: kernels turned or enlarged, poolings and heads in XNNPACK's form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgekit.optimize.sparse import graph
from edgekit.optimize.sparse.graph import Ready, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How a convolution with padding is written anew: kernel size, its place in the new kernel, whether turned."""

    kernel: int
    offsets: tuple[int, int]
    flipped: tuple[bool, bool]


@dataclass(slots=True, kw_only=True)
class Plan:
    """What becomes of each layer.

    Attributes:
        stem: the first convolution.
        flipped: whether the image is turned around, along height and width.
        places: layer → how its kernel is written anew.
        dropped: padding layers that go into the convolution behind them.
        pooled: average poolings over the whole map.
        heads: convolutions on one place, behind the pooling.
        pointwise: the 1×1 convolutions.
        reasons: what is in the way.
    """

    stem: Step
    flipped: tuple[bool, bool]
    places: dict[str, Place] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    pooled: set[str] = field(default_factory=set)
    heads: set[str] = field(default_factory=set)
    pointwise: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


class Writer:
    """Makes the new layers of a plan, each once."""

    def __init__(self, library: Any, plan: Plan) -> None:
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

    def _stem(self, layer: Any, place: Place) -> Callable[..., Any]:
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

    def _spatial(self, layer: Any, place: Place) -> Callable[..., Any]:
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


def _embedded(kernel: Any, place: Place) -> Any:
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


def changes(plan: Plan) -> list[str]:
    """What is rewritten, in sentences."""
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
