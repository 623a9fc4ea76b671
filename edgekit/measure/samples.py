"""What a plan's processes measured, raw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgekit.measure.plan import Plan
from edgekit.runner.protocol import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """A process that was thrown away and run again.

    Attributes:
        index: which process of its mode, from 0.
        reason: why, with its code in front.
        trial: what it measured, where it got that far; it is in no statistic.
    """

    mode: Literal["latency", "memory"]
    index: int
    reason: str
    trial: Trial | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Everything that was measured of one model on one board with one thread count.

    Attributes:
        latency, memory, cold: one trial per process, in the order they ran.
        repeated: the processes that do not count.
        model_sha256, num_threads: what was asked for.
        created: when collecting began, ISO 8601 in UTC.
    """

    plan: Plan
    latency: tuple[Trial, ...]
    memory: tuple[Trial, ...]
    repeated: tuple[Repeated, ...]
    model_sha256: str
    num_threads: int
    created: str
    cold: tuple[Trial, ...] = ()
