"""Where a command's own output begins: whatever a login shell prints before the marker is noise."""

from __future__ import annotations

from collections.abc import Callable

_MAX_NOISE = 1 << 16


class Framed:
    """Passes on what follows the line ``MARKER PID``.

    Attributes:
        pid: process id of the command's shell on the board, once it is known.
        noise: what came before, its first 64 KiB.
    """

    def __init__(self, marker: bytes, sink: Callable[[bytes], None]) -> None:
        self.pid: int | None = None
        self.noise = bytearray()
        self._marker, self._sink = marker + b" ", sink

    def add(self, block: bytes) -> None:
        """The next bytes of the stream."""
        if self.pid is not None:
            self._sink(block)
            return
        self.noise += block
        start = self.noise.find(self._marker)
        end = self.noise.find(b"\n", start) if start >= 0 else -1
        if end < 0:
            if start < 0:  # the marker may begin in this block and end in the next
                del self.noise[_MAX_NOISE : max(_MAX_NOISE, len(self.noise) - len(self._marker))]
            return
        number = bytes(self.noise[start + len(self._marker) : end]).strip()
        self.pid = int(number) if number.isdigit() else 0
        rest = bytes(self.noise[end + 1 :])
        del self.noise[start:]
        if rest:
            self._sink(rest)


class Tail:
    """Keeps the end of a stream, without what a login shell printed before the marker line."""

    def __init__(self, marker: bytes, keep: int) -> None:
        self._marker, self._keep = marker + b"\n", keep
        self._content = bytearray()

    def add(self, block: bytes) -> None:
        """The next bytes of the stream."""
        self._content += block
        if self._marker in self._content[-len(block) - len(self._marker) :]:
            del self._content[: self._content.find(self._marker) + len(self._marker)]
        if len(self._content) > 2 * self._keep:
            del self._content[: -self._keep]

    def content(self) -> bytes:
        """What was kept. The marker is our script's name, too: what its shell complains about is said by ``sh``."""
        return bytes(self._content[-self._keep :]).replace(self._marker[:-1] + b": ", b"sh: ")
