"""This process among others: what it inherits, when it ends, on which cores it runs."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import threading

from .answer import ABANDONED, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence


def leave_inheritance() -> None:
    """Undoes what whoever started this process may have set: closed streams, pipes that do not wait, held signals."""
    for descriptor in range(3):
        try:
            os.set_blocking(descriptor, True)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # an ignored one takes the exit status of sensors' programs away
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def die_with_parent() -> None:
    """Lets the kernel end this process when its parent dies."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def end_with_the_host(answer: int) -> None:
    """Ends this process when the host goes away: its end of our output closes, or our parent dies."""
    die_with_parent()
    poll = select.poll()
    poll.register(answer, 0)  # errors and hang-ups are always reported

    def watch() -> None:
        if poll.poll():
            os._exit(ABANDONED)

    threading.Thread(target=watch, daemon=True).start()


def limit_time(seconds: float) -> None:
    """Ends this process by SIGALRM after ``seconds``, even inside the library."""
    if seconds:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def set_cpus(cpus: Sequence[int]) -> None:
    """Keeps this process (and the threads that it will start) on the given cores."""
    if not cpus:
        return
    try:
        os.sched_setaffinity(0, cpus)
    except (OSError, ValueError, OverflowError) as error:
        raise Failure("cpus", "cannot run on the cores %s: %s" % (list(cpus), error)) from error
