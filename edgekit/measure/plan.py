"""The plan: how many fresh processes, and how long each one warms up and measures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edgekit.core.errors import UsageError
from edgekit.core.suggest import unknown
from edgekit.runner.protocol import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one model is measured.

    Attributes:
        name: ``quick``, ``standard`` or ``publish``; options may have changed the numbers.
        processes: fresh processes that time inferences; the unit of replication.
        most_processes: more are added, up to so many, while the interval is wider than ``aim``; 0: none are.
        aim: longer arm of the 95 % interval of the median, over the median, that is narrow enough.
        max_time_s: none is added later than this after the first began; None: as long again as the planned ones took.
        memory_processes: further processes that only follow memory.
        cold_processes: further processes that start with a dropped page cache; they end after their first run.
        warmup_runs, warmup_s: each process warms up for at least both.
        warmup_max_s: where the pace is not steady by then, measuring begins all the same.
        min_runs, min_s: each process measures for at least both ...
        max_s: ... and ends here all the same.
        total_runs, total_s: inferences and measured time that all processes must have together.
        retries: how often a process that crashed, was throttled, hot or disturbed is repeated.
        cooldown_s: pause before repeating a throttled or hot one.
        cool_wait_s: how long to wait before a process until the board is cool.
        needs_all_sensors: a sensor that does not tell makes the result unstable.
        seed: of the bootstrap; the same samples give the same interval.
    """

    name: str
    processes: int = 10
    most_processes: int = 0
    aim: float = 0.01
    max_time_s: float | None = None
    memory_processes: int = 2
    cold_processes: int = 3
    warmup_runs: int = 1
    warmup_s: float = 0.5
    warmup_max_s: float = 30.0
    min_runs: int = 64
    min_s: float = 2.0
    max_s: float = 150.0
    total_runs: int = 0
    total_s: float = 0.0
    retries: int = 2
    cooldown_s: float = 30.0
    cool_wait_s: float = 300.0
    needs_all_sensors: bool = False
    seed: int = 0

    @property
    def indicative(self) -> tuple[str, ...]:
        """In what this plan does less than ``standard`` asks for; empty where it does not."""
        ask = STANDARD
        found = (
            (self.processes < ask.processes, f"{self.processes} processes instead of {ask.processes}"),
            (self.min_runs < ask.min_runs, f"{self.min_runs} iterations instead of {ask.min_runs}"),
            (self.min_s < ask.min_s, f"{self.min_s:g} s each instead of {ask.min_s:g} s"),
            (self.warmup_runs < ask.warmup_runs, "no warm-up run"),
        )
        return tuple(text for less, text in found if less)

    def job(self, base: Job, mode: Literal["latency", "memory", "cold"]) -> Job:
        """``base`` with this plan's numbers; a memory process needs few iterations, and claims no times."""
        return replace(
            base,
            mode=mode,
            warmup_runs=self.warmup_runs,
            warmup_s=self.warmup_s if mode == "latency" else 0.0,
            warmup_max_s=self.warmup_max_s,
            min_runs=self.min_runs if mode == "latency" else min(self.min_runs, 16),
            min_s=self.min_s if mode == "latency" else min(self.min_s, 0.5),
            max_s=self.max_s,
        )

    @property
    def time_limit_s(self) -> float:
        """After this long a process on the board counts as hung: its longest plan and two minutes to load."""
        return max(self.warmup_s, self.warmup_max_s) + self.max_s + 120.0


STANDARD = Plan(name="standard", most_processes=30)
QUICK = Plan(
    name="quick",
    processes=3,
    memory_processes=1,
    cold_processes=1,
    min_s=0.5,
    warmup_s=0.25,
    warmup_max_s=10.0,
    max_s=30.0,
    cooldown_s=5.0,
    cool_wait_s=60.0,
)
# 10 processes of 103 inferences and 6 s are the 1024 inferences and 60 s that MLPerf asks for.
PUBLISH = replace(
    STANDARD, name="publish", min_runs=103, min_s=6.0, total_runs=1024, total_s=60.0, needs_all_sensors=True
)
PLANS = {plan.name: plan for plan in (STANDARD, QUICK, PUBLISH)}


def make_plan(
    name: str = "standard",
    *,
    num_runs: int | None = None,
    warmup_runs: int | None = None,
    processes: int | None = None,
    max_time_s: float | None = None,
) -> Plan:
    """A named plan with a user's numbers in it.

    Args:
        name: ``quick``, ``standard`` or ``publish``.
        num_runs: least number of measured iterations in each process.
        warmup_runs: least number of warm-up runs in each process.
        processes: fresh processes; exactly so many.
        max_time_s: no process is added later than this; see :class:`Plan`.

    Raises:
        UsageError: no such plan, or a number that cannot be measured with.
    """
    if name not in PLANS:
        message, hint = unknown("plan", name, PLANS)
        raise UsageError(message, hint=hint)
    limits = (("--num-runs", num_runs, 1), ("--warmup-runs", warmup_runs, 0), ("--processes", processes, 1))
    for option, value, least in limits:
        if value is not None and not least <= value <= 1_000_000:
            raise UsageError(f"{option} {value}: out of range", hint=f"{option} takes {least} to 1000000")
    plan = PLANS[name]
    if max_time_s is not None and not 0 <= max_time_s <= 86_400:
        raise UsageError(f"--max-time {max_time_s:g}: out of range", hint="--max-time takes 0 to 86400 seconds")
    if max_time_s is not None and not plan.most_processes:
        raise UsageError(
            f"the plan {name} never adds processes, so --max-time means nothing to it",
            hint="leave it out, or use --plan standard",
        )
    return replace(
        plan,
        min_runs=plan.min_runs if num_runs is None else num_runs,
        warmup_runs=plan.warmup_runs if warmup_runs is None else warmup_runs,
        processes=plan.processes if processes is None else processes,
        most_processes=plan.most_processes if processes is None else 0,
        max_time_s=max_time_s,
    )
