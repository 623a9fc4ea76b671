"""A board whose processes and sensors are played, with a clock that only goes on while something is waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from synthetic_trials import CALM, make_memory_trial, make_trial

from edgekit.runner.conditions import Conditions
from edgekit.runner.protocol import Job, Trial


@dataclass
class Clock:
    """Monotonic seconds; waiting is what moves it."""

    now: float = 1000.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@dataclass
class PlayedBoard:
    """Runs jobs as the n-th median says; each takes so many seconds of the clock.

    Attributes:
        median_ns: of the n-th timed process.
        sensors: what the board is like at a moment of the clock.
    """

    clock: Clock = field(default_factory=Clock)
    median_ns: Callable[[int], float] = lambda n: 2e6
    process_s: float = 3.0
    sensors: Callable[[float], Conditions] = lambda now: CALM
    trial: Callable[[Trial, int], Trial] = lambda trial, n: trial
    log: list[str] = field(default_factory=list)
    name: str = "a"

    def run(self, job: Job, time_limit_s: float) -> Trial:
        self.clock.now += self.process_s
        self.log.append(f"{self.name}-{job.mode}")
        if job.mode == "memory":
            return make_memory_trial(seed=len(self.log))
        n = self.log.count(f"{self.name}-latency") - 1
        return self.trial(make_trial(median_ns=self.median_ns(n), seed=n), n)

    def read_now(self) -> Conditions:
        return self.sensors(self.clock.now)

    def circumstances(self) -> dict[str, Any]:
        """What :func:`edgekit.measure.collect.collect_many` takes of it."""
        return {"read_now": self.read_now, "pause": self.clock.pause, "clock": self.clock}


def at(temperature_c: float | None, **other: Any) -> Conditions:
    """A calm board of that temperature."""
    return replace(CALM, temperature_c=temperature_c, **other)
