"""What layers that join or reshape tensors do to channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit.optimize.filters.channels import Layout, NotUnderstood
from edgekit.optimize.filters.rules import Rule, Seen, Shape, needs_channels_last

_ALIVE = ("Add", "Subtract", "Maximum", "Minimum", "Average", "CustomScaleLayer")
_MERGES = (*_ALIVE, "Multiply")  # the CustomScaleLayer of InceptionResNetV2 adds with a factor


def _merge(seen: Seen) -> Sequence[Layout | None]:
    """Add, Multiply and the like: channels that meet are one; a single channel is spread over all of them."""
    layouts = [layout for layout in seen.inputs if layout is not None]
    if len(layouts) != len(seen.inputs) or len({layout.axis for layout in layouts}) != 1:
        raise NotUnderstood("it joins tensors whose channels lie along different axes")
    widest = max(layouts, key=lambda layout: layout.ids.size)
    channels = seen.walk.channels
    for layout in layouts:
        if layout.ids.size == widest.ids.size:
            channels.unite(widest.ids, layout.ids)
        elif layout.ids.size == 1:
            channels.freeze(layout.ids, f"{seen.part.path} spreads it over all channels of another tensor")
            if seen.kind in _ALIVE:
                channels.enliven(widest.ids)
        else:
            raise NotUnderstood("it joins tensors of different width")
    return (widest,)


def _concatenate(seen: Seen) -> Sequence[Layout | None]:
    import numpy

    layouts = [layout for layout in seen.inputs if layout is not None]
    if len(layouts) != len(seen.inputs) or len({layout.axis for layout in layouts}) != 1:
        raise NotUnderstood("it joins tensors whose channels lie along different axes")
    axis = seen.layer.axis if seen.layer.axis < 0 else seen.layer.axis - len(seen.shapes[0])
    if axis == layouts[0].axis:
        return (Layout(axis=axis, ids=numpy.concatenate([layout.ids for layout in layouts])),)
    for layout in layouts[1:]:
        seen.walk.channels.unite(layouts[0].ids, layout.ids)
    return (layouts[0],)


def _flatten(seen: Seen) -> Sequence[Layout | None]:
    needs_channels_last(seen)
    return (_collapsed(seen),)


def _collapsed(seen: Seen) -> Layout:
    """All axes in one: every channel stands there once per position."""
    import numpy

    layout, shape = seen.inputs[0], seen.shapes[0]
    if layout is None or None in shape[1:]:
        raise NotUnderstood("its size is open")
    own = [1] * (len(shape) - 1)
    own[layout.axis] = layout.ids.size
    return Layout(axis=-1, ids=numpy.broadcast_to(layout.ids.reshape(own), shape[1:]).ravel())  # type: ignore[arg-type]


def _permute(seen: Seen) -> Sequence[Layout | None]:
    layout = seen.inputs[0]
    if layout is None:
        return (None,)
    rank = len(seen.shapes[0])
    place = list(seen.layer.dims).index(rank + layout.axis) + 1
    return (Layout(axis=place - rank, ids=layout.ids),)


def _reshape(seen: Seen) -> Sequence[Layout | None]:
    """Axes of length 1 come and go, all axes become one, one becomes several, or the last one stays."""
    layout, shape, target = seen.inputs[0], seen.shapes[0][1:], seen.outputs[0][1:]
    if layout is None or None in shape or None in target:
        raise NotUnderstood("its size is open")
    result = _reshaped(seen, layout, shape, target)
    wanted = tuple(seen.layer.target_shape)
    if wanted[result.axis] != -1:
        seen.walk.edit(seen.part, ("target_shape", len(wanted) + result.axis), result.ids)
    return (result,)


def _reshaped(seen: Seen, layout: Layout, shape: Shape, target: Shape) -> Layout:
    size = layout.ids.size
    place = len(shape) + layout.axis
    before, after = math.prod(shape[:place]), math.prod(shape[place + 1 :])  # type: ignore[arg-type]
    starts = [math.prod(target[:at]) for at in range(len(target))]  # type: ignore[arg-type]
    for at, length in enumerate(target):  # the same axis with the same elements before and after it
        if length == size and starts[at] == before and math.prod(target[at + 1 :]) == after:  # type: ignore[arg-type]
            return Layout(axis=at - len(target), ids=layout.ids)
    if len(target) == 1:
        return _collapsed(seen)
    if len(shape) == 1 and size == math.prod(target):  # type: ignore[arg-type]
        rows = layout.ids.reshape(-1, int(target[-1] or 1))
        for row in rows[1:]:
            seen.walk.channels.unite(rows[0], row)
        return Layout(axis=-1, ids=rows[0])
    raise NotUnderstood("it mixes channels with other axes")


SHAPE_RULES: dict[str, Rule] = {
    **dict.fromkeys(_MERGES, _merge),
    "Concatenate": _concatenate,
    "Flatten": _flatten,
    "Permute": _permute,
    "Reshape": _reshape,
}
