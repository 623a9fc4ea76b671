"""One model's share of a loop: fresh processes on a cool board, the unlucky ones repeated, what is known so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

from edgekit.core import units
from edgekit.core.errors import DeadlineError, DeviceError, EdgekitError, MeasurementError
from edgekit.core.events import Event, EventSink, Figures
from edgekit.measure import statistics
from edgekit.measure.conditions import BoardLimits, passing
from edgekit.measure.cool import CoolGate
from edgekit.measure.plan import Plan
from edgekit.measure.samples import Repeated, Samples, short_of
from edgekit.runner.conditions import Conditions
from edgekit.runner.protocol import Job, Trial

Run = Callable[[Job, float], Trial]
Mode = Literal["latency", "memory"]

TASK = "benchmark"
#: what is wrong for so long is worth a line also where nobody watches
_WORTH_A_NOTE_S = 10.0
#: other programs come and go more quickly than heat
_DISTURBED_PAUSE_S = 1.0
_DISTURBED = ("foreign-load", "swapped-in")


@dataclass(slots=True, kw_only=True)
class Turn:
    """One model's share of a loop: its processes, each repeated while what is wrong with it may pass.

    Pairs (:mod:`edgekit.measure.pairs`) take their processes from two of these.

    Attributes:
        task: what its events are called.
        about: what is measured, for those who watch.
        gate: lets the board cool before each timed process; None: nobody can look at its sensors.
        hot_start: what the board was waited for in vain; nothing is timed any more. Empty: nothing.
        spoilt: a process had to be kept although something was wrong with it: the verdict is certain, and repeating
            others would only take time.
    """

    run: Run
    job: Job
    plan: Plan
    limits: BoardLimits
    pause: Callable[[float], None]
    on_event: EventSink
    task: str = TASK
    about: str = ""
    gate: CoolGate | None = None
    hot_start: str = ""
    spoilt: bool = False
    latency: list[Trial] = field(default_factory=list)
    memory: list[Trial] = field(default_factory=list)
    repeated: list[Repeated] = field(default_factory=list)
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    _said_to_wait: bool = field(default=False, init=False)
    _counted: int = field(default=0, init=False)
    _so_far: tuple[float | None, tuple[float, float] | None] = field(default=(None, None), init=False)

    def process(self, mode: Mode, index: int) -> None:
        """One process, repeated while what is wrong with it may pass; none where the board does not cool down."""
        job = self.plan.job(self.job, mode)
        for left in range(self.plan.retries, -1, -1):
            if mode == "latency" and not self._is_cool():
                return
            try:
                trial = self.run(job, self.plan.time_limit_s)
            except (MeasurementError, DeviceError) as error:
                if not left or not _may_pass(error):
                    raise
                self._throw_away(mode, index, f"crashed: {error.message}", None)
                self._note(f"{error.message}; running it again")
                continue
            reason = passing(trial, self.limits) if mode == "latency" else None
            if reason is None or not left or self.spoilt:
                (self.latency if mode == "latency" else self.memory).append(trial)
                self.spoilt = self.spoilt or reason is not None
                return
            self._throw_away(mode, index, str(reason), trial)
            rest_s = self.plan.cooldown_s
            if reason.code in _DISTURBED:
                rest_s = min(_DISTURBED_PAUSE_S, rest_s)
            self._note(f"{reason}; waiting {rest_s:g} s before running it again")
            self.pause(rest_s)

    def wants_more(self) -> bool:
        """Whether a further timed process could make the result a better one, and the plan allows it."""
        if self.hot_start or self.spoilt or len(self.latency) >= self.plan.most_processes:
            return False
        if short_of(self.latency, self.plan):
            return True
        middle, interval = self._figures()
        arm = statistics.half_width(interval, middle)
        return arm is not None and arm > self.plan.aim

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
            hot_start=self.hot_start,
        )

    def last_median(self) -> str:
        """The median of the last timed process, for people."""
        middle = statistics.median_of(self.latency[-1].latency_ns)
        return "nothing" if middle is None else units.duration(round(middle))

    def tell(
        self,
        message: str,
        *,
        fraction: float | None = None,
        now: Conditions | None = None,
        waits_for: str | None = None,
        until: float | None = None,
    ) -> None:
        """Tells those who watch how far it is.

        Args:
            message: what happens now.
            fraction: of everything that is planned.
            now: what the board is like; None: what the last process saw.
            waits_for, until: see :class:`~edgekit.core.events.Figures`.
        """
        middle, interval = self._figures()
        now = now or (self.latency[-1].after if self.latency else None)
        figures = Figures(
            about=self.about,
            done=len(self.latency),
            planned=max(self.plan.processes, len(self.latency)),
            median_ns=None if middle is None else round(middle),
            ci95_ns=None if interval is None else (round(interval[0]), round(interval[1])),
            temperature_c=None if now is None else now.temperature_c,
            waits_for=waits_for,
            until=until,
        )
        self.on_event(Event(state="progress", task=self.task, message=message, fraction=fraction, figures=figures))

    def _figures(self) -> tuple[float | None, tuple[float, float] | None]:
        """Median and interval so far; made once for each process, as they are asked for more often."""
        if self._counted != len(self.latency):
            medians = statistics.process_medians([trial.latency_ns for trial in self.latency])
            self._so_far = statistics.median_of(medians), statistics.bootstrap_interval(medians, seed=self.plan.seed)
            self._counted = len(self.latency)
        return self._so_far

    def _is_cool(self) -> bool:
        """Waits until the board is ready to be timed; False where it did not get so."""
        self._said_to_wait = False
        if self.gate is None or self.gate.pass_through(self.limits, self._waits):
            return True
        self.hot_start = self.gate.in_vain
        self._note(f"{self.hot_start}; nothing more is timed")
        return False

    def _waits(self, waits_for: str, now: Conditions, *, waited_s: float, left_s: float) -> None:
        message = " ".join(filter(None, (self.about, f"waits for the board {waits_for}, {left_s:.0f} s at most")))
        self.tell(message, now=now, waits_for=waits_for, until=time.time() + left_s)  # for people, so of their clock
        if waited_s >= _WORTH_A_NOTE_S and not self._said_to_wait:
            self._said_to_wait = True
            self._note(f"waiting for the board {waits_for}, {left_s:.0f} s more at most")

    def _note(self, message: str) -> None:
        self.on_event(Event(state="note", task=self.task, message=message))

    def _throw_away(self, mode: Mode, index: int, reason: str, trial: Trial | None) -> None:
        self.repeated.append(Repeated(mode=mode, index=index, reason=reason, trial=trial))


def _may_pass(error: EdgekitError) -> bool:
    """A crash or a hang may be bad luck; a missing runtime, a lost or a busy board will not mend by trying again."""
    return type(error) in (DeviceError, DeadlineError, MeasurementError)
