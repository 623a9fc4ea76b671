"""Pairs: fresh processes of two models side by side on one board, in an order drawn by lot, more where it is close."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from edgekit.core.errors import UsageError
from edgekit.core.events import Event, EventSink, Figures, ignore, task
from edgekit.measure import paired, statistics
from edgekit.measure.collect import Run, Turn
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.measurement import MeasuredModel
from edgekit.measure.plan import STANDARD, Plan, make_plan
from edgekit.measure.samples import Samples
from edgekit.runner.protocol import Conditions, Job

Side = Literal["baseline", "candidate"]
SIDES: tuple[Side, Side] = ("baseline", "candidate")

MARGIN = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPlan:
    """How two models are compared.

    Attributes:
        process: what each process does; its number of processes is not used.
        looks: after so many pairs it is decided, if it can be; the last number is the most.
        margin: ratios closer to 1 than this are the same for all practical purposes; 0.02 is 2 %.
        seed: of the order; drawn, and recorded, where none is given.
    """

    process: Plan = STANDARD
    looks: tuple[int, ...] = paired.LOOKS
    margin: float = MARGIN
    seed: int = field(default_factory=lambda: secrets.randbelow(2**31))

    def order(self) -> tuple[tuple[Side, Side], ...]:
        """Who goes first in each pair: every two pairs are ABBA or BAAB, by lot."""
        lot = random.Random(self.seed)  # noqa: S311 - an order, no secret
        found: list[tuple[Side, Side]] = []
        while len(found) < self.looks[-1]:
            first, second = lot.choice((SIDES, SIDES[::-1]))
            found += [(first, second), (second, first)]
        return tuple(found[: self.looks[-1]])


def make_pair_plan(
    plan: str | Plan = "standard",
    *,
    margin: float = MARGIN,
    num_runs: int | None = None,
    warmup_runs: int | None = None,
    seed: int | None = None,
) -> PairPlan:
    """A plan for comparing.

    Args:
        plan: ``standard``, ``publish``, or a plan of one's own for each process.
        margin: see :class:`PairPlan`.
        num_runs, warmup_runs: as in :func:`edgekit.measure.plan.make_plan`.
        seed: of the order of the processes.

    Raises:
        UsageError: ``quick``, which is only indicative, an unknown plan, or a number out of range.
    """
    if plan == "quick":
        raise UsageError(
            "the plan quick is only indicative; nothing is compared with it",
            hint="leave it out: pairs end by themselves as soon as they tell the two models apart",
        )
    if not 0.001 <= margin <= 0.5:
        raise UsageError(f"a margin of {margin * 100:g} % is out of range", hint="it is 0.1 to 50 %: --margin 2%")
    chosen = make_plan(plan, num_runs=num_runs, warmup_runs=warmup_runs) if isinstance(plan, str) else plan
    return (
        PairPlan(process=chosen, margin=margin) if seed is None else PairPlan(process=chosen, margin=margin, seed=seed)
    )


class Runnable(Protocol):
    """A model that is ready on a board: :class:`edgekit.verbs.ready.Ready`."""

    @property
    def run(self) -> Run:
        """Runs one job in a fresh process."""

    @property
    def job(self) -> Job:
        """Model, runtime, threads, cores and samples."""

    @property
    def limits(self) -> BoardLimits:
        """The board's."""

    @property
    def model(self) -> MeasuredModel:
        """What it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """What was measured of two models in turn; the i-th timed processes of both sides are a pair.

    Attributes:
        order: who went first in each pair.
        seed: that the order came from.
    """

    baseline: Samples
    candidate: Samples
    order: tuple[tuple[Side, Side], ...]
    seed: int

    @property
    def log_ratios(self) -> tuple[float, ...]:
        """ln(candidate / baseline) of each pair's process medians."""
        return log_ratios(self.baseline, self.candidate)


