"""Running ``python -m edgekit`` as a user does: another process, its two streams, its exit status, its terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
from processes import signal_all

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SOON_S = 120.0  # "bounded time": far more than anything here takes


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout; fails where there is anything else."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    @property
    def error(self) -> dict[str, Any]:
        """The error of a ``--json`` document."""
        found: dict[str, Any] = self.document["error"]
        return found


@dataclass
class Edgekit:
    """The command in a folder.

    Attributes:
        home: EDGEKIT_HOME, where it is not the test's own.
        flags: of the interpreter.
        variables: added to the environment.
    """

    folder: Path
    home: Path | None = None
    flags: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    def __call__(
        self,
        *arguments: object,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        wrap: tuple[str, ...] = (),
    ) -> Ran:
        """Runs it to its end, without a terminal. ``env`` is added to the environment; ``wrap`` goes before it."""
        done = subprocess.run(
            [*wrap, *self.argv(*arguments)],
            cwd=cwd or self.folder,
            env=self._environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SOON_S,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def argv(self, *arguments: object) -> list[str]:
        return [sys.executable, *self.flags, "-m", "edgekit", *map(str, arguments)]

    def on_terminal(
        self,
        *arguments: object,
        env: Mapping[str, str] | None = None,
        columns: int = 80,
        answers: tuple[str, ...] = (),
        ctrl_c_at: str = "",
    ) -> Ran:
        """Runs it with all three streams on one terminal; what it showed is ``out``.

        ``answers``: each is typed when a line that ends in ``": "`` waits for it; so is Ctrl-C, when it shows
        ``ctrl_c_at``.
        """
        pid, terminal = pty.fork()
        if pid == 0:
            try:
                import fcntl
                import struct
                import termios

                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
                os.chdir(self.folder)
                os.execve(sys.executable, self.argv(*arguments), {"TERM": "xterm-256color", **self._environment(env)})
            finally:
                os._exit(127)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal is gone with its last process
            waiting = list(answers)
            while block := os.read(terminal, 1 << 16) if select.select([terminal], [], [], SOON_S)[0] else b"":
                shown += block
                if waiting and shown.endswith(b": "):
                    os.write(terminal, f"{waiting.pop(0)}\n".encode())
                if ctrl_c_at and ctrl_c_at.encode() in shown:
                    os.write(terminal, b"\x03")
                    ctrl_c_at = ""
        os.close(terminal)  # a command that still waits for an answer gets SIGHUP
        return Ran(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode().replace("\r\n", "\n"), "")

    @contextlib.contextmanager
    def running(self, *arguments: object, env: Mapping[str, str] | None = None) -> Iterator[Running]:
        """Runs it as a shell's foreground job does: in a process group of its own, which Ctrl-C is sent to."""
        process = subprocess.Popen(
            self.argv(*arguments),
            cwd=self.folder,
            env=self._environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        run = Running(process, self._environment(env)["EDGEKIT_HOME"])
        try:
            yield run
        finally:
            signal_all(run.alive())
            process.wait()

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        home = {"EDGEKIT_HOME": str(self.home)} if self.home else {}
        return {**environment(), **home, **self.variables, **(extra or {})}


class Running:
    """A command that has not ended yet."""

    def __init__(self, process: subprocess.Popen[bytes], home: str) -> None:
        self.process = process
        self._mark = f"EDGEKIT_HOME={home}".encode()
        self.err = ""
        self._threads = [threading.Thread(target=self._read, daemon=True)]
        self._threads[0].start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.err += line.decode()

    def wait_for(self, condition: Any) -> None:
        """Until ``condition(self)`` is true; fails when the command ended before."""
        end = time.monotonic() + SOON_S
        while not condition(self):
            assert self.process.poll() is None, f"ended before: {self.err}"
            assert time.monotonic() < end, self.err
            time.sleep(0.02)

    def alive(self) -> list[int]:
        """The command's process and whatever it started, known by their environment: no other has this home."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if self._mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def ctrl_c(self, signalled: signal.Signals = signal.SIGINT) -> Ran:
        """What a terminal does on Ctrl-C, or something else with another signal; and how the command ended then."""
        os.killpg(self.process.pid, signalled)
        status = self.process.wait(timeout=SOON_S)
        self._threads[0].join(timeout=60)
        assert self.process.stdout is not None
        return Ran(status, self.process.stdout.read().decode(), self.err)


def environment() -> dict[str, str]:
    """This process's environment without what makes a terminal of a pipe."""
    return {key: value for key, value in os.environ.items() if key not in ("FORCE_COLOR", "COLUMNS", "NO_COLOR")}


def copied_example(to: Path) -> Path:
    """A copy of the shipped example."""
    return Path(shutil.copytree(EXAMPLE, to, ignore=shutil.ignore_patterns("build")))


def with_steps(home: Path, steps: Path) -> None:
    """Puts finished steps into the cache of ``home``; what is made there does not come back."""
    cache = home / "cache" / "steps"
    cache.mkdir(parents=True)
    for step in steps.iterdir():
        (cache / step.name).symlink_to(step, target_is_directory=True)


def left_behind(folder: Path) -> list[str]:
    """Everything in a folder, hidden names too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(ran: Ran, status: int, *words: str) -> None:
    """A named error: the exit status, one ``error:`` line with these words, no traceback, no answer."""
    assert ran.status == status, ran.err + ran.out
    assert "Traceback" not in ran.err
    assert "unexpected" not in ran.err
    assert ran.err.count("error: ") == 1, ran.err
    for word in words:
        assert word in ran.err, f"{word!r} is not in: {ran.err}"
    assert ran.out == ""


def npz(path: Path, rows: int = 40, *, shape: tuple[int, ...] = (8, 8, 1), classes: int = 3, **more: Any) -> Path:
    """Labelled rows with values like those of an image; ``more`` replaces or adds arrays."""
    random = numpy.random.default_rng(5)
    arrays = {"x": random.integers(0, 256, (rows, *shape)).astype("float32"), "y": numpy.arange(rows) % classes}
    numpy.savez(path, **{**arrays, **more})
    return path
