"""From the options of a command to a board: names, thread counts, and the person who may be asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from edgekit.core.errors import UsageError

if TYPE_CHECKING:
    from edgekit.verbs.boards import Ask


def at_terminal() -> Ask:
    """Asks without echo; None where nobody sits at a terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    return _ask


def _ask(question: str) -> str:
    import getpass

    from edgekit.cli.invocation import settle

    settle()  # a spinner would paint over the question
    return getpass.getpass(question, stream=sys.stderr)


def device_names(text: str) -> list[str]:
    """``local,pi4`` → two names.

    Raises:
        UsageError: there is none.
    """
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise UsageError("--device names no board", hint="`edgekit devices list` shows the boards")
    return found


def one_device(text: str) -> str:
    """A name for what can be done with one board only.

    Raises:
        UsageError: there is none, or several.
    """
    names = device_names(text)
    if len(names) > 1:
        raise UsageError(f"one board is wanted here, {len(names)} are named", hint=f"--device {names[0]}")
    return names[0]


def thread_counts(text: str | None) -> list[int] | None:
    """``1,4`` → two counts; None stays None.

    Raises:
        UsageError: not whole numbers from 1 to 1024.
    """
    if text is None:
        return None
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or not all(1 <= count <= 1024 for count in counts):
        raise UsageError(f"--num-threads {text!r} is not a list of thread counts", hint="--num-threads 1  or  1,2,4")
    return counts


def one_thread_count(text: str | None) -> int | None:
    """``4`` → 4; None stays None.

    Raises:
        UsageError: several, or no whole number.
    """
    counts = thread_counts(text)
    if counts is not None and len(counts) > 1:
        raise UsageError("one thread count is wanted", hint="`edgekit benchmark --num-threads 1,2` compares several")
    return counts[0] if counts else None
