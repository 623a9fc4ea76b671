"""The fewest layers out of int8 with which the allowed drop holds: grown along a ranking, then thinned out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgekit.optimize.selective.rows import Figures

Try = Callable[[frozenset[str]], Figures]
"""Figures of the model with the ops kept out of int8 whose first outputs have these names."""

_ONE_BY_ONE = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A set of layers that was tried.

    Attributes:
        kept: names of the layers out of int8; of an op where only a part of a layer was kept.
        figures: what came of it.
    """

    kept: tuple[str, ...]
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is kept or not as a whole: a layer, or one op of it.

    Attributes:
        name: for people.
        tensors: first outputs of its ops.
    """

    name: str
    tensors: tuple[str, ...]


@dataclass(slots=True)
class Search:
    """One search.

    Attributes:
        tried: every set, in order.
    """

    attempt: Try
    max_drop: float
    tried: list[Candidate] = field(default_factory=list)

    def figures(self, parts: Sequence[Part]) -> Figures:
        """Of a set; tried once."""
        names = tuple(sorted(part.name for part in parts))
        known = next((item.figures for item in self.tried if item.kept == names), None)
        if known is not None:
            return known
        found = self.attempt(frozenset(tensor for part in parts for tensor in part.tensors))
        self.tried.append(Candidate(kept=names, figures=found))
        return found

    def holds(self, parts: Sequence[Part]) -> bool:
        """Whether the allowed drop holds with this set."""
        return self.figures(parts).within(self.max_drop)

    def grow(self, ranked: Sequence[Part]) -> list[Part]:
        """The shortest beginning of a ranking that holds, by bisection; all of it is known to hold."""
        fails, good = 0, len(ranked)
        while good - fails > 1:
            middle = (fails + good) // 2
            if self.holds(ranked[:middle]):
                good = middle
            else:
                fails = middle
        return list(ranked[:good])

    def thin(self, parts: Sequence[Part], order: Callable[[Part], float]) -> list[Part]:
        """Leaves out what is not needed, the lowest ``order`` first; long lists in halves before one by one."""
        left = sorted(parts, key=order)
        size = len(left) // 2 if len(left) > _ONE_BY_ONE else 1
        while size >= 1:
            start = 0
            while start < len(left):
                rest = left[:start] + left[start + size :]
                if rest and self.holds(rest):
                    left = rest
                else:
                    start += size
            size = 0 if size == 1 else max(1, size // 2)
        return left
