"""Asks a program for a reading, without the module subprocess and never for long."""

from __future__ import annotations

import os
import select
import signal
import time

from .surroundings import die_with_parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence, Tuple


PATIENCE_S = 2.0  # a program that takes longer to tell a sensor's reading does not tell it
SILENT_PROGRAMS: List[str] = []  # programs that did not answer in time, or may not: they are not asked again
SAMPLING: List[bool] = []  # not empty in the sampler's own process: what it starts must end with it


def find_program(name: str) -> Optional[str]:
    """The path of a program: in the folders of PATH, then where Raspberry Pi OS and Android have it."""
    if "/" in name:
        return name
    for folder in (*os.environ.get("PATH", "").split(":"), "/usr/bin", "/opt/vc/bin", "/system/bin"):
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK):
            return path
    return None


def ask(argv: Sequence[str]) -> Optional[str]:
    """What a program prints; None where it is not there, fails, or does not end in time."""
    path = None if argv[0] in SILENT_PROGRAMS else find_program(argv[0])
    if path is None:
        return None
    reading, writing = os.pipe()
    try:
        pid = spawn((path, *argv[1:]), writing)
    except OSError:
        os.close(reading)
        return None
    finally:
        os.close(writing)
    end = time.monotonic() + PATIENCE_S
    text = read_until(reading, end)
    os.close(reading)
    status = None
    while text is not None and status is None and time.monotonic() < end:
        ended, code = os.waitpid(pid, os.WNOHANG)
        if ended:
            status = code
        else:
            time.sleep(0.0005)
    if status is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        SILENT_PROGRAMS.append(argv[0])
    return text.decode("utf-8", "replace") if text is not None and status == 0 else None


def read_until(descriptor: int, end: float) -> Optional[bytes]:
    """All that comes out of a pipe; None where it is not closed before ``end`` (monotonic seconds)."""
    text = b""
    while select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
        part = os.read(descriptor, 65536)
        if not part:
            return text
        text += part
        if len(text) > 1 << 20:
            return None
    return None


def spawn(argv: Tuple[str, ...], output: int) -> int:
    """Starts a program without the module subprocess, which would show in the memory figures; returns its pid."""
    if hasattr(os, "posix_spawn") and not SAMPLING:
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, output, 1)]
        return os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
    pid = os.fork()  # of a small process with one thread, or in Python 3.7
    if pid == 0:
        try:
            if SAMPLING:
                die_with_parent()
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted
        finally:
            os._exit(127)
    return pid
