"""A device over adb: commands, uploads and downloads, each one stream, each with a deadline and a bound."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from edgekit.core.errors import DeadlineError, DeviceError, EdgekitError, TransferError, UnreachableError
from edgekit.device.transport import adb_faults
from edgekit.device.transport.adb_stream import ShellStream
from edgekit.device.transport.framing import Framed, Tail
from edgekit.device.transport.held_stream import HeldStream
from edgekit.device.transport.protocol import Completed, OnBytes, complaint, printable, quoted
from edgekit.device.transport.shell import FRAME, KILL, RECEIVE
from edgekit.device.transport.watchdog import Watchdog

_KILL_LIMIT_S = 5.0
_MAX_COMMAND = 60_000  # adb writes a request's length in four hexadecimal digits
_PIECE = 64 * 1024


class AdbTransport:
    """See :class:`~edgekit.device.transport.protocol.Transport`. Every command is a stream of its own.

    Args:
        serial: of a device that adb can use now.
        name: of the board, for messages.
        connect_s: to reach the adb server, and for the device to start a command.
        stall_s: without any progress of a transfer.
    """

    def __init__(self, serial: str, *, name: str, connect_s: float, stall_s: float) -> None:
        self.name, self.serial = name, serial
        self._connect_s, self._stall_s = connect_s, stall_s
        self._marker = f"edgekit-{secrets.token_hex(12)}".encode()
        self._held: list[HeldStream] = []
        self._talks: set[_Talk] = set()
        self._closed = False

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout_s: float = 60.0,
        output_limit_bytes: int = 1 << 20,
    ) -> Completed:
        """See :meth:`Transport.run`."""
        out = bytearray()

        def collect(block: bytes) -> None:
            out.extend(block)
            if len(out) > output_limit_bytes:
                raise DeviceError(
                    f"{self.name}: `{_shown(argv)}` printed more than {output_limit_bytes} bytes and was killed"
                )

        begin = time.monotonic()
        talk = _Talk(self, collect, keep=output_limit_bytes)
        try:
            with Watchdog(timeout_s, progress=False, break_off=lambda: self._break_off(talk)) as watchdog:
                self._converse(talk, argv, stdin or b"", watchdog.touch, doing=f"running `{_shown(argv)}`")
        except EdgekitError as error:
            if talk.broken_off:
                raise DeadlineError(
                    f"{self.name}: `{_shown(argv)}` did not end within {timeout_s:.0f} s and was killed",
                    hint="is the device overloaded, or did it freeze?",
                    details={"argv": list(argv), "timeout_s": timeout_s},
                ) from error
            raise
        return Completed(
            argv=tuple(argv),
            exit_status=talk.stream.status,
            stdout=bytes(out),
            stderr=talk.errors.content(),
            seconds=time.monotonic() - begin,
        )

    def hold(self, argv: Sequence[str], *, timeout_s: float = 20.0) -> HeldStream:
        """See :meth:`Transport.hold`."""
        held = HeldStream(self.serial, self._marker, name=self.name, kill=self._kill)
        try:
            held.start(self._command(argv), timeout_s=self._connect_s)
            if not held.speaks(timeout_s):
                raise DeadlineError(
                    f"{self.name}: `{_shown(argv)}` said nothing within {timeout_s:.0f} s and was killed",
                    hint="is the device overloaded, or did it freeze?",
                    details={"argv": list(argv), "timeout_s": timeout_s},
                )
            if why := held.ended_first(shown=_shown(argv)):
                raise why
        except BaseException:
            held.close()
            raise
        self._held = [*(each for each in self._held if each.alive), held]
        return held

    def push(self, local: Path, remote: str, on_bytes: OnBytes | None = None) -> None:
        """See :meth:`Transport.push`.

        The bytes go to ``cat`` on the device: adb's own push replaces what is there and makes missing folders.
        """
        try:
            stream = local.open("rb")
        except OSError as error:
            raise TransferError(f"cannot read {local}: {error.strerror or error}", hint="check the path") from error
        with stream:
            size = os.fstat(stream.fileno()).st_size
            argv = ["sh", "-c", RECEIVE, "sh", remote, str(size)]
            talk = self._transfer(argv, _pieces(stream, size, on_bytes), _nothing, doing=f"pushing {local.name}")
        if talk.stream.status != 0:
            why = complaint(talk.errors.content()) or "only a part of it arrived"
            raise TransferError(f"{self.name}: cannot write {printable(remote)}: {why}")

    def pull(self, remote: str, local: Path, *, limit_bytes: int) -> int:
        """See :meth:`Transport.pull`."""
        done = 0

        def keep(block: bytes) -> None:
            nonlocal done
            done += len(block)
            if done > limit_bytes:
                raise TransferError(f"{self.name}: {printable(remote)} is larger than {limit_bytes} bytes")
            try:
                stream.write(block)
            except OSError as error:
                raise TransferError(f"cannot write {local}: {error.strerror or error}") from error

        try:
            stream = local.open("xb", buffering=0)
        except OSError as error:
            raise TransferError(f"cannot write {local}: {error.strerror or error}") from error
        with stream:
            talk = self._transfer(["cat", "--", remote], b"", keep, doing=f"pulling {printable(remote)}")
        if talk.stream.status != 0:
            why = complaint(talk.errors.content()) or f"exit status {talk.stream.status}"
            raise TransferError(f"{self.name}: cannot read {printable(remote)}: {why}")
        return done

    def close(self) -> None:
        """See :meth:`Transport.close`; the adb server stays connected to the device, as after every adb command."""
        self._closed = True
        for talk in list(self._talks):  # another thread's, which gives up here
            self._kill(talk.framed.pid)
            talk.stream.close()
        for held in self._held:
            held.close()

    def _transfer(
        self, argv: Sequence[str], stdin: bytes | Iterable[bytes], sink: Callable[[bytes], None], *, doing: str
    ) -> _Talk:
        """A command without a deadline of its own: as long as bytes move, it may go on."""
        talk = _Talk(self, sink, keep=1 << 16)
        limit = self._stall_s
        try:
            with Watchdog(limit, progress=True, break_off=lambda: self._break_off(talk)) as watchdog:
                self._converse(talk, argv, stdin, watchdog.touch, doing=doing)
        except EdgekitError as error:
            if talk.broken_off:
                raise UnreachableError(
                    f"{self.name}: the device stopped answering while {doing} (nothing moved for {limit:.0f} s)",
                    hint="is it still on? try again; nothing that arrived in part is used",
                ) from error
            raise
        return talk

    def _converse(
        self,
        talk: _Talk,
        argv: Sequence[str],
        stdin: bytes | Iterable[bytes],
        touch: Callable[[], None],
        *,
        doing: str,
    ) -> None:
        """Runs ``argv`` to its end."""
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
        if talk.stream.status >= 0 and talk.framed.pid is None:
            said = complaint(bytes(talk.framed.noise)) or complaint(talk.errors.content())
            raise DeviceError(f"{self.name}: the device runs no commands: {said or f'status {talk.stream.status}'}")
        if self._closed or talk.broken_off or talk.stream.status < 0:
            raise adb_faults.lost(self.name, doing)

    def _command(self, argv: Sequence[str]) -> str:
        command = f"exec {quoted(['sh', '-c', FRAME, self._marker.decode(), *argv])}"
        if len(command.encode()) > _MAX_COMMAND:
            raise DeviceError(f"{self.name}: a command of {len(command)} characters is too long for adb")
        if "\0" in command:
            raise DeviceError(f"{self.name}: an argument of `{_shown(argv)}` has a zero byte in it")
        return command

    def _break_off(self, talk: _Talk) -> None:
        """At a deadline: kills the command over there; then nobody listens to it any more."""
        talk.broken_off = True
        self._kill(talk.framed.pid)
        talk.stream.close()

    def _kill(self, pid: int | None) -> None:
        """Kills a command's process group on the device, if the device does that in time."""
        if not pid:
            return

        def ask() -> None:
            stream = ShellStream(self.serial, name=self.name, out=_nothing, err=_nothing)
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


def _pieces(stream: IO[bytes], size: int, on_bytes: OnBytes | None) -> Iterator[bytes]:
    done = 0
    while done < size and (piece := stream.read(_PIECE)):
        yield piece
        done += len(piece)
        if on_bytes:
            on_bytes(done)


def _nothing(block: bytes) -> None:
    """The sink of commands whose output nobody needs."""


def _shown(argv: Sequence[str]) -> str:
    """A command for messages: a script is not shown at length."""
    return printable(quoted(argv))[:80]
