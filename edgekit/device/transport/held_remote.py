"""What commands that are held open on a board have in common, whatever carries their streams."""

from __future__ import annotations

import threading

from edgekit.device.transport.first_line import FirstLine
from edgekit.device.transport.framing import Framed, Tail

END_LIMIT_S = 2.0
_ERRORS_KEPT = 1 << 14


class HeldRemote:
    """See :class:`~edgekit.device.transport.protocol.Hold`: what was said, and whether it still runs.

    Args:
        marker: where the command's own output begins.
    """

    def __init__(self, marker: bytes) -> None:
        self._first = FirstLine()
        self._framed = Framed(marker, self._first.add)
        self._errors = Tail(marker, _ERRORS_KEPT)
        self._ended = threading.Event()
        self._closed = False

    @property
    def said(self) -> str:
        """See :attr:`Hold.said`."""
        return self._first.line or ""

    @property
    def alive(self) -> bool:
        """See :attr:`Hold.alive`."""
        return not self._closed and not self._ended.is_set()

    def speaks(self, timeout_s: float) -> bool:
        """Whether it printed its first line, or ended, in time."""
        return self._first.wait(timeout_s)
