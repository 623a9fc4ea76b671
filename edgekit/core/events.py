"""Progress as values: what is being done, how far it is and how long it took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Literal


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
    """

    state: Literal["started", "progress", "finished", "note"]
    task: str
    message: str = ""
    fraction: float | None = None
    seconds: float | None = None
    device: str | None = None


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
