"""The loop that collects samples: fresh processes of several models in turn, until their figures are narrow."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from edgekit.core.errors import EdgekitError
from edgekit.core.events import EventSink, ignore, task
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.cool import CoolGate, ReadNow
from edgekit.measure.plan import Plan
from edgekit.measure.samples import Samples
from edgekit.measure.turn import TASK, Mode, Run, Turn
from edgekit.runner.protocol import Job

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected(Generic[Key]):
    """What came of measuring several models in turn: samples, or the error that ended a model's turn."""

    samples: dict[Key, Samples] = field(default_factory=dict)
    errors: dict[Key, EdgekitError] = field(default_factory=dict)


def collect(
    run: Run,
    *,
    plan: Plan,
    base_job: Job,
    limits: BoardLimits | None = None,
    read_now: ReadNow | None = None,
    on_event: EventSink = ignore,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Samples:
    """Runs a plan: the latency processes, then the memory processes.

    Args:
        run: runs one job in a fresh process on the board, within so many seconds.
        plan: how many processes, how long.
        base_job: model, library, threads and samples; the plan fills in the rest.
        limits: of the board; a process beyond them is repeated after a pause.
        read_now: looks at the board's sensors; with it, every timed process waits until the board is cool.
        on_event: gets events before and after each process, with the figures so far.
        pause: waits so many seconds.
        clock: monotonic seconds.

    Raises:
        EdgekitError: whatever ``run`` raised and repeating did not cure.
    """
    result = collect_many(
        {"": (run, base_job)},
        plan=plan,
        limits={"": limits},
        read_now=read_now,
        on_event=on_event,
        pause=pause,
        clock=clock,
    )
    if result.errors:
        raise result.errors[""]
    return result.samples[""]


def collect_many(
    runs: Mapping[Key, tuple[Run, Job]],
    *,
    plan: Plan,
    limits: Mapping[Key, BoardLimits | None] | None = None,
    read_now: ReadNow | None = None,
    on_event: EventSink = ignore,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Collected[Key]:
    """Runs a plan for several models or thread counts of one board at once, their processes interleaved.

    A board drifts (heat, neighbours): measuring one model after the other would blame the drift on the model. The
    order turns round with every round, so that nobody always comes after the same other. Which of them need further
    processes after the planned ones is decided for each by itself.

    Args:
        runs: what to run under which key; ``str(key)`` names it in events.
        plan, limits, read_now, on_event, pause, clock: as in :func:`collect`, ``limits`` by key.

    Returns:
        Samples by key; an error ends only its own key.
    """
    gate = None if read_now is None else CoolGate(read_now=read_now, wait_s=plan.cool_wait_s, pause=pause, clock=clock)
    turns = {
        key: Turn(
            run=run,
            job=job,
            plan=plan,
            limits=(limits or {}).get(key) or BoardLimits(),
            pause=pause,
            on_event=on_event,
            about=str(key).rstrip(": "),
            gate=gate,
        )
        for key, (run, job) in runs.items()
    }
    errors: dict[Key, EdgekitError] = {}
    told = 0.0

    def carry_out(key: Key, mode: Mode, index: int) -> None:
        """One process of a model that has not failed yet; tells before and after."""
        nonlocal told
        turn = turns[key]
        if key in errors or (turn.hot_start and mode == "latency"):
            return
        done = sum(len(one.latency) + len(one.memory) for one in turns.values())
        timed = index + 1 if mode == "latency" else 0
        whole = sum(max(plan.processes, len(one.latency), timed) + plan.memory_processes for one in turns.values())
        told = max(told, min(1.0, done / whole))
        count = max(plan.processes, index + 1) if mode == "latency" else plan.memory_processes
        message = " ".join(filter(None, (str(key), f"{mode}, process {index + 1} of {count}")))
        turn.tell(message, fraction=told)
        try:
            turn.process(mode, index)
        except EdgekitError as error:
            errors[key] = error
            return
        if mode == "latency" and turn.latency:
            turn.tell(f"{message}: {turn.last_median()}", fraction=told)

    with task(TASK, on_event):
        began = clock()
        for key, index in _rounds(list(runs), plan.processes):
            carry_out(key, "latency", index)
        now = clock()
        end = now + (now - began) if plan.max_time_s is None else began + plan.max_time_s
        for round_number in range(plan.processes, plan.most_processes):
            wanting = [key for key, turn in turns.items() if key not in errors and turn.wants_more()]
            for key in reversed(wanting) if round_number % 2 else wanting:
                if clock() < end:
                    carry_out(key, "latency", round_number)
        for index in range(plan.memory_processes):
            for key in runs:
                carry_out(key, "memory", index)
    return Collected(
        samples={key: turn.samples() for key, turn in turns.items() if key not in errors},
        errors=errors,
    )


def _rounds(keys: list[Key], count: int) -> Iterator[tuple[Key, int]]:
    """Every key once in each round; their order alternates from round to round."""
    for index in range(count):
        yield from ((key, index) for key in (reversed(keys) if index % 2 else keys))
