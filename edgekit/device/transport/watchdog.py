"""An end for calls that know no time-out of their own: another thread breaks them off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType


class Watchdog:
    """Calls ``break_off`` once when the time is up; a context manager around the watched calls.

    Args:
        limit_s: from the start, or with ``progress`` from the last :meth:`touch`.
        progress: whether :meth:`touch` starts the time again.
        break_off: makes the watched call return; runs in the watchdog's thread.
    """

    def __init__(self, limit_s: float, *, progress: bool, break_off: Callable[[], None]) -> None:
        self.limit_s = limit_s
        self.expired = False
        self._progress = progress
        self._break_off = break_off
        self._done = threading.Event()
        self._until = time.monotonic() + limit_s
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def touch(self) -> None:
        """There was progress."""
        if self._progress:
            self._until = time.monotonic() + self.limit_s

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self.expired:
            self._thread.join(10)

    def _watch(self) -> None:
        while not self._done.wait(max(0.0, self._until - time.monotonic())):
            if time.monotonic() >= self._until:
                self.expired = True
                self._break_off()
                return
