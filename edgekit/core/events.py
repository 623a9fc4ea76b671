"""Progress as values: what is being done, how far it is and how long it took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How far the measuring of one model on one board is, for those who watch.

    Attributes:
        about: what is measured, for people: ``model, 1 thread``; a pair has two of these.
        done, planned: processes; ``planned`` grows where the interval is still too wide.
        median_ns, ci95_ns: of the processes so far; None before there are enough.
        temperature_c: of the board, when last looked at; None: it does not tell.
        waits_for: what nothing goes on without ("to cool down to 55 °C"); None: nothing is waited for.
        until: the latest end of the wait, seconds since the epoch.
    """

    about: str
    done: int
    planned: int
    median_ns: int | None = None
    ci95_ns: tuple[int, int] | None = None
    temperature_c: float | None = None
    waits_for: str | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One piece of progress.

    Attributes:
        state: ``started`` and ``finished`` bracket a task; ``progress`` is within it; ``note`` stands alone.
        task: what is being done, for people ("quantize to int8").
        message: a detail ("epoch 2 of 5").
        fraction: 0..1 of the task, where it is known.
        seconds: how long the task took, when finished.
        device: the board that it is about, where there are several side by side.
        figures: what is known so far, while something is measured.
    """

    state: Literal["started", "progress", "finished", "note"]
    task: str
    message: str = ""
    fraction: float | None = None
    seconds: float | None = None
    device: str | None = None
    figures: Figures | None = None


EventSink = Callable[[Event], None]


def ignore(event: object) -> None:
    """The sink that drops everything."""


@contextmanager
def task(name: str, on_event: EventSink) -> Iterator[None]:
    """Brackets a block with ``started`` and ``finished``; an exception leaves the task unfinished."""
    begin = perf_counter()
    on_event(Event(state="started", task=name))
    yield
    on_event(Event(state="finished", task=name, seconds=perf_counter() - begin))
