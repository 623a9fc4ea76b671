"""Both runners of this machine behind one call, and what a board around them is like."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from payload_process import PAYLOAD, Ended


def as_a_shell_tells(status: int) -> int:
    """The exit status that a board's shell gives for a process that a signal ended."""
    return status if status >= 0 else 128 - status


class Runner:
    """One of the two runners, as a board would start it."""

    def __init__(self, name: str, program: Path) -> None:
        self.name = name
        self.argv = [sys.executable, "-I", "-S", str(PAYLOAD)] if name == "payload" else [str(program)]

    def __call__(self, request: Any, **options: Any) -> Ended:
        text = request if isinstance(request, bytes) else json.dumps(request).encode()
        done = subprocess.run(self.argv, input=text + b"\n", capture_output=True, timeout=60, **options)
        return Ended(as_a_shell_tells(done.returncode), done.stdout, done.stderr)

    @contextmanager
    def started(self, request: Any, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A process that has its request and is left to run; it is no more in the end."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(self.argv, stdin=pipe, stdout=pipe, stderr=pipe, **options)
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            yield process
        finally:
            process.kill()
            process.communicate()


class Played:
    """Programs on the PATH that give recorded answers, one script for each."""

    def __init__(self, folder: Path, set_path: Callable[[str], None]) -> None:
        self.folder = folder
        folder.mkdir()
        set_path(f"{folder}:{os.environ['PATH']}")

    def __call__(self, name: str, script: str) -> Path:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def in_turn(self, name: str, key: str, *answers: str) -> str:
        """A script's lines that give a key's answers one after the other, the last one from then on."""
        count = self.folder / f"{name}.{key}"
        cases = " ".join(f'{number}) echo "{answer}" ;;' for number, answer in enumerate(answers[:-1], 1))
        counting = f"n=1; [ -r '{count}' ] && read n < '{count}'; echo $((n + 1)) > '{count}'"
        return f'{counting}; case $n in {cases} *) echo "{answers[-1]}" ;; esac'


#: the number of a system call, and what the kernel calls this machine in a filter
SYSTEM_CALLS = {"x86_64": (0xC000003E, {"mincore": 27}), "aarch64": (0xC00000B7, {"mincore": 232})}


def without_system_call(name: str) -> Callable[[], None]:
    """What a process does to itself before it starts a program: the kernel forbids it a system call (EPERM)."""
    machine, numbers = SYSTEM_CALLS[platform.machine()]
    load, equal, give = 0x20, 0x15, 0x06  # instructions of the kernel's filters
    steps = [(load, 0, 0, 4), (equal, 0, 2, machine), (load, 0, 0, 0), (equal, 1, 0, numbers[name])]
    steps += [(give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x00050000 | 1)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)

    def forbid() -> None:
        program = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(code)))
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):  # no new privileges, then the filter
            raise OSError(ctypes.get_errno(), "the kernel takes no filter")

    return forbid


def cached_bytes(path: Path) -> int:
    """How much of a file lies in the page cache, in whole pages but for the last: mincore(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        with mmap.mmap(stream.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
            start = ctypes.c_char.from_buffer(mapped)
            flags = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
            failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), flags)
            del start
    assert not failed, os.strerror(ctypes.get_errno())
    return min(size, mmap.PAGESIZE * sum(flag & 1 for flag in flags))


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are still there."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_there(pid: int) -> bool:
    """Whether a process runs (one that has ended and was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
