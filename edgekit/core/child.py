"""Child processes: our own functions in a process of their own, with limits, their noise in a log file.

Everything that parses a file we did not write, and everything that imports TensorFlow, runs here: a crash, a hang or
a killed process becomes an error of ours, and what C++ prints never reaches the terminal.

    with Child(log=folder / "convert.log", purpose="conversion") as child:
        answer = child.call("edgekit.optimize.convert:convert", time_limit_s=600, source=..., out=...)

Requests go in as JSON lines, events and answers come back as JSON lines over a pipe of their own. The process stays
for further calls, so TensorFlow is imported once. It dies with its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from edgekit.core.decode import to_json
from edgekit.core.errors import EdgekitError, ModelError, by_name
from edgekit.core.events import Event, EventSink, ignore, task

_START = (
    "import sys; sys.path[:1] = []; sys.path.append({root!r}); "
    "from edgekit.core.child import serve; serve({fd}, {limits!r})"
)
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "Cannot allocate memory", "out of memory", "OOM")


class ChildDied(ModelError):
    """The child ended without an answer.

    Attributes:
        signal_name: ``SIGSEGV``, ``SIGKILL``, …; None where it exited by itself.
        out_of_memory: killed by the kernel's memory killer or stopped by its own memory limit.
        timed_out: we ended it at its time limit.
        log_tail: the last lines that it printed.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        details: dict[str, object] | None = None,
        signal_name: str | None = None,
        out_of_memory: bool = False,
        timed_out: bool = False,
        log_tail: str = "",
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.signal_name = signal_name
        self.out_of_memory = out_of_memory
        self.timed_out = timed_out
        self.log_tail = log_tail


class Child:
    """A process that runs our functions one at a time. A context manager; the process starts when it is entered.

    Args:
        log: file that receives the child's standard output and error (appended).
        purpose: what it does, for error messages ("conversion").
        memory_limit_bytes: ceiling for its private memory; None: this machine's physical memory.
        environment: variables added to ours.
        preload: modules that it imports at once, while the caller prepares the first call.
    """

    def __init__(
        self,
        *,
        log: Path,
        purpose: str,
        memory_limit_bytes: int | None = None,
        environment: Mapping[str, str] | None = None,
        preload: tuple[str, ...] = (),
    ) -> None:
        self.log = Path(log)
        self.purpose = purpose
        self._limits = {"memory": memory_limit_bytes or _physical_memory(), "preload": list(preload)}
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1
        self._buffer = b""

    def __enter__(self) -> Child:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Starts the process if it is not running."""
        if self._process is not None:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        reading, writing = os.pipe()
        root = str(Path(__file__).resolve().parents[2])
        code = _START.format(root=root, fd=writing, limits=self._limits)
        with self.log.open("ab") as noise:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=noise,
                stderr=noise,
                pass_fds=(writing,),
                start_new_session=True,  # Ctrl-C reaches us, and we end the child
                env={
                    **os.environ,
                    "TF_CPP_MIN_LOG_LEVEL": "2",
                    "PYTHONFAULTHANDLER": "1",
                    **self._environment,
                },
            )
        os.close(writing)
        self._answers, self._buffer = reading, b""

    def call(self, function: str, /, *, time_limit_s: float, on_event: EventSink = ignore, **arguments: Any) -> Any:
        """Runs ``module:function`` in the child and returns its answer as JSON values.

        The function gets ``arguments`` (anything :func:`edgekit.core.decode.to_json` takes) and, if it has a
        parameter of that name, ``on_event``.

        Raises:
            EdgekitError: the one that the function raised, with its class, hint and details.
            ChildDied: the process crashed, ran out of memory or past ``time_limit_s``.
        """
        self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        request = json.dumps({"function": function, "arguments": to_json(arguments)}).encode() + b"\n"
        deadline = time.monotonic() + time_limit_s
        try:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(request)
                self._process.stdin.flush()
            while (line := self._line(deadline)) is not None:
                message = json.loads(line)
                if "event" in message:
                    on_event(Event(**message["event"]))
                elif "error" in message:
                    raise _rebuilt(message["error"])
                else:
                    return message["answer"]
        except BaseException as error:
            if not isinstance(error, EdgekitError):
                self.kill()
            raise
        raise self._obituary(timed_out=time.monotonic() >= deadline, time_limit_s=time_limit_s)

    def close(self) -> None:
        """Ends the process, politely first."""
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            self.kill()
        self._forget()

    def kill(self) -> None:
        """Ends the process and everything it started, at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._forget()

    def _forget(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if self._answers >= 0:
            os.close(self._answers)
        self._process, self._answers = None, -1

    def _line(self, deadline: float) -> bytes | None:
        """The next line of the pipe; None at its end or at the deadline."""
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                return None
            block = os.read(self._answers, 1 << 16)
            if not block:
                return None
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _obituary(self, *, timed_out: bool, time_limit_s: float) -> ChildDied:
        process = self._process
        assert process is not None
        if not timed_out:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
        code = process.poll()
        self.kill()
        tail = log_tail(self.log)
        if timed_out:
            return ChildDied(
                f"the {self.purpose} did not end within {time_limit_s:.0f} s and was stopped",
                hint=f"what it printed is in {self.log}",
                timed_out=True,
                log_tail=tail,
            )
        name = signal.Signals(-code).name if code is not None and code < 0 else None
        memory = name == "SIGKILL" or any(word in tail for word in _OUT_OF_MEMORY)
        cause = "ran out of memory" if memory else f"crashed ({name or f'exit status {code}'})"
        return ChildDied(
            f"the {self.purpose} {cause}",
            hint=f"what it printed is in {self.log}",
            signal_name=name,
            out_of_memory=memory,
            log_tail=tail,
        )


def run_once(
    function: str,
    /,
    *,
    purpose: str,
    time_limit_s: float,
    memory_limit_bytes: int | None = None,
    on_event: EventSink = ignore,
    **arguments: Any,
) -> Any:
    """One call in a child of its own, whose log is kept only when it dies.

    Raises:
        EdgekitError: see :meth:`Child.call`.
    """
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="edgekit-"))
    keep = False
    try:
        with Child(log=folder / "log.txt", purpose=purpose, memory_limit_bytes=memory_limit_bytes) as child:
            return child.call(function, time_limit_s=time_limit_s, on_event=on_event, **arguments)
    except ChildDied:
        keep = True
        raise
    finally:
        if not keep:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)


