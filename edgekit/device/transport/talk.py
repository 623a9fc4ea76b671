"""The streams of one command over SSH: fed and drained at the same time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Any

from edgekit.device.transport.framing import Framed, Tail
from edgekit.device.transport.paramiko_door import load
from edgekit.device.transport.session import Session

PIECE = 256 * 1024
_SMALL = 32 * 1024  # fits into the server's first window: sending it cannot block


class Talk:
    """One command's streams. ``status`` is -1 until it is known, and where a shell was killed."""

    def __init__(self, marker: bytes, sink: Callable[[bytes], None], *, keep: int) -> None:
        self.framed = Framed(marker, sink)
        self.errors = Tail(marker, keep)
        self.status = -1
        self.broken_off = False
        self.session: Session | None = None
        self.channel: Any = None

    def run(self, command: str, stdin: bytes | Iterable[bytes], touch: Callable[[], None]) -> None:
        """Starts the command, feeds it, and drains both outputs at once: a full one would block it for ever."""
        self.channel.exec_command(command)
        drain = threading.Thread(target=self._drain_errors, daemon=True)
        drain.start()
        if isinstance(stdin, bytes) and len(stdin) > _SMALL:
            pieces = [stdin[i : i + PIECE] for i in range(0, len(stdin), PIECE)]
            threading.Thread(target=self._feed, args=(pieces, touch), daemon=True).start()
        else:
            self._feed([stdin] if isinstance(stdin, bytes) else stdin, touch)
        while block := self.channel.recv(PIECE):
            touch()
            self.framed.add(block)
        self.channel.status_event.wait()
        self.status = int(self.channel.exit_status)
        drain.join(5)

    def _feed(self, pieces: Iterable[bytes], touch: Callable[[], None]) -> None:
        # a command may end without reading everything: its exit status tells, not this
        with contextlib.suppress(OSError, EOFError, load().SSHException):
            for piece in pieces:
                self.channel.sendall(piece)
                touch()
            self.channel.shutdown_write()

    def _drain_errors(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while block := self.channel.recv_stderr(PIECE):
                self.errors.add(block)
