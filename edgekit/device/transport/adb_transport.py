"""A device over adb: commands, uploads and downloads, each one stream, each with a deadline and a bound."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from edgekit.core.errors import DeviceError, UnreachableError
from edgekit.device.transport import adb_faults
from edgekit.device.transport.adb_stream import ShellStream
from edgekit.device.transport.framing import Framed, Tail
from edgekit.device.transport.held_stream import HeldStream
from edgekit.device.transport.protocol import quoted, shown
from edgekit.device.transport.remote import RemoteTransport, nothing
from edgekit.device.transport.shell import KILL

_KILL_LIMIT_S = 5.0
_MAX_COMMAND = 60_000  # adb writes a request's length in four hexadecimal digits
_PIECE = 64 * 1024


class AdbTransport(RemoteTransport["_Talk"]):
    """See :class:`~edgekit.device.transport.protocol.Transport`. Every command is a stream of its own.

    Args:
        serial: of a device that adb can use now.
        name: of the board, for messages.
        connect_s: to reach the adb server, and for the device to start a command.
        stall_s: without any progress of a transfer.
    """

    def __init__(self, serial: str, *, name: str, connect_s: float, stall_s: float) -> None:
        super().__init__(name, stall_s=stall_s, piece_bytes=_PIECE, most_bytes=_MAX_COMMAND)
        self.serial = serial
        self._connect_s = connect_s
        self._held: list[HeldStream] = []

    def hold(self, argv: Sequence[str], *, timeout_s: float = 20.0) -> HeldStream:
        """See :meth:`Transport.hold`."""
        held = HeldStream(self.serial, self._marker, name=self.name, kill=self._kill)
        try:
            held.start(self._command(argv), timeout_s=self._connect_s)
            if not held.speaks(timeout_s):
                raise self._silent(argv, timeout_s)
            if why := held.ended_first(shown=shown(argv)):
                raise why
        except BaseException:
            held.close()
            raise
        self._held = [*(each for each in self._held if each.alive), held]
        return held

    def close(self) -> None:
        """See :meth:`Transport.close`; the adb server stays connected to the device, as after every adb command."""
        self._closed = True
        for talk in list(self._talks):  # another thread's, which gives up here
            self._kill(self._heard_pid(talk))
            talk.stream.close()
        for held in self._held:
            held.close()

    def _converse(
        self,
        talk: _Talk,
        argv: Sequence[str],
        stdin: bytes | Iterable[bytes],
        touch: Callable[[], None],
        *,
        doing: str,
    ) -> None:
        command = self._command(argv)
        if self._closed:
            raise UnreachableError(f"{self.name}: the connection was closed before {doing}")
        self._talks.add(talk)
        try:
            talk.stream.start(command, timeout_s=self._connect_s)
            talk.stream.converse(stdin, touch)
        except BaseException:
            self._kill(talk.framed.pid)
            raise
        finally:
            self._talks.discard(talk)
            talk.stream.close()
        if talk.status >= 0 and talk.framed.pid is None:
            raise self._refused(talk)
        if self._closed or talk.broken_off or talk.status < 0:
            raise adb_faults.lost(self.name, doing)

    def _new_talk(self, sink: Callable[[bytes], None], *, keep: int) -> _Talk:
        return _Talk(self, sink, keep=keep)

    def _break_off(self, talk: _Talk) -> None:
        """Kills the command over there; then nobody listens to it any more."""
        talk.broken_off = True
        self._kill(talk.framed.pid)
        talk.stream.close()

    _drop = _break_off

    def _kill(self, pid: int | None) -> None:
        """Kills a command's process group on the device, if the device does that in time."""
        if not pid:
            return

        def ask() -> None:
            stream = ShellStream(self.serial, name=self.name, out=nothing, err=nothing)
            try:
                stream.start(quoted(["sh", "-c", KILL, "sh", str(pid)]), timeout_s=_KILL_LIMIT_S)
                stream.converse(b"", lambda: None)
            except DeviceError:
                return  # it cannot be reached: what called us has an error of its own already
            finally:
                stream.close()

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(_KILL_LIMIT_S)


class _Talk:
    """One command's streams."""

    def __init__(self, transport: AdbTransport, sink: Callable[[bytes], None], *, keep: int) -> None:
        self.framed = Framed(transport._marker, sink)
        self.errors = Tail(transport._marker, keep)
        self.stream = ShellStream(transport.serial, name=transport.name, out=self.framed.add, err=self.errors.add)
        self.broken_off = False

    @property
    def status(self) -> int:
        """See :attr:`Streams.status`."""
        return self.stream.status