def log_tail(log: Path, *, lines: int = 20) -> str:
    """The last lines of a log file; empty where there is none."""
    with contextlib.suppress(OSError), log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 16384))
        return "\n".join(stream.read().decode("utf-8", "replace").splitlines()[-lines:])
    return ""


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _rebuilt(error: Mapping[str, Any]) -> EdgekitError:
    return by_name(error["class"])(error["message"], hint=error["hint"], details=error["details"])


# ---------------------------------------------------------------------------------------- inside the child


def serve(answers: int, limits: Mapping[str, Any]) -> None:
    """The child's main loop: read a request, run it, answer; ends when its input ends."""
    _die_with_parent()
    _limit_memory(limits["memory"])
    with os.fdopen(answers, "w", encoding="utf-8", buffering=1) as out:
        for name in limits["preload"]:
            _preload(name, out)
        for line in sys.stdin:
            out.write(json.dumps(_answer(json.loads(line), out)) + "\n")
    # C++ destructors of TensorFlow may abort; the answers are all out
    sys.stdout.flush()
    os._exit(0)


def _preload(name: str, out: IO[str]) -> None:
    import importlib

    def tell(event: Event) -> None:
        if not name.startswith("edgekit"):  # what takes seconds is worth a line; the caller reads it when it calls
            out.write(json.dumps({"event": to_json(event)}) + "\n")

    with contextlib.suppress(ImportError), task(f"import {name}", tell):  # the call that needs it says so better
        importlib.import_module(name)


def _answer(request: Mapping[str, Any], out: IO[str]) -> dict[str, Any]:
    import importlib
    import inspect
    import traceback

    module, _, name = request["function"].partition(":")
    arguments = dict(request["arguments"])

    def on_event(event: Event) -> None:
        out.write(json.dumps({"event": to_json(event)}) + "\n")

    try:
        function = getattr(importlib.import_module(module), name)
        if "on_event" in inspect.signature(function).parameters:
            arguments["on_event"] = on_event
        return {"answer": to_json(function(**arguments))}
    except EdgekitError as error:
        # a room's own subclass crosses as the class of the tree that it belongs to
        kind = next(base.__name__ for base in type(error).__mro__ if by_name(base.__name__) is base)
        message, hint, details = error.message, error.hint, error.details
    except MemoryError:
        traceback.print_exc()
        kind, message, hint, details = (
            "ModelError",
            f"{name}: out of memory",
            "use a machine with more memory",
            {},
        )
    except Exception as error:  # noqa: BLE001 - the process boundary: whatever it was, the caller must hear of it
        traceback.print_exc()
        kind, message, hint = "EdgekitError", f"{name}: {type(error).__name__}: {error}"[:2000], None
        details = {"traceback": traceback.format_exc()}
    return {"error": {"class": kind, "message": message, "hint": hint, "details": to_json(details)}}


def _die_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() == 1:
            os._exit(1)


def _limit_memory(limit: int) -> None:
    if sys.platform == "linux":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))
