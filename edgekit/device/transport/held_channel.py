"""A command that is held open over SSH: one channel whose standard input stays open."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from edgekit.core.errors import DeviceError
from edgekit.device.transport.held_remote import END_LIMIT_S, HeldRemote
from edgekit.device.transport.paramiko_door import load
from edgekit.device.transport.protocol import complaint

_PIECE = 1 << 14


class HeldChannel(HeldRemote):
    """See :class:`~edgekit.device.transport.protocol.Hold`.

    The server closes the command's standard input when this process is gone, however it went: the kernel closes our
    socket.
    """

    def __init__(self, channel: Any, marker: bytes, *, kill: Callable[[int | None], bool]) -> None:
        super().__init__(marker)
        self._channel, self._kill = channel, kill

    def send(self, data: bytes) -> None:
        """See :meth:`Hold.send`."""
        with contextlib.suppress(OSError, EOFError, load().SSHException):
            self._channel.sendall(data)

    def close(self) -> None:
        """See :meth:`Hold.close`."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError, EOFError, load().SSHException):
            self._channel.shutdown_write()
        if not self._ended.wait(END_LIMIT_S):
            self._kill(self._framed.pid)
        with contextlib.suppress(Exception):
            self._channel.close()

    def start(self, command: str) -> None:
        """Starts it; both outputs are drained from now on."""
        try:
            self._channel.exec_command(command)
        except BaseException:
            self._ended.set()
            raise
        threading.Thread(target=self._drain, daemon=True).start()
        threading.Thread(target=self._drain_errors, daemon=True).start()

    def ended_first(self, *, name: str, shown: str) -> DeviceError | None:
        """The error that says why it ended; None where it has printed its first line."""
        if self._first.line is not None:
            return None
        self._ended.wait(END_LIMIT_S)
        stderr = self._errors.content()
        status = int(self._channel.exit_status) if self._channel.exit_status_ready() else -1
        if self._framed.pid is None:
            said = complaint(bytes(self._framed.noise)) or complaint(stderr) or f"exit status {status}"
            return DeviceError(f"{name}: the board runs no commands for this user: {said}")
        return DeviceError(
            f"{name}: `{shown}` ended on the board: {complaint(stderr) or f'exit status {status}'}",
            details={"exit_status": status, "stdout": self._first.text, "stderr": stderr.decode("utf-8", "replace")},
        )

    def _drain(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while block := self._channel.recv(_PIECE):
                self._framed.add(block)
        with contextlib.suppress(Exception):
            self._channel.status_event.wait(END_LIMIT_S)
        self._ended.set()
        self._first.end()

    def _drain_errors(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while block := self._channel.recv_stderr(_PIECE):
                self._errors.add(block)
