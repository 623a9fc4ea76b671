"""A board over SSH: commands, uploads and downloads, each one channel, each with a deadline and a bound."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from edgekit.core.errors import DeadlineError, DeviceError, EdgekitError, TransferError, UnreachableError
from edgekit.device.transport import faults
from edgekit.device.transport.held_channel import HeldChannel
from edgekit.device.transport.paramiko_door import load
from edgekit.device.transport.protocol import Completed, OnBytes, complaint, printable, quoted, shown
from edgekit.device.transport.session import Deadlines, Session
from edgekit.device.transport.talk import PIECE, Talk
from edgekit.device.transport.watchdog import Watchdog

# The marker ($0) on both outputs is where the command's own output begins: what the login shell prints before it is
# dropped. The process id lets a deadline kill the command. No exec: a shell that stays turns signals into 128 + N.
_FRAME = 'printf "%s %s\\n" "$0" "$$"; printf "%s\\n" "$0" >&2; "$@"; exit "$?"'
# $1 new file, $2 size. It cleans up after itself, even when the connection is gone; noclobber never follows a link
_RECEIVE = (
    'set -C; umask 077; : > "$1" || exit 31; cat >| "$1"; status=$?; size=$(wc -c < "$1"); '
    '[ "$status" = 0 ] && [ "$((size))" = "$2" ] && exit 0; rm -f -- "$1"; exit 32'
)
_KILL = 'kill -KILL "-$1" 2>/dev/null || kill -KILL "$1"'  # no `--`: dash takes it for a number
_KILL_LIMIT_S = 5.0
_MAX_COMMAND = 120_000  # Linux takes 128 KiB for one argument, and the login shell gets the command as one
_RETRIES_S = (0.1, 0.3, 1.0)  # a server at MaxSessions may have a channel of ours that is just ending


class SshTransport:
    """See :class:`~edgekit.device.transport.protocol.Transport`. Takes over ``session`` and closes it.

    Args:
        session: an open connection.
        deadlines: of the transfers and channels.
        again: opens another connection to the same board. It is needed where a server allows one session a connection
            and a command is held open in it.
    """

    def __init__(self, session: Session, *, deadlines: Deadlines, again: Callable[[], Session]) -> None:
        self.name = session.name
        self._session = session
        self._sessions = [session]
        self._held: list[HeldChannel] = []
        self._talks: set[Talk] = set()
        self._closed = False
        self._again = again
        self._moving = threading.Lock()
        self._deadlines = deadlines
        self._marker = f"edgekit-{secrets.token_hex(12)}".encode()

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
        talk = Talk(self._marker, collect, keep=output_limit_bytes)
        try:
            with Watchdog(timeout_s, progress=False, break_off=lambda: self._break_off(talk)) as watchdog:
                self._converse(talk, argv, stdin or b"", watchdog)
        except EdgekitError as error:
            if talk.broken_off:
                raise DeadlineError(
                    f"{self.name}: `{shown(argv)}` did not end within {timeout_s:.0f} s and was killed",
                    hint="is the board overloaded, or did it freeze?",
                    details={"argv": list(argv), "timeout_s": timeout_s},
                ) from error
            raise
        return Completed(
            argv=tuple(argv),
            exit_status=talk.status,
            stdout=bytes(out),
            stderr=talk.errors.content(),
            seconds=time.monotonic() - begin,
        )

    def hold(self, argv: Sequence[str], *, timeout_s: float = 20.0) -> HeldChannel:
        """See :meth:`Transport.hold`."""
        command = self._command(argv)
        try:
            session, channel = self._channel()
        except (load().SSHException, EOFError, OSError) as error:
            raise faults.lost(error, name=self.name, doing=f"running `{shown(argv)}`") from error
        held = HeldChannel(channel, self._marker, kill=lambda pid: self._kill(session, pid))
        try:
            held.start(f"exec {command}")
            if not held.speaks(timeout_s):
                raise DeadlineError(
                    f"{self.name}: `{shown(argv)}` said nothing within {timeout_s:.0f} s and was killed",
                    hint="is the board overloaded, or did it freeze?",
                    details={"argv": list(argv), "timeout_s": timeout_s},
                )
            if why := held.ended_first(name=self.name, shown=shown(argv)):
                if not session.alive:
                    raise EOFError
                raise why
        except (load().SSHException, EOFError, OSError) as error:
            held.close()
            raise faults.lost(error, name=self.name, doing=f"running `{shown(argv)}`") from error
        except BaseException:
            held.close()
            raise
        self._held = [*(each for each in self._held if each.alive), held]
        return held

    def push(self, local: Path, remote: str, on_bytes: OnBytes | None = None) -> None:
        """See :meth:`Transport.push`.

        The bytes go to ``cat`` on the board: quicker than pipelined SFTP writes (tools/bench_push.py), it needs no SFTP
        server, and it says in words what is wrong with a disk, where SFTP says "Failure".
        """
        try:
            stream = local.open("rb")
        except OSError as error:
            raise TransferError(f"cannot read {local}: {error.strerror or error}", hint="check the path") from error
        with stream:
            size = os.fstat(stream.fileno()).st_size
            argv = ["sh", "-c", _RECEIVE, "sh", remote, str(size)]
            talk = self._transfer(argv, _pieces(stream, size, on_bytes), _nothing, doing=f"pushing {local.name}")
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
            talk = self._transfer(["cat", "--", remote], (), keep, doing=f"pulling {printable(remote)}")
        if talk.status != 0:
            why = complaint(talk.errors.content()) or f"exit status {talk.status}"
            raise TransferError(f"{self.name}: cannot read {printable(remote)}: {why}")
        return done

    def close(self) -> None:
        """See :meth:`Transport.close`."""
        self._closed = True
        for talk in list(self._talks):  # another thread's, which gives up here
            self._kill(talk.session, talk.framed.pid)
        for held in self._held:
            held.close()
        for session in self._sessions:
            session.close()

    def _transfer(
        self, argv: Sequence[str], pieces: Iterable[bytes], sink: Callable[[bytes], None], *, doing: str
    ) -> Talk:
        """A command without a deadline of its own: as long as bytes move, it may go on."""
        talk = Talk(self._marker, sink, keep=1 << 16)
        limit = self._deadlines.stall_s
        try:
            with Watchdog(limit, progress=True, break_off=lambda: self._drop(talk)) as watchdog:
                self._converse(talk, argv, pieces, watchdog)
        except EdgekitError as error:
            if talk.broken_off:
                raise UnreachableError(
                    f"{self.name}: the board stopped answering while {doing} (nothing moved for {limit:.0f} s)",
                    hint="is it still on? try again; nothing that arrived in part is used",
                ) from error
            raise
        return talk

    def _converse(self, talk: Talk, argv: Sequence[str], stdin: bytes | Iterable[bytes], watchdog: Watchdog) -> None:
        """Runs ``argv`` in a channel, to its end."""
        command = self._command(argv)
        if self._closed:
            raise UnreachableError(f"{self.name}: the connection was closed before `{shown(argv)}`")
        self._talks.add(talk)
        try:
            talk.session, talk.channel = self._channel()
            talk.run(f"exec {command}", stdin, watchdog.touch)
            if talk.status == -1 and not talk.session.alive:
                raise EOFError
        except EdgekitError:
            self._kill(talk.session, talk.framed.pid)
            raise
        except (load().SSHException, EOFError, OSError) as error:
            raise faults.lost(error, name=self.name, doing=f"running `{shown(argv)}`") from error
        except BaseException:
            self._kill(talk.session, talk.framed.pid)
            raise
        finally:
            self._talks.discard(talk)
            if talk.channel is not None:
                talk.channel.close()
        if self._closed:
            raise UnreachableError(f"{self.name}: the connection was closed while `{shown(argv)}` ran")
        if talk.broken_off:
            raise DeadlineError(f"{self.name}: broken off")
        if talk.framed.pid is None:
            said = complaint(bytes(talk.framed.noise)) or complaint(talk.errors.content())
            raise DeviceError(
                f"{self.name}: the board runs no commands for this user: {said or f'exit status {talk.status}'}",
                hint="does the account have a login shell and a POSIX `sh`? try `ssh BOARD sh -c true`",
            )
        if talk.status == -1:
            raise DeviceError(f"{self.name}: `{shown(argv)}` was ended on the board: its shell was killed")

    def _command(self, argv: Sequence[str]) -> str:
        command = quoted(["sh", "-c", _FRAME, self._marker.decode(), *argv])
        if len(command.encode()) > _MAX_COMMAND:
            raise DeviceError(f"{self.name}: a command of {len(command)} characters is too long for the board")
        return command

    def _channel(self) -> tuple[Session, Any]:
        paramiko = load()
        for pause in (*_RETRIES_S, None):
            session = self._session
            try:
                return session, session.transport.open_session(timeout=self._deadlines.connect_s)
            except paramiko.ChannelException as error:
                if self._moved_on(session):
                    continue
                if pause is None:
                    raise DeviceError(
                        f"{self.name}: the board allows no further session ({faults.said(error)})",
                        hint="close other connections to it, or raise MaxSessions in its sshd_config",
                    ) from error
                time.sleep(pause)
        raise AssertionError

    def _moved_on(self, full: Session) -> bool:
        """Where held commands take up the sessions of a connection, the others go through a connection of their own."""
        with self._moving:
            if self._session is not full:
                return True
            if len(self._sessions) > 1 or not any(held.alive for held in self._held):
                return False
            self._sessions.append(self._again())
            self._session = self._sessions[-1]
            return True

    def _break_off(self, talk: Talk) -> None:
        """At a deadline: kills the command over there; a board that does not even do that is dropped."""
        talk.broken_off = True
        if not self._kill(talk.session, talk.framed.pid):
            self._drop(talk)
        elif talk.channel is not None:
            talk.channel.close()

    def _drop(self, talk: Talk) -> None:
        talk.broken_off = True
        with contextlib.suppress(Exception):
            (talk.session or self._session).transport.close()

    def _kill(self, session: Session | None, pid: int | None) -> bool:
        """Kills a command that was started over ``session``; false where the board did not do it in time."""
        if not pid or session is None or not session.alive:
            return False
        ended = threading.Event()

        def ask() -> None:
            with contextlib.suppress(Exception), contextlib.closing(self._channel()[1]) as channel:
                channel.settimeout(_KILL_LIMIT_S)
                channel.exec_command(quoted(["sh", "-c", _KILL, "sh", str(pid)]))
                if channel.status_event.wait(_KILL_LIMIT_S):
                    ended.set()

        threading.Thread(target=ask, daemon=True).start()
        return ended.wait(_KILL_LIMIT_S)


def _pieces(stream: IO[bytes], size: int, on_bytes: OnBytes | None) -> Iterator[bytes]:
    done = 0
    while done < size and (piece := stream.read(PIECE)):
        yield piece
        done += len(piece)
        if on_bytes:
            on_bytes(done)


def _nothing(block: bytes) -> None:
    """The sink of commands that print nothing."""
