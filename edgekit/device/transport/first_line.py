"""The first line of a command that is held open; and what it printed, for the case that it ends instead."""

from __future__ import annotations

import threading

_KEEP = 1 << 16


class FirstLine:
    """Collects bytes until there is a line; the rest is dropped, so that a chatty command fills nothing."""

    def __init__(self) -> None:
        self.line: str | None = None
        self._content = bytearray()
        self._over = threading.Event()

    def add(self, block: bytes) -> None:
        """The next bytes of standard output."""
        if self._over.is_set() or len(self._content) > _KEEP:
            return
        self._content += block
        line, end, _ = self._content.partition(b"\n")
        if end:
            self.line = line.decode("utf-8", "replace").rstrip("\r")
            self._over.set()

    def end(self) -> None:
        """Nothing more comes."""
        self._over.set()

    def wait(self, timeout_s: float) -> bool:
        """Whether there was a line, or the end, in time."""
        return self._over.wait(timeout_s)

    @property
    def text(self) -> str:
        """Everything so far."""
        return self._content.decode("utf-8", "replace")
