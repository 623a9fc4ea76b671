"""A command that is held open over adb: one stream whose standard input stays open."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from edgekit.core.errors import DeviceError
from edgekit.device.transport import adb_faults
from edgekit.device.transport.adb_stream import ShellStream
from edgekit.device.transport.held_remote import END_LIMIT_S, HeldRemote
from edgekit.device.transport.protocol import complaint


class HeldStream(HeldRemote):
    """See :class:`~edgekit.device.transport.protocol.Hold`.

    The device closes the command's standard input when this process is gone, however it went: the kernel closes our
    socket, the adb server ends the stream, and adbd hangs up.
    """

    def __init__(self, serial: str, marker: bytes, *, name: str, kill: Callable[[int | None], None]) -> None:
        super().__init__(marker)
        self._kill, self._name = kill, name
        self._stream = ShellStream(serial, name=name, out=self._framed.add, err=self._errors.add)

    def send(self, data: bytes) -> None:
        """See :meth:`Hold.send`."""
        with contextlib.suppress(OSError):
            self._stream.send(data)

    def close(self) -> None:
        """See :meth:`Hold.close`."""
        if self._closed:
            return
        self._closed = True
        if not self._ended.is_set():
            with contextlib.suppress(OSError):
                self._stream.end_input()
            if not self._ended.wait(END_LIMIT_S):
                self._kill(self._framed.pid)
        self._stream.close()

    def start(self, command: str, *, timeout_s: float) -> None:
        """Starts it; both outputs are drained from now on."""
        try:
            self._stream.start(command, timeout_s=timeout_s)
        except BaseException:
            self._ended.set()
            raise
        threading.Thread(target=self._drain, daemon=True).start()

    def ended_first(self, *, shown: str) -> DeviceError | None:
        """The error that says why it ended; None where it has printed its first line."""
        if self._first.line is not None:
            return None
        self._ended.wait(END_LIMIT_S)
        stderr, status = self._errors.content(), self._stream.status
        if status < 0:
            return adb_faults.lost(self._name, f"running `{shown}`")
        return DeviceError(
            f"{self._name}: `{shown}` ended on the device: {complaint(stderr) or f'exit status {status}'}",
            details={"exit_status": status, "stdout": self._first.text, "stderr": stderr.decode("utf-8", "replace")},
        )

    def _drain(self) -> None:
        self._stream.drain()
        self._ended.set()
        self._first.end()
