"""The loop that collects samples: fresh processes in turn, the unlucky ones repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Generic, Literal, TypeVar

from edgekit.core.errors import DeadlineError, DeviceError, EdgekitError, MeasurementError
from edgekit.core.events import Event, EventSink, ignore, task
from edgekit.measure.conditions import BoardLimits, passing
from edgekit.measure.plan import Plan
from edgekit.measure.samples import Repeated, Samples
from edgekit.runner.protocol import Job, Trial

Key = TypeVar("Key", bound=Hashable)
Run = Callable[[Job, float], Trial]


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
    on_event: EventSink = ignore,
    pause: Callable[[float], None] = time.sleep,
) -> Samples:
    """Runs a plan: the latency processes, then the memory processes.

    Args:
        run: runs one job in a fresh process on the board, within so many seconds.
        plan: how many processes, how long.
        base_job: model, library, threads and samples; the plan fills in the rest.
        limits: of the board; a process beyond them is repeated after a pause.
        on_event: gets one event per process.
        pause: waits so many seconds.

    Raises:
        EdgekitError: whatever ``run`` raised and repeating did not cure.
    """
    result = collect_many({"": (run, base_job)}, plan=plan, limits={"": limits}, on_event=on_event, pause=pause)
    if result.errors:
        raise result.errors[""]
    return result.samples[""]


def collect_many(
    runs: Mapping[Key, tuple[Run, Job]],
    *,
    plan: Plan,
    limits: Mapping[Key, BoardLimits | None] | None = None,
    on_event: EventSink = ignore,
    pause: Callable[[float], None] = time.sleep,
) -> Collected[Key]:
    """Runs a plan for several models or thread counts at once, their processes interleaved.

    A board drifts (heat, neighbours): measuring one model after the other would blame the drift on the model. The
    order turns round with every round, so that nobody always comes after the same other.

    Args:
        runs: what to run under which key; ``str(key)`` names it in events.
        plan, limits, on_event, pause: as in :func:`collect`, ``limits`` by key.

    Returns:
        Samples by key; an error ends only its own key.
    """
    turns = {
        key: Turn(
            run=run, job=job, plan=plan, limits=(limits or {}).get(key) or BoardLimits(), pause=pause, on_event=on_event
        )
        for key, (run, job) in runs.items()
    }
    errors: dict[Key, EdgekitError] = {}
    schedule = _schedule(list(runs), plan)
    with task("benchmark", on_event):
        for done, (key, mode, index) in enumerate(schedule):
            if key in errors:
                continue
            count = plan.processes if mode == "latency" else plan.memory_processes
            message = " ".join(filter(None, (str(key), f"{mode}, process {index + 1} of {count}")))
            on_event(Event(state="progress", task="benchmark", message=message, fraction=done / len(schedule)))
            try:
                turns[key].process(mode, index)
            except EdgekitError as error:
                errors[key] = error
    return Collected(
        samples={key: turn.samples() for key, turn in turns.items() if key not in errors},
        errors=errors,
    )


def _schedule(keys: list[Key], plan: Plan) -> list[tuple[Key, Literal["latency", "memory"], int]]:
    """Every process to run, in order; the keys' order alternates from round to round."""
    order: list[tuple[Key, Literal["latency", "memory"], int]] = []
    for index in range(plan.processes):
        order += [(key, "latency", index) for key in (reversed(keys) if index % 2 else keys)]
    for index in range(plan.memory_processes):
        order += [(key, "memory", index) for key in keys]
    return order


@dataclass(slots=True, kw_only=True)
class Turn:
    """One model's share of a loop: its processes, each repeated while what is wrong with it may pass.

    Pairs (:mod:`edgekit.measure.pairs`) take their processes from two of these.

    Attributes:
        task: what its events are called.
    """

    run: Run
    job: Job
    plan: Plan
    limits: BoardLimits
    pause: Callable[[float], None]
    on_event: EventSink
    task: str = "benchmark"
    latency: list[Trial] = field(default_factory=list)
    memory: list[Trial] = field(default_factory=list)
    repeated: list[Repeated] = field(default_factory=list)
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def process(self, mode: Literal["latency", "memory"], index: int) -> None:
        """One process, repeated while what is wrong with it may pass."""
        job = self.plan.job(self.job, mode)
        for left in range(self.plan.retries, -1, -1):
            try:
                trial = self.run(job, self.plan.time_limit_s)
            except (MeasurementError, DeviceError) as error:
                if not left or not _may_pass(error):
                    raise
                self._throw_away(mode, index, f"crashed: {error.message}", None)
                self._note(f"{error.message}; running it again")
                continue
            reason = passing(trial, self.limits) if mode == "latency" else None
            if reason is None or not left:
                (self.latency if mode == "latency" else self.memory).append(trial)
                return
            self._throw_away(mode, index, reason, trial)
            self._note(f"{reason}; waiting {self.plan.cooldown_s:g} s before running it again")
            self.pause(self.plan.cooldown_s)

    def samples(self) -> Samples:
        """What was collected so far."""
        return Samples(
            plan=self.plan,
            latency=tuple(self.latency),
            memory=tuple(self.memory),
            repeated=tuple(self.repeated),
            model_sha256=self.job.model_sha256,
            num_threads=self.job.num_threads,
            created=self.created,
        )

    def _note(self, message: str) -> None:
        self.on_event(Event(state="note", task=self.task, message=message))

    def _throw_away(self, mode: Literal["latency", "memory"], index: int, reason: str, trial: Trial | None) -> None:
        self.repeated.append(Repeated(mode=mode, index=index, reason=reason, trial=trial))


def _may_pass(error: EdgekitError) -> bool:
    """A crash or a hang may be bad luck; a missing runtime, a lost or a busy board will not mend by trying again."""
    return type(error) in (DeviceError, DeadlineError, MeasurementError)
