"""Pairs: fresh processes of two models side by side on one board, in an order drawn by lot, more where it is close."""

from __future__ import annotations

import math
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from edgekit.core.errors import UsageError
from edgekit.core.events import EventSink, ignore, task
from edgekit.measure import pace, paired
from edgekit.measure.cold import ColdStarts, collect_cold
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.cool import CoolGate, ReadNow
from edgekit.measure.measurement import MeasuredModel
from edgekit.measure.plan import STANDARD, Plan, make_plan
from edgekit.measure.samples import Samples
from edgekit.measure.turn import Run, Turn
from edgekit.runner.protocol import Job

Side = Literal["baseline", "candidate"]
SIDES: tuple[Side, Side] = ("baseline", "candidate")

MARGIN = 0.02
#: disturbed pairs are replaced while so many are not
_HOPEFUL = 1 / 3
_TASK = "compare"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPlan:
    """How two models are compared.

    Attributes:
        process: what each process does; its number of timed processes is not used.
        looks: after so many pairs that nothing disturbed it is decided, if it can be; the last number is the most.
            For disturbed pairs there are others, half of that number in all.
        margin: ratios closer to 1 than this are the same for all practical purposes; 0.02 is 2 %.
        seed: of the order; drawn, and recorded, where none is given.
        settled: whether the log ratios so far decide; None: where they do by the margin.
    """

    process: Plan = STANDARD
    looks: tuple[int, ...] = paired.LOOKS
    margin: float = MARGIN
    seed: int = field(default_factory=lambda: secrets.randbelow(2**31))
    settled: Callable[[Sequence[float]], bool] | None = None

    def order(self) -> tuple[tuple[Side, Side], ...]:
        """Who goes first in each pair: every two pairs are ABBA or BAAB, by lot."""
        lot = random.Random(self.seed)  # noqa: S311 - an order, no secret
        found: list[tuple[Side, Side]] = []
        while len(found) < self.most:
            first, second = lot.choice((SIDES, SIDES[::-1]))
            found += [(first, second), (second, first)]
        return tuple(found[: self.most])

    @property
    def most(self) -> int:
        """So many pairs at most, disturbed ones counted."""
        return self.looks[-1] + self.looks[-1] // 2

    def decides(self, log_ratios: Sequence[float]) -> bool:
        """Whether these pairs are enough."""
        if self.settled is not None:
            return self.settled(log_ratios)
        return paired.decide(paired.interval(log_ratios), self.margin) != "inconclusive"


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
        margin, seed: see :class:`PairPlan`.
        num_runs, warmup_runs: as in :func:`edgekit.measure.plan.make_plan`.

    Raises:
        UsageError: ``quick`` or anything else that is only indicative, an unknown plan, or a number out of range.
    """
    if not 0.001 <= margin <= 0.5:
        raise UsageError(f"a margin of {margin * 100:g} % is out of range", hint="it is 0.1 to 50 %: --margin 2%")
    process = plan
    if isinstance(process, str):
        process = make_plan(process, num_runs=num_runs, warmup_runs=warmup_runs)
        if process.indicative:
            raise UsageError(
                f"nothing is compared with a plan that is only indicative ({', '.join(process.indicative)})",
                hint="leave the option out: pairs end by themselves as soon as they tell the two models apart",
            )
    fewest = paired.LOOKS[0]
    process = replace(  # what a plan asks of all processes together is shared out among them
        process,
        min_runs=max(process.min_runs, math.ceil(process.total_runs / fewest)),
        min_s=max(process.min_s, process.total_s / fewest),
    )
    drawn = PairPlan(process=process, margin=margin)
    return drawn if seed is None else replace(drawn, seed=seed)


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

    @property
    def starts_cold(self) -> bool:
        """Its runner can drop cached pages before a start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """What was measured of two models in turn; the i-th timed processes of both sides are a pair.

    Attributes:
        order: who went first in each pair.
        seed: that the order came from.
        cold_problem: why there are no cold starts of both sides; empty: there are.
    """

    baseline: Samples
    candidate: Samples
    order: tuple[tuple[Side, Side], ...]
    seed: int
    cold_problem: str = ""

    @property
    def log_ratios(self) -> tuple[float, ...]:
        """ln(candidate / baseline) of each pair's process medians; see :func:`edgekit.measure.pace.log_ratios`."""
        return pace.log_ratios(self.baseline.latency, self.candidate.latency)

    @property
    def disturbed(self) -> float | None:
        """Part of the iterations that something else slowed down, 0..1; None where the runner does not tell."""
        return pace.disturbed_share((*self.baseline.latency, *self.candidate.latency))

    @property
    def calm(self) -> bool:
        """:attr:`log_ratios` are those of undisturbed iterations."""
        calm = pace.calm_log_ratios(self.baseline.latency, self.candidate.latency)
        return calm is not None and calm == self.log_ratios


