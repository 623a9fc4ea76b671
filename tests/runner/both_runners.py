"""Both runners of this machine behind one call, and programs that play a board's recorded answers."""

from __future__ import annotations

import json
import os
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

    def __call__(self, request: Any) -> Ended:
        text = json.dumps(request).encode() + b"\n"
        done = subprocess.run(self.argv, input=text, capture_output=True, timeout=60)
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
