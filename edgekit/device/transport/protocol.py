"""What every way to a board can do: run a command, push a file, pull a file."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

OnBytes = Callable[[int], None]
#: the name ($0) of a script that runs what follows its first ``--``
GUARDED = "edgekit-guard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that has ended on the board.

    Attributes:
        argv: what was run.
        exit_status: as a POSIX shell gives it: 128 + N when signal N ended the command.
        stdout: what the command itself printed; nothing of the login shell's.
        stderr: the same; where it was too long, its end.
        seconds: wall time as seen from here.
    """

    argv: tuple[str, ...]
    exit_status: int
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def signal_name(self) -> str | None:
        """``SIGKILL``, ``SIGSEGV``, … where a signal ended the command; else None."""
        try:
            return signal.Signals(self.exit_status - 128).name
        except ValueError:
            return None

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 become U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def complaint(self) -> str:
        """The last line of standard error that says something; empty where there is none."""
        return complaint(self.stderr)


class Hold(Protocol):
    """A command that runs on the board for as long as we keep it: it ends when this process does, however that ends."""

    @property
    def said(self) -> str:
        """The first line that it printed, without its end."""

    @property
    def alive(self) -> bool:
        """Whether it still runs, as far as we have heard."""

    def send(self, data: bytes) -> None:
        """Writes a few bytes to its standard input; to one that has ended, nothing.

        Never waits for the board: what is sent must fit into a pipe.
        """

    def close(self) -> None:
        """Closes its standard input, waits a moment for its end, then kills it. May be called twice."""


class Transport(Protocol):
    """An open way to a board. All methods raise :class:`~edgekit.core.errors.DeviceError` and its subclasses only."""

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout_s: float = 60.0,
        output_limit_bytes: int = 1 << 20,
    ) -> Completed:
        """Runs a command in the user's home folder on the board and waits for its end.

        Raises:
            DeadlineError: it did not end within ``timeout_s``; it was killed.
            DeviceError: it printed more than ``output_limit_bytes``; it was killed.
            UnreachableError: the connection was lost.
        """

    def hold(self, argv: Sequence[str], *, timeout_s: float = 20.0) -> Hold:
        """Starts a command whose standard input stays open until :meth:`Hold.close`, or until this process ends.

        Returns once it has printed its first line; it must end when its standard input does. Other commands run
        beside it.

        Raises:
            DeadlineError: it printed no line within ``timeout_s``; it was killed.
            DeviceError: it ended first; ``details`` has its exit_status, stdout and stderr (text).
            UnreachableError: the connection was lost.
        """

    def push(self, local: Path, remote: str, on_bytes: OnBytes | None = None) -> None:
        """Writes the bytes of ``local`` to the absolute path ``remote``, which must not exist yet.

        A push is not proof: the caller compares size and hash on the board. A file that did not arrive whole may be
        left there. ``on_bytes`` gets the number of bytes handed over so far.

        Raises:
            TransferError: disk full, no permission, connection lost.
        """

    def pull(self, remote: str, local: Path, *, limit_bytes: int) -> int:
        """Copies ``remote`` into the new file ``local``; returns its size.

        Raises:
            TransferError: not there, not readable, larger than ``limit_bytes``, connection lost.
        """

    def close(self) -> None:
        """Ends the connection. May be called twice, and from another thread.

        A command that runs is killed; whoever waits for it, or starts another one, gets a DeviceError.
        """


def quoted(argv: Sequence[str]) -> str:
    """The one place where an argv becomes text for a POSIX shell."""
    return shlex.join(argv)


def shown(argv: Sequence[str]) -> str:
    """A command for messages: a script is not shown at length, and one that guards a command not at all."""
    words = list(argv)
    if GUARDED in words[:4]:
        words = words[words.index("--") + 1 :]
    return printable(quoted(words))[:80]


def complaint(stderr: bytes) -> str:
    """The last line that says something; empty where there is none."""
    lines = [printable(line).strip() for line in stderr[-4096:].decode("utf-8", "replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:300]


def printable(text: str) -> str:
    """Text from a board without control characters, so that it cannot steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)
