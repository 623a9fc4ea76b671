"""The verdict: may these samples be used, and why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from edgekit.measure.checks import agreement, board, identity, known
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.reason import Reason as Reason
from edgekit.measure.samples import Samples

Status = Literal["valid", "unstable", "invalid"]

_CHECKS: tuple[Callable[[Samples, BoardLimits], Iterator[Reason]], ...] = (
    identity.same_work,
    identity.delegate,
    identity.amount,
    board.cooling,
    board.clocks,
    board.contention,
    board.memory,
    agreement.spread,
    agreement.steadiness,
    board.beforehand,
    board.wall_clock,
    known.circumstances,
    known.sensors,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Valid, unstable (shown, but not to be built on) or invalid (not to be used), with every reason."""

    status: Status
    reasons: tuple[Reason, ...]


def judge(samples: Samples, limits: BoardLimits | None = None) -> Verdict:
    """Judges samples by what they say themselves and by what the board's sensors said meanwhile."""
    limits = limits or BoardLimits()
    reasons = tuple(reason for check in _CHECKS for reason in check(samples, limits))
    weights = {reason.weight for reason in reasons}
    status: Status = "invalid" if "invalid" in weights else "unstable" if "unstable" in weights else "valid"
    order = ("invalid", "unstable", "note")
    return Verdict(status=status, reasons=tuple(sorted(reasons, key=lambda reason: order.index(reason.weight))))
