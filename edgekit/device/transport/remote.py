"""Commands and files through a shell on a board, whatever carries its streams: what SSH and adb have in common."""

from __future__ import annotations

import abc
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Generic, Protocol, TypeVar

from edgekit.core.errors import DeadlineError, DeviceError, EdgekitError, TransferError, UnreachableError
from edgekit.device.transport.framing import Framed, Tail
from edgekit.device.transport.protocol import Completed, OnBytes, complaint, printable, quoted, shown
from edgekit.device.transport.shell import FRAME, RECEIVE
from edgekit.device.transport.watchdog import Watchdog

_OVERLOADED = "is the board overloaded, or did it freeze?"
_ERRORS_KEPT = 1 << 16
_HEARD_LIMIT_S = 5.0  # from the start of a command to its first line


class Streams(Protocol):
    """One command's streams.

    Attributes:
        framed: its standard output, without what the login shell prints.
        errors: the end of its standard error.
        broken_off: we ended it ourselves.
    """

    framed: Framed
    errors: Tail
    broken_off: bool

    @property
    def status(self) -> int:
        """Exit status, 128 + N for signal N; -1 until it is known."""


T = TypeVar("T", bound=Streams)


class RemoteTransport(abc.ABC, Generic[T]):
    """See :class:`~edgekit.device.transport.protocol.Transport`.

    Args:
        name: of the board, for messages.
        stall_s: a transfer may last so long without any progress.
        piece_bytes: handed over at once in a push.
        most_bytes: of a command as text.
    """

    def __init__(self, name: str, *, stall_s: float, piece_bytes: int, most_bytes: int) -> None:
        self.name = name
        self._stall_s, self._piece_bytes, self._most_bytes = stall_s, piece_bytes, most_bytes
        self._marker = f"edgekit-{secrets.token_hex(12)}".encode()
        self._talks: set[T] = set()
        self._closed = False

    @abc.abstractmethod
    def _new_talk(self, sink: Callable[[bytes], None], *, keep: int) -> T:
        """Streams whose output goes to ``sink``; so many bytes of standard error are kept."""

    @abc.abstractmethod
    def _converse(
        self,
        talk: T,
        argv: Sequence[str],
        stdin: bytes | Iterable[bytes],
        touch: Callable[[], None],
        *,
        doing: str,
    ) -> None:
        """Runs ``argv`` to its end; ``touch`` hears whenever bytes have moved."""

    @abc.abstractmethod
    def _break_off(self, talk: T) -> None:
        """At a deadline: kills the command over there."""

    @abc.abstractmethod
    def _drop(self, talk: T) -> None:
        """Where nothing moves any more: gives the command up."""

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
                    f"{self.name}: `{shown(argv)}` printed more than {output_limit_bytes} bytes and was killed"
                )

        begin = time.monotonic()
        talk = self._new_talk(collect, keep=output_limit_bytes)
        try:
            with Watchdog(timeout_s, progress=False, break_off=lambda: self._break_off(talk)) as watchdog:
                self._converse(talk, argv, stdin or b"", watchdog.touch, doing=f"running `{shown(argv)}`")
        except EdgekitError as error:
            if talk.broken_off:
                raise self._too_late(argv, f"did not end within {timeout_s:.0f} s", timeout_s) from error
            raise
        return Completed(
            argv=tuple(argv),
            exit_status=talk.status,
            stdout=bytes(out),
            stderr=talk.errors.content(),
            seconds=time.monotonic() - begin,
        )

    def push(self, local: Path, remote: str, on_bytes: OnBytes | None = None) -> None:
        """See :meth:`Transport.push`.

        The bytes go to ``cat`` on the board. Over SSH that is quicker than pipelined SFTP writes (tools/bench_push.py),
        needs no SFTP server, and says in words what is wrong with a disk, where SFTP says "Failure"; adb's own push
        replaces what is there and makes missing folders.
        """
        try:
            stream = local.open("rb")
        except OSError as error:
            raise TransferError(f"cannot read {local}: {error.strerror or error}", hint="check the path") from error
        with stream:
            size = os.fstat(stream.fileno()).st_size
            argv = ["sh", "-c", RECEIVE, "sh", remote, str(size)]
            pieces = _pieces(stream, size, self._piece_bytes, on_bytes)
            talk = self._transfer(argv, pieces, nothing, doing=f"pushing {local.name}")
        if talk.status != 0:
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
        if talk.status != 0:
            why = complaint(talk.errors.content()) or f"exit status {talk.status}"
            raise TransferError(f"{self.name}: cannot read {printable(remote)}: {why}")
        return done

    def _transfer(
        self, argv: Sequence[str], stdin: bytes | Iterable[bytes], sink: Callable[[bytes], None], *, doing: str
    ) -> T:
        """A command without a deadline of its own: as long as bytes move, it may go on."""
        talk = self._new_talk(sink, keep=_ERRORS_KEPT)
        limit = self._stall_s
        try:
            with Watchdog(limit, progress=True, break_off=lambda: self._drop(talk)) as watchdog:
                self._converse(talk, argv, stdin, watchdog.touch, doing=doing)
        except EdgekitError as error:
            if talk.broken_off:
                raise UnreachableError(
                    f"{self.name}: the board stopped answering while {doing} (nothing moved for {limit:.0f} s)",
                    hint="is it still on? try again; nothing that arrived in part is used",
                ) from error
            raise
        return talk

    def _heard_pid(self, talk: T) -> int | None:
        """The process of another thread's command, which may have begun without our having heard of it yet."""
        end = time.monotonic() + _HEARD_LIMIT_S
        while talk.framed.pid is None and talk in self._talks and time.monotonic() < end:
            time.sleep(0.02)
        return talk.framed.pid

    def _command(self, argv: Sequence[str]) -> str:
        """A command as text for the login shell."""
        command = f"exec {quoted(['sh', '-c', FRAME, self._marker.decode(), *argv])}"
        if len(command.encode()) > self._most_bytes:
            raise DeviceError(f"{self.name}: a command of {len(command)} characters is too long for the board")
        if "\0" in command:
            raise DeviceError(f"{self.name}: an argument of `{shown(argv)}` has a zero byte in it")
        return command

    def _refused(self, talk: T) -> DeviceError:
        """The board answered, and not with our frame."""
        said = complaint(bytes(talk.framed.noise)) or complaint(talk.errors.content())
        return DeviceError(
            f"{self.name}: the board runs no commands for this user: {said or f'exit status {talk.status}'}",
            hint="does the account have a login shell and a POSIX `sh`? try `ssh BOARD sh -c true`",
        )

    def _too_late(self, argv: Sequence[str], what: str, timeout_s: float) -> DeadlineError:
        return DeadlineError(
            f"{self.name}: `{shown(argv)}` {what} and was killed",
            hint=_OVERLOADED,
            details={"argv": list(argv), "timeout_s": timeout_s},
        )

    def _silent(self, argv: Sequence[str], timeout_s: float) -> DeadlineError:
        return self._too_late(argv, f"said nothing within {timeout_s:.0f} s", timeout_s)


def nothing(block: bytes) -> None:
    """The sink of commands whose output nobody needs."""


def _pieces(stream: IO[bytes], size: int, piece: int, on_bytes: OnBytes | None) -> Iterator[bytes]:
    done = 0
    while done < size and (block := stream.read(piece)):
        yield block
        done += len(block)
        if on_bytes:
            on_bytes(done)
