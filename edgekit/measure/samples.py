"""What a plan's processes measured, raw."""

from __future__ import annotations

from collections.abc import Sequence
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
        hot_start: what the board was waited for in vain, so that nothing more was timed; empty: nothing.
    """

    plan: Plan
    latency: tuple[Trial, ...]
    memory: tuple[Trial, ...]
    repeated: tuple[Repeated, ...]
    model_sha256: str
    num_threads: int
    created: str
    cold: tuple[Trial, ...] = ()
    hot_start: str = ""


def short_of(trials: Sequence[Trial], plan: Plan) -> str:
    """What all timed processes together lack of what the plan asks for; empty: nothing."""
    runs = sum(len(trial.latency_ns) * trial.batch for trial in trials)
    spent = sum(trial.wall_ns or sum(trial.latency_ns) * trial.batch for trial in trials) / 1e9
    lacks = []
    if runs < plan.total_runs:
        lacks.append(f"{runs} iterations in all, the plan {plan.name} needs {plan.total_runs}")
    if spent < plan.total_s:
        lacks.append(f"{spent:.1f} s measured in all, the plan {plan.name} needs {plan.total_s:g}")
    return "; ".join(lacks)
