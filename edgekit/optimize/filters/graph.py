"""Dependency analysis: which channels of a model belong together, and which must stay, from its layer graph.

Every position along a channel axis carries a channel number. Layers that make channels (convolutions, Dense) hand
out new numbers, layers that act on each channel pass them on, Add makes two numbers one, Concatenate and Flatten
arrange them; so a channel is cut everywhere or nowhere (Fang et al. 2023, "DepGraph", arXiv:2301.12900).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.optimize.filters.channels import Channels, Layout, NotUnderstood, Part, Walk
from edgekit.optimize.filters.nodes import Call, calls, graph, is_model, maker
from edgekit.optimize.filters.operations import is_operation, operation
from edgekit.optimize.filters.rules import RULES, Seen, Shape, fixed
from edgekit.optimize.filters.rules_norm import NORM_RULES
from edgekit.optimize.filters.rules_shape import SHAPE_RULES

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_RULES = {**RULES, **NORM_RULES, **SHAPE_RULES}
_SEVERAL = frozenset(("MultiHeadAttention", *SHAPE_RULES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Channels that are ranked against each other, because the same layers make them.

    Attributes:
        name: path of the first layer that makes them; ``attention/units`` for the second kind that a layer makes.
        layers: paths of all that make them.
        unit: ``filters``, ``units``, ``heads`` or ``dimensions``.
        channels: their numbers, in the order of the first layer.
        reasons: per channel why it must stay, or None.
    """

    name: str
    layers: tuple[str, ...]
    unit: str
    channels: Array
    reasons: tuple[str | None, ...]

    @property
    def frozen(self) -> str | None:
        """Why none of them may go; None where some may."""
        if len(self.reasons) == 1 and self.reasons[0] is None:
            return "it has a single channel, or all its channels belong together"
        return self.reasons[0] if all(self.reasons) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What the analysis of a model found.

    Attributes:
        groups: in the order of computation.
        parts: layers whose weights or configuration follow channels; by id of the layer.
        channels: which of their numbers are one.
        unknown: path → why its channels cannot be followed.
    """

    groups: tuple[Group, ...]
    parts: Mapping[int, Part]
    channels: Channels
    unknown: Mapping[str, str]

    def group(self, name: str) -> Group:
        """The group of this name."""
        return next(group for group in self.groups if group.name == name)


def analyse(model: Any, library: str) -> Dependencies:
    """Walks the graph of a model.

    Args:
        model: Functional or Sequential.
        library: ``keras`` or ``tf_keras``, whose it is.

    Raises:
        ModelError: a subclassed model.
    """
    walker = _Walker(library)
    outside = graph(model)
    inputs = [walker.fixed(tuple(tensor.shape), "the model's input") for tensor in outside.inputs]
    outputs = walker.model(model, inputs, "")
    for layout in outputs:
        if layout is not None:
            walker.walk.channels.freeze(layout.ids, "they are an output of the model", foremost=True)
    return Dependencies(
        groups=_groups(walker.walk),
        parts=walker.walk.parts,
        channels=walker.walk.channels,
        unknown=walker.unknown,
    )


class _Walker:
    def __init__(self, library: str) -> None:
        self.walk = Walk()
        self.unknown: dict[str, str] = {}
        self._library = library

    def fixed(self, shape: Shape, reason: str) -> Layout | None:
        if len(shape) < 2 or shape[-1] is None:
            return None
        return Layout(axis=-1, ids=self.walk.fixed(int(shape[-1]), reason))

    def model(self, model: Any, inputs: Sequence[Layout | None], place: str) -> list[Layout | None]:
        """Follows the channels from a model's inputs to its outputs."""
        known = {id(tensor): layout for tensor, layout in zip(graph(model).inputs, inputs)}
        for call in calls(model, self._library):
            given = tuple(known.get(id(tensor)) for tensor in call.inputs)
            made = self._called(call, given, f"{place}{call.layer.name}")
            known.update((id(tensor), layout) for tensor, layout in zip(call.outputs, made))
        return [known.get(id(tensor)) for tensor in graph(model).outputs]

    def _called(self, call: Call, inputs: tuple[Layout | None, ...], path: str) -> Sequence[Layout | None]:
        layer, inner = call.layer, getattr(call.layer, "layer", None)
        kind = type(layer).__name__
        if is_model(layer):
            return self._nested(layer, call, inputs, path)
        shapes = tuple(tuple(tensor.shape) for tensor in call.inputs)
        outputs = tuple(tuple(tensor.shape) for tensor in call.outputs)
        part = self.walk.part(path, layer)
        if kind == "TimeDistributed" and len(call.inputs) == 1:
            if is_model(inner):
                return self._nested(inner, call, inputs, path)
            part.inside = ("layer", "config")
            layer, kind = inner, type(inner).__name__
            shapes = tuple((shape[0], *shape[2:]) for shape in shapes)
            outputs = tuple((shape[0], *shape[2:]) for shape in outputs)
        seen = Seen(
            walk=self.walk,
            part=part,
            layer=layer,
            inputs=inputs,
            shapes=shapes,
            outputs=outputs,
            names=call.names,
            kind=kind,
        )
        try:
            if is_operation(layer):
                return operation(seen, call, self._library)
            if kind not in _RULES or not _is_standard(layer):
                raise NotUnderstood(_why_unknown(layer))
            found = _RULES[kind](seen)
        except NotUnderstood as reason:
            return self._unknown(seen, str(reason))
        if kind not in _SEVERAL:
            self._freeze(inputs[1:], f"{part.path} ({kind}) reads them in a way of its own")
        return found

    def _unknown(self, seen: Seen, reason: str) -> Sequence[Layout | None]:
        path, kind = seen.part.path, type(seen.part.layer).__name__
        self.unknown.setdefault(path, reason)
        for cut in seen.part.cuts.values():
            self.walk.channels.freeze(cut.ids, f"{path} ({kind}): {reason}")
        self._freeze(seen.inputs, f"{path} ({kind}) reads them: {reason}")
        return [fixed(seen, shape, f"{path} ({kind}): {reason}") for shape in seen.outputs]

    def _freeze(self, layouts: Sequence[Layout | None], reason: str) -> None:
        for layout in layouts:
            if layout is not None:
                self.walk.channels.freeze(layout.ids, reason)

    def _nested(self, model: Any, call: Call, inputs: Sequence[Layout | None], path: str) -> Sequence[Layout | None]:
        given = self._in_order(model, call, inputs)
        for tensor, layout in zip(graph(model).inputs, given):
            layer = maker(tensor)
            key = next((key for key in ("batch_shape", "batch_input_shape") if key in layer.get_config()), None)
            if layout is not None and key is not None:
                part = self.walk.part(f"{path}/{layer.name}", layer)
                self.walk.edit(part, (key, len(tensor.shape) + layout.axis), layout.ids)
        return self.model(model, given, f"{path}/")

    def _in_order(self, model: Any, call: Call, inputs: Sequence[Layout | None]) -> Sequence[Layout | None]:
        """The layouts in the order of the inner model's inputs, which may be given by name."""
        inside = graph(model)
        by_name = call.args[0] if call.args and isinstance(call.args[0], Mapping) else None
        struct = getattr(inside, "_inputs_struct" if self._library == "keras" else "_nested_inputs", None)
        if by_name is None or not isinstance(struct, Mapping):
            return inputs[: len(inside.inputs)]
        known = {id(tensor): layout for tensor, layout in zip(call.inputs, inputs)}
        places = {id(tensor): key for key, tensor in struct.items()}
        return [known.get(id(by_name[places[id(tensor)]])) for tensor in inside.inputs]