def collect_pairs(
    baseline: Runnable,
    candidate: Runnable,
    *,
    plan: PairPlan,
    read_now: ReadNow | None = None,
    on_event: EventSink = ignore,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Pairs:
    """Runs pairs until they can be told apart, or told to be the same, or there are enough of them.

    A board drifts (heat, neighbours), so the two processes of a pair run one right after the other, and what remains of
    the drift is shared out by lot. Processes that crashed, were throttled or disturbed are repeated as in
    :func:`edgekit.measure.collect.collect_many`; memory and cold starts have processes of their own, which come last.

    Args:
        baseline, candidate: ready on the same board; may be the same model.
        plan: how many pairs and what each process does.
        read_now: looks at the board's sensors; with it, every timed process waits until the board is cool.
        on_event: gets events before and after each process, with the figures of its side.
        pause: waits so many seconds.
        clock: monotonic seconds.

    Raises:
        EdgekitError: whatever a side's ``run`` raised and repeating did not cure.
    """
    process = plan.process
    gate = None
    if read_now is not None:
        gate = CoolGate(read_now=read_now, wait_s=process.cool_wait_s, pause=pause, clock=clock)
    turns: dict[Side, Turn] = {
        side: Turn(
            run=one.run,
            job=one.job,
            plan=process,
            limits=one.limits,
            pause=pause,
            on_event=on_event,
            task=_TASK,
            about=name,
            gate=gate,
        )
        for side, one, name in zip(SIDES, (baseline, candidate), names(baseline, candidate), strict=True)
    }
    order = plan.order()
    with task(_TASK, on_event):
        done = _timed_pairs(turns, order, plan)
        for index in range(process.memory_processes):
            for side in order[index % len(order)]:
                turns[side].tell(f"{turns[side].about}: memory, process {index + 1} of {process.memory_processes}")
                turns[side].process("memory", index)
    cold: ColdStarts[str] = ColdStarts()
    problem = "" if baseline.starts_cold and candidate.starts_cold else "the board's runner cannot start cold"
    if not problem:
        can = {turn.about: (turn.run, turn.job) for turn in turns.values()}
        cold = collect_cold(can, plan=process, on_event=on_event)
        problem = next((error.message for error in cold.problems.values()), "")
    samples = {
        side: replace(_counted(turn.samples(), done), cold=() if problem else cold.trials.get(turn.about, ()))
        for side, turn in turns.items()
    }
    return Pairs(
        baseline=samples["baseline"],
        candidate=samples["candidate"],
        order=order[:done],
        seed=plan.seed,
        cold_problem=problem,
    )


def names(baseline: Runnable, candidate: Runnable) -> tuple[str, str]:
    """What the two sides are called; two of one name are told apart by their runtimes, or as A and B."""
    one, other = baseline.model.name, candidate.model.name
    if one != other:
        return one, other
    by, otherwise = _runtime(baseline.job), _runtime(candidate.job)
    return (f"{one} (A)", f"{one} (B)") if by == otherwise else (f"{one} ({by})", f"{one} ({otherwise})")


def _runtime(job: Job) -> str:
    return (job.module or "litert") + ("-builtin" if job.kernels == "builtin" else "")


def _timed_pairs(turns: dict[Side, Turn], order: tuple[tuple[Side, Side], ...], plan: PairPlan) -> int:
    """Runs pairs until they decide; how many there are then."""
    done = 0
    for look in plan.looks:
        for turn in turns.values():
            turn.plan = replace(turn.plan, processes=look)
        while done < plan.most and _undisturbed(turns, done) < look:
            index = done
            for side in order[index]:
                turn = turns[side]
                what, fraction = f"{turn.about}: pair {index + 1} of {max(look, index + 1)}", index / plan.most
                turn.tell(what, fraction=fraction)
                turn.process("latency", index)
                if any(one.hot_start for one in turns.values()):
                    return index  # a pair of which only one side ran is none
                turn.tell(f"{what}: {turn.last_median()}", fraction=fraction)
            done += 1
        found = pace.log_ratios(*(turns[side].latency for side in SIDES))
        if plan.decides(found):
            break
    return done


def _undisturbed(turns: dict[Side, Turn], done: int) -> int:
    """How many of the pairs count; all, where so few are undisturbed that it is no use to wait for others."""
    calm = pace.calm_log_ratios(*(turns[side].latency for side in SIDES))
    return done if calm is None or len(calm) < _HOPEFUL * done else len(calm)


def _counted(samples: Samples, pairs: int) -> Samples:
    """The samples of whole pairs, with a plan that asks for what was agreed on the way: as many processes as pairs."""
    return replace(
        samples, latency=samples.latency[:pairs], plan=replace(samples.plan, processes=pairs, most_processes=0)
    )
