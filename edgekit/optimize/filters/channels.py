"""Channels that must be cut together: which slice of which weight belongs to which channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

Role = Literal["filter", "bias", "input", "pass", "scale", "shift", "mean", "variance"]
"""What a slice of a weight is to its channel: ``filter`` makes it, ``input`` reads it, the others act on it."""


class NotUnderstood(Exception):
    """A layer whose channels cannot be followed; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The channels of one tensor.

    Attributes:
        axis: that they lie along, counted from the end (-1: the last).
        ids: one channel number per position along the axis; the same number may stand there several times.
    """

    axis: int
    ids: Array


@dataclass(slots=True, kw_only=True)
class Cut:
    """One axis of one weight, position by position the channel that it belongs to."""

    weight: int
    axis: int
    ids: Array
    role: Role


@dataclass(slots=True, kw_only=True)
class Edit:
    """A number in a layer's configuration that counts channels.

    Attributes:
        keys: where it stands; an integer is a position in a list.
        ids: the channels that it counts.
    """

    keys: tuple[str | int, ...]
    ids: Array


@dataclass(slots=True, kw_only=True)
class Part:
    """A layer that holds weights or sizes which follow channels.

    Attributes:
        path: ``outer/inner``.
        layer: the layer object.
        cuts: (weight, axis) → cut.
        inside: where the configuration of a wrapped layer lies in that of its wrapper.
        edits: keys → edit.
    """

    path: str
    layer: Any
    inside: tuple[str, ...] = ()
    cuts: dict[tuple[int, int], Cut] = field(default_factory=dict)
    edits: dict[tuple[str | int, ...], Edit] = field(default_factory=dict)


class Channels:
    """All channels of a model, and which of them are the same one (union-find)."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self.makers: list[tuple[str, str] | None] = []
        self._frozen: dict[int, str] = {}
        self._alive: set[int] = set()

    def fresh(self, count: int, maker: tuple[str, str] | None) -> Array:
        """New channels; ``maker``: path of the layer that makes them, and what it makes (``filters``, ``heads``)."""
        import numpy

        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        self.makers.extend([maker] * count)
        return numpy.arange(first, first + count)

    def root(self, channel: int) -> int:
        """The number that stands for all channels that are one with this one."""
        parent = self._parent
        while parent[channel] != channel:
            parent[channel] = parent[parent[channel]]
            channel = parent[channel]
        return channel

    def roots(self, ids: Array) -> Array:
        """:meth:`root` of each."""
        import numpy

        distinct, places = numpy.unique(ids, return_inverse=True)
        found = numpy.array([self.root(int(channel)) for channel in distinct], dtype=numpy.int64)
        return found[places].reshape(ids.shape)

    def unite(self, left: Array, right: Array) -> None:
        """Makes channels one, position by position."""
        import numpy

        if left.shape != right.shape:
            raise NotUnderstood(f"{left.size} channels meet {right.size}")
        pairs = numpy.unique(numpy.stack([left.ravel(), right.ravel()], axis=1), axis=0)
        for one, other in pairs.tolist():
            first, second = sorted((self.root(one), self.root(other)))
            if first == second:
                continue
            self._parent[second] = first
            reason = self._frozen.pop(second, None)
            if reason is not None:
                self._frozen.setdefault(first, reason)
            if second in self._alive:
                self._alive.add(first)

    def freeze(self, ids: Array, reason: str, *, foremost: bool = False) -> None:
        """These channels must stay, and why; the first reason counts, or the ``foremost``."""
        for channel in set(self.roots(ids).tolist()):
            if foremost:
                self._frozen[channel] = reason
            self._frozen.setdefault(channel, reason)

    def enliven(self, ids: Array) -> None:
        """These channels are not zero where their weights are (behind a sigmoid, say)."""
        self._alive.update(self.roots(ids).tolist())

    def reason(self, root: int) -> str | None:
        """Why a channel must stay; None: it may go."""
        return self._frozen.get(root)

    def alive(self, roots: Sequence[int]) -> set[int]:
        """Of these, the ones that are not zero where their weights are."""
        return {self.root(channel) for channel in self._alive}.intersection(roots)


class Walk:
    """What the rules write down while the graph is walked; each call is safe to repeat for a layer called twice."""

    def __init__(self) -> None:
        self.channels = Channels()
        self.parts: dict[int, Part] = {}
        self._made: dict[tuple[str, str], Array] = {}

    def part(self, path: str, layer: Any) -> Part:
        """The record of a layer, under the path where it was met first."""
        return self.parts.setdefault(id(layer), Part(path=path, layer=layer))

    def made(self, part: Part, count: int, what: str) -> Array:
        """The channels that a layer makes."""
        key = (part.path, what)
        if key not in self._made:
            self._made[key] = self.channels.fresh(count, key)
        return self._made[key]

    def cut(self, part: Part, weight: Any, axis: int, ids: Array, role: Role) -> None:
        """An axis of a weight (None: the layer has none) follows these channels."""
        if weight is None:
            return
        index = next((i for i, known in enumerate(part.layer.weights) if known is weight), None)
        if index is None or int(weight.shape[axis]) != ids.size:
            raise NotUnderstood("its weights are not where Keras keeps them")
        axis = axis % len(weight.shape)
        known = part.cuts.get((index, axis))
        if known is None:
            part.cuts[index, axis] = Cut(weight=index, axis=axis, ids=ids, role=role)
        else:
            self.channels.unite(known.ids, ids)

    def edit(self, part: Part, keys: tuple[str | int, ...], ids: Array) -> None:
        """A number in the configuration counts these channels."""
        keys = (*part.inside, *keys)
        known = part.edits.get(keys)
        if known is None:
            part.edits[keys] = Edit(keys=keys, ids=ids)
        else:
            self.channels.unite(known.ids, ids)

    def fixed(self, count: int, reason: str) -> Array:
        """Channels that nobody may cut."""
        ids = self.channels.fresh(count, None)
        self.channels.freeze(ids, reason)
        return ids
