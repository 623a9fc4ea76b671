"""What an op's time says beside the work that it does: how near it comes to the best op of the same model.

A roofline without a data sheet (Williams et al. 2009): the roofs are the highest MACs/s and bytes/s that any op of this
model reached on this board, so they are lower bounds of what the board can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.measure.profile import OpTime

#: the runtime counts whole microseconds and rounds down: a rate from less than this is a guess
TELLING_NS = 5000.0
_SMALL = 0.01
_NEAR = 0.5
_BODIES = ("WHILE", "IF", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What an op has to do, from the file.

    Attributes:
        macs: multiply-accumulates; None where it has none, or they are not known.
        moved_bytes: of its inputs, weights and outputs, each once; None where a shape is free.
    """

    macs: int | None
    moved_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofs:
    """The best that any op of the model reached; None where no op ran long enough to tell."""

    macs_per_s: float | None
    bytes_per_s: float | None


def roofs(times: Sequence[OpTime], work: Sequence[Work]) -> Roofs:
    """Of all ops that ran for at least 5 µs."""
    telling = [(time.elapsed_ns, one) for time, one in zip(times, work) if time.elapsed_ns >= TELLING_NS]
    macs = [one.macs / ns * 1e9 for ns, one in telling if one.macs]
    moved = [one.moved_bytes / ns * 1e9 for ns, one in telling if one.moved_bytes]
    return Roofs(macs_per_s=max(macs, default=None), bytes_per_s=max(moved, default=None))


def hint(time: OpTime, work: Work, best: Roofs, *, share: float, delegate: bool) -> str:
    """One op in plain words; empty where there is nothing to say.

    Args:
        time, work: of the op.
        best: of all ops of the model.
        share: of the time of all ops.
        delegate: there is one, so that an op outside of it is remarkable.
    """
    outside = "not delegated" if delegate and not time.delegated else ""
    return "; ".join(part for part in (outside, _pace(time, work, best, share)) if part)


def _pace(time: OpTime, work: Work, best: Roofs, share: float) -> str:
    if time.name in _BODIES:
        return "holds the time of what it runs inside"
    if not time.kernels and not time.elapsed_ns:
        return "merged into another op"
    if time.elapsed_ns < TELLING_NS:
        return "too short to tell"
    if share < _SMALL:
        return "small"
    return _bound(time.elapsed_ns, work, best)


def _bound(ns: float, work: Work, best: Roofs) -> str:
    """Which roof is the lower one for so much work a byte, and how near the op comes to it."""
    macs = work.macs / ns * 1e9 if work.macs else None
    moved = work.moved_bytes / ns * 1e9 if work.moved_bytes else None
    if macs is not None and macs == best.macs_per_s:
        return "most MACs/s here"
    if moved is not None and moved == best.bytes_per_s:
        return "memory-bound: most bytes/s here"
    by_memory = work.moved_bytes / best.bytes_per_s if work.moved_bytes and best.bytes_per_s else 0.0
    by_computing = work.macs / best.macs_per_s if work.macs and best.macs_per_s else 0.0
    if not by_memory and not by_computing:
        return ""
    near = max(by_memory, by_computing) * 1e9 / ns
    bound, of = ("memory", "bytes/s") if by_memory >= by_computing else ("compute", "MACs/s")
    return f"{bound}-bound: {near:.0%} of the best {of}" if near >= _NEAR else f"slow: {near:.0%} of the best {of}"