def log_ratios(baseline: Samples, candidate: Samples) -> tuple[float, ...]:
    """ln(candidate / baseline) of the medians of the processes that were run in pairs."""
    medians = [
        statistics.process_medians([trial.latency_ns for trial in side.latency]) for side in (baseline, candidate)
    ]
    return paired.log_ratios(*medians)


def collect_pairs(
    baseline: Runnable,
    candidate: Runnable,
    *,
    plan: PairPlan,
    on_event: EventSink = ignore,
    pause: Callable[[float], None] = time.sleep,
) -> Pairs:
    """Runs pairs until they can be told apart, or told to be the same, or there are enough of them.

    A board drifts (heat, neighbours), so the two processes of a pair run one right after the other, and what remains of
    the drift is shared out by lot. A process that crashed, or was throttled, is repeated as in
    :func:`edgekit.measure.collect.collect_many`.

    Args:
        baseline, candidate: ready on the same board; may be the same model.
        plan: how many pairs and what each process does.
        on_event: gets one event per process, with the figures of its side.
        pause: waits so many seconds.

    Raises:
        EdgekitError: whatever a side's ``run`` raised and repeating did not cure.
    """
    process = plan.process
    turns: dict[Side, Turn] = {
        side: Turn(
            run=one.run,
            job=one.job,
            plan=process,
            limits=one.limits,
            pause=pause,
            on_event=on_event,
            task=_TASK,
        )
        for side, one in zip(SIDES, (baseline, candidate), strict=True)
    }
    names = _names(baseline.model.name, candidate.model.name)
    watched = _Watched(turns=turns, names=names, plan=plan, on_event=on_event)
    order = plan.order()
    done = 0
    with task(_TASK, on_event):
        for look in plan.looks:
            for index in range(done, look):
                for side in order[index]:
                    watched.tell(side, index, look)
                    turns[side].process("latency", index)
            done = look
            found = log_ratios(*(turns[side].samples() for side in SIDES))
            if paired.decide(paired.interval(found), plan.margin) != "inconclusive":
                break
        for index in range(process.memory_processes):
            for side in order[index % len(order)]:
                on_event(Event(state="progress", task=_TASK, message=f"{names[side]}: memory"))
                turns[side].process("memory", index)
    return Pairs(**{side: _counted(turns[side].samples(), done) for side in SIDES}, order=order[:done], seed=plan.seed)


_TASK = "compare"


def _counted(samples: Samples, pairs: int) -> Samples:
    """Samples whose plan asks for what was agreed on the way: as many processes as there were pairs."""
    return replace(samples, plan=replace(samples.plan, processes=pairs))


def _names(baseline: str, candidate: str) -> dict[Side, str]:
    if baseline != candidate:
        return {"baseline": baseline, "candidate": candidate}
    return {"baseline": f"{baseline} (A)", "candidate": f"{candidate} (B)"}


@dataclass(slots=True, kw_only=True)
class _Watched:
    """What those who watch are told."""

    turns: dict[Side, Turn]
    names: dict[Side, str]
    plan: PairPlan
    on_event: EventSink

    def tell(self, side: Side, index: int, look: int) -> None:
        """A process is about to run."""
        trials = self.turns[side].latency
        medians = statistics.process_medians([trial.latency_ns for trial in trials])
        middle = statistics.median_of(medians)
        bounds = statistics.bootstrap_interval(medians, resamples=1000)
        self.on_event(
            Event(
                state="progress",
                task=_TASK,
                message=f"{self.names[side]}: process {index + 1} of {look}",
                fraction=index / self.plan.looks[-1],
                figures=Figures(
                    about=self.names[side],
                    done=len(trials),
                    planned=look,
                    median_ns=None if middle is None else round(middle),
                    ci95_ns=None if bounds is None else (round(bounds[0]), round(bounds[1])),
                    temperature_c=_temperature(trials[-1].after if trials else None),
                ),
            )
        )


def _temperature(conditions: Conditions | None) -> float | None:
    return None if conditions is None else conditions.temperature_c
