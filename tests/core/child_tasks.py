"""Functions that the tests of core.child run in a child process."""

from __future__ import annotations

import ctypes
import os
import sys
import time

from edgekit.core.errors import DataError
from edgekit.core.events import Event, EventSink


def add(a: int, b: int) -> int:
    return a + b


def chatter(on_event: EventSink) -> str:
    print("to standard output")
    os.write(2, b"to standard error\n")
    on_event(Event(state="note", task="half way"))
    return "done"


def refuse() -> None:
    raise DataError("row 7 is empty", hint="delete it", details={"row": 7})


def stumble() -> None:
    raise ZeroDivisionError("nothing of ours")


def crash() -> None:
    ctypes.string_at(0)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def hoard(size: int) -> int:
    return len(bytearray(size))


def process_id() -> int:
    return os.getpid()


def imported(name: str) -> bool:
    return name in sys.modules