def _is_standard(layer: Any) -> bool:
    return type(layer).__module__.partition(".")[0] in ("keras", "tf_keras")


def _why_unknown(layer: Any) -> str:
    kind = type(layer).__name__
    if kind == "Lambda":
        return "a Lambda may do anything with channels"
    if not _is_standard(layer):
        return "a layer of the author's own may do anything with channels"
    return "edgekit does not know what it does to channels"


def _groups(walk: Walk) -> tuple[Group, ...]:
    channels = walk.channels
    makers: dict[int, dict[tuple[str, str], None]] = {}
    for channel, made_by in enumerate(channels.makers):
        if made_by is not None:
            makers.setdefault(channels.root(channel), {})[made_by] = None
    found: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for root, several in makers.items():
        found.setdefault(tuple(several), []).append(root)
    names: set[str] = set()
    groups = []
    for own, roots in found.items():
        path, unit = own[0]
        name = path if path not in names else f"{path}/{unit}"
        while name in names:
            name += "'"
        names.add(name)
        groups.append(_group(name, tuple(path for path, _ in own), unit, roots, channels))
    return tuple(groups)


def _group(name: str, layers: tuple[str, ...], unit: str, roots: list[int], channels: Channels) -> Group:
    import numpy

    return Group(
        name=name,
        layers=layers,
        unit=unit,
        channels=numpy.array(roots, dtype=numpy.int64),
        reasons=tuple(channels.reason(root) for root in roots),
    )
