"""Rewrites a Keras model into the form that XNNPACK has sparse kernels for, with equal outputs.

XNNPACK wants the same number of zeros on each side of a convolution, and TensorFlow's SAME with stride 2 puts them on
one side where the size is even. Three rewrites are exact. Seen from the other end the zeros are at the beginning, and
then as many windows fit with zeros on both sides: so the image is turned around and every kernel with it. A depthwise
kernel of 3×3 lies in one of 5×5 with zeros, which begins elsewhere. And a size that is odd has equal padding already.
Further: average pooling over the whole map is GlobalAveragePooling2D, a separable convolution is a depthwise and a
1×1 one, and a first convolution on 1 channel is one on 3 with two kernels of zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import ModelError
from edgekit.model.load import LoadedModel
from edgekit.optimize.sparse import graph, writer
from edgekit.optimize.sparse.graph import Step
from edgekit.optimize.sparse.padding import Window, explicit, offset_in, same
from edgekit.optimize.sparse.writer import Place, Plan

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
    making = writer.Writer(library, plan)
    model = graph.remade(loaded.library, flat, making.replace)
    return Rewritten(
        model=model,
        pointwise=tuple(plan.pointwise),
        changes=tuple(writer.changes(plan)),
        turned=any(plan.flipped),
    )


def _plan(steps: list[Step], name: str) -> Plan:
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
    plan = Plan(stem=stem, flipped=(False, False))
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


def _plan_body(plan: Plan, body: list[Step], producers: Mapping[int, Step], readers: Mapping[int, list[Step]]) -> None:
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


def _plan_spatial(plan: Plan, step: Step, padding: Step | None) -> None:
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


def _place(step: Step, padding: Step | None, flipped: tuple[bool, bool], kernels: tuple[int, ...]) -> Place | None:
    windows = _windows(step, padding)
    for kernel in kernels:
        offsets = [offset_in(window, kernel, flipped=axis) for window, axis in zip(windows, flipped, strict=True)]
        if offsets[0] is not None and offsets[1] is not None:
            return Place(kernel=kernel, offsets=(offsets[0], offsets[1]), flipped=flipped)
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


def _refused(name: str, reasons: list[str]) -> ModelError:
    more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    return ModelError(
        f"{name} cannot be brought into the form that XNNPACK has sparse kernels for: "
        f"{'; '.join(reasons[:_SHOWN])}{more}",
        hint="for lower latency use --recipe int8 or filters-int8; the form is that of MobileNet V1 and V2",
        details={"reasons": reasons},
    )
