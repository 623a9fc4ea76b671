"""A board over SSH: commands, uploads and downloads, each one channel, each with a deadline and a bound."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from edgekit.core.errors import DeadlineError, DeviceError, EdgekitError, UnreachableError
from edgekit.device.transport import faults
from edgekit.device.transport.held_channel import HeldChannel
from edgekit.device.transport.paramiko_door import load
from edgekit.device.transport.protocol import quoted, shown
from edgekit.device.transport.remote import RemoteTransport
from edgekit.device.transport.session import Deadlines, Session
from edgekit.device.transport.shell import KILL
from edgekit.device.transport.talk import PIECE, Talk

_KILL_LIMIT_S = 5.0
_MAX_COMMAND = 120_000  # Linux takes 128 KiB for one argument, and the login shell gets the command as one
_RETRIES_S = (0.1, 0.3, 1.0)  # a server at MaxSessions may have a channel of ours that is just ending


class SshTransport(RemoteTransport[Talk]):
    """See :class:`~edgekit.device.transport.protocol.Transport`. Takes over ``session`` and closes it.

    Args:
        session: an open connection.
        deadlines: of the transfers and channels.
        again: opens another connection to the same board. It is needed where a server allows one session a connection
            and a command is held open in it.
    """

    def __init__(self, session: Session, *, deadlines: Deadlines, again: Callable[[], Session]) -> None:
        super().__init__(session.name, stall_s=deadlines.stall_s, piece_bytes=PIECE, most_bytes=_MAX_COMMAND)
        self._session = session
        self._sessions = [session]
        self._held: list[HeldChannel] = []
        self._again = again
        self._moving = threading.Lock()
        self._deadlines = deadlines

    def hold(self, argv: Sequence[str], *, timeout_s: float = 20.0) -> HeldChannel:
        """See :meth:`Transport.hold`."""
        command = self._command(argv)
        try:
            session, channel = self._channel()
        except (load().SSHException, EOFError, OSError) as error:
            raise faults.lost(error, name=self.name, doing=f"running `{shown(argv)}`") from error
        held = HeldChannel(channel, self._marker, kill=lambda pid: self._kill(session, pid))
        try:
            held.start(command)
            if not held.speaks(timeout_s):
                raise self._silent(argv, timeout_s)
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

    def close(self) -> None:
        """See :meth:`Transport.close`."""
        self._closed = True
        for talk in list(self._talks):  # another thread's, which gives up here
            pid = self._heard_pid(talk)
            self._kill(talk.session, pid)
        for held in self._held:
            held.close()
        for session in self._sessions:
            session.close()

    def _converse(
        self,
        talk: Talk,
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
            talk.session, talk.channel = self._channel()
            talk.run(command, stdin, touch)
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
            raise self._refused(talk)
        if talk.status == -1:
            raise DeviceError(f"{self.name}: `{shown(argv)}` was ended on the board: its shell was killed")

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

    def _new_talk(self, sink: Callable[[bytes], None], *, keep: int) -> Talk:
        return Talk(self._marker, sink, keep=keep)

    def _break_off(self, talk: Talk) -> None:
        """Kills the command over there; a board that does not even do that is dropped."""
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
                channel.exec_command(quoted(["sh", "-c", KILL, "sh", str(pid)]))
                if channel.status_event.wait(_KILL_LIMIT_S):
                    ended.set()

        threading.Thread(target=ask, daemon=True).start()
        return ended.wait(_KILL_LIMIT_S)
