"""Chooses the layers to keep out of int8: none, those found by a search, and why each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from edgekit.core.events import EventSink
from edgekit.optimize.edge_quantizer import EdgeQuantizer
from edgekit.optimize.quantize import TensorflowQuantizer
from edgekit.optimize.selective import words
from edgekit.optimize.selective.culprits import Culprit, rank, share
from edgekit.optimize.selective.layers import Graph, Layer
from edgekit.optimize.selective.rows import Figures, SearchRows
from edgekit.optimize.selective.search import Part, Search

KeepAs = Literal["float32", "int16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A layer, or an op of one, that is not in int8.

    Attributes:
        name: of the layer; ``layer:OP`` for one op of it.
        macs_share: its part of the model's multiply-accumulates.
        drop_without: what the model would lose if this one were in int8 as well; None where it was not tried.
        alone_snr_db: signal to noise at the output with only this layer in int8; None where it was not ranked.
        reason: why it is kept.
    """

    name: str
    macs_share: float
    drop_without: float | None
    alone_snr_db: float | None
    reason: str


class Chooser:
    """Finds the layers to keep."""

    def __init__(
        self,
        work: TensorflowQuantizer | EdgeQuantizer,
        graph: Graph,
        rows: SearchRows,
        keep_as: KeepAs,
        max_drop: float,
    ) -> None:
        self.ranking: tuple[Culprit, ...] = ()
        self.all_kept: Figures | None = None
        self.attempts = Search(lambda tensors: rows.figures(self.build(tensors)), max_drop)
        self._work, self._graph, self._rows, self._keep_as = work, graph, rows, keep_as

    def build(self, tensors: Collection[str]) -> bytes:
        """The model with these ops kept, and the ops between them that only move values."""
        return self._work.build(self._graph.with_moving(tensors) if tensors else (), self._keep_as)

    def search(self, on_event: EventSink) -> list[Part]:
        """The layers to keep; none where plain int8 holds, and the best that was found where nothing does."""
        if self.attempts.holds([]):
            return []
        every = [part_of(layer) for layer in self._graph.layers]
        self.all_kept = self.attempts.figures(every)
        bare = dataclasses.replace(self._work, mode="int8-float-io")
        self.ranking = rank(self._graph, bare.build, self.build, self._rows, on_event)
        place = {culprit.name: number for number, culprit in enumerate(self.ranking)}
        ranked = sorted(every, key=lambda part: place[part.name])
        if not self.attempts.holds(every):
            return self._nearest(ranked)
        loud = {culprit.name: culprit.alone.noise for culprit in self.ranking}
        cost = {layer.name: 1.0 + layer.macs for layer in self._graph.layers}
        kept = self.attempts.thin(self.attempts.grow(ranked), lambda part: loud[part.name] / cost[part.name])
        return self._ops_of(kept)

    def _nearest(self, ranked: list[Part]) -> list[Part]:
        """Where even all layers kept do not hold: the fewest of those that lose the least."""
        best = self.attempts.figures(ranked)
        wanted = Search(self.attempts.attempt, best.drop if best.drop is not None else 0.0)
        wanted.tried = self.attempts.tried  # one list: nothing is tried twice, and all of it is told
        return [] if wanted.holds([]) else wanted.thin(wanted.grow(ranked), lambda part: -ranked.index(part))

    def _ops_of(self, parts: list[Part]) -> list[Part]:
        """The same without ops of a layer that are not needed."""
        layers = {layer.name: layer for layer in self._graph.layers}
        ops: list[Part] = []
        for part in parts:
            layer = layers[part.name]
            kinds = [kind if layer.kinds.count(kind) == 1 else f"{kind}@{n}" for n, kind in enumerate(layer.kinds)]
            single = [Part(name=f"{layer.name}:{kind}", tensors=(t,)) for kind, t in zip(kinds, layer.tensors)]
            ops += single if len(single) > 1 else [part]
        if len(ops) == len(parts):
            return parts
        left = {part.name for part in self.attempts.thin(ops, lambda _: 0.0)}
        found: list[Part] = []
        for part in parts:  # a layer all of whose ops are needed is called by its own name
            own = [op for op in ops if op.name == part.name or op.name.startswith(f"{part.name}:")]
            needed = [op for op in own if op.name in left]
            found += [part] if len(needed) == len(own) else needed
        return found

    def described(self, part: Part, parts: list[Part], *, by_user: bool) -> Kept:
        """A part that is kept, with what it would cost in int8."""
        layer = next(layer for layer in self._graph.layers if set(part.tensors) <= set(layer.tensors))
        culprit = next((item for item in self.ranking if item.name == layer.name), None)
        others = [other for other in parts if other is not part]
        lost = None if by_user else self.attempts.figures(others).drop
        snr = None if culprit is None else culprit.alone.snr_db
        reason = "named by the user" if by_user else words.reason(lost, snr, self._rows.unit)
        of_all = share(layer, self._graph)
        return Kept(name=part.name, macs_share=of_all, drop_without=lost, alone_snr_db=snr, reason=reason)


def part_of(layer: Layer) -> Part:
    """A layer as what is kept or not."""
    return Part(name=layer.name, tensors=layer.tensors)
