"""Processes of a test's board or command: who they are, a signal to all of them, and the end of all at once."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

#: far more than anything takes that a test waits for, on a machine that is busy too
SOON_S = 120.0


def descendants(pid: int) -> list[int]:
    """Process ids of everything below ``pid``, parents before their children."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def command_lines(pids: Iterable[int]) -> str:
    """A line for each that has not ended."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
    return "\n".join(found)


def signal_all(pids: Iterable[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Signals each; one that has ended meanwhile, because another one did, is no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_at_once(root: int, *others: int) -> None:
    """Kills everything below ``root``, and ``others``, as a power cut does; returns once they have ended.

    First nothing runs any more: what only lost its parent would go on, clean up after it, or start something.
    """
    stopped: set[int] = set()
    while fresh := {*descendants(root), *others} - stopped:
        signal_all(fresh, signal.SIGSTOP)
        stopped |= fresh
    signal_all(sorted(stopped, reverse=True))  # children first: one that loses its parent may be let run
    wait_until(lambda: not any(map(runs, stopped)))


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended; one that has only not been waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], object], limit_s: float = SOON_S) -> None:
    """Returns once it has come about; fails where that takes longer than it ever should."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"it did not come about within {limit_s:.0f} s"
        time.sleep(0.02)
