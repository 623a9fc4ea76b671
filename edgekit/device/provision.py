"""Brings onto a board what runs models there: our payload and LiteRT's library, or finds a module it already has."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edgekit.core import decode
from edgekit.core.errors import DependencyError, DeviceError, RuntimeMissingError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.device.connect import Device
from edgekit.device.facts import Facts
from edgekit.device.workspace import Pushed
from edgekit.runner import payload
from edgekit.runner.answer import read_answer
from edgekit.runner.protocol import Probe
from edgekit.runner.runtimes import Library, choose_library

RuntimeName = Literal["auto", "litert", "native", "ai_edge_litert", "tflite_runtime", "benchmark_model"]
Runner = Literal["payload", "native", "benchmark_model"]

OLDEST_PYTHON = (3, 7)
_MODULES: tuple[Literal["ai_edge_litert", "tflite_runtime"], ...] = ("ai_edge_litert", "tflite_runtime")
_PROBE_TIME_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRuntime:
    """A runtime that was seen to work on a board.

    Attributes:
        runner: ``payload``: our Python file; ``native``: our program; ``benchmark_model``: the user's.
        python: path of the interpreter there; None: the runner is a program of its own.
        runner_path: of the runner there.
        library_path: of the LiteRT library there; None: ``module`` is used, or the runner contains its library.
        module: Python module; None: the library is used.
        module_path: our folder there that has ``module``; None: the board has it itself.
        name: ``LiteRT C API``, ``ai_edge_litert``, ``tflite_runtime`` or ``benchmark_model``.
        version: of the library or module.
        uploaded_bytes: what had to be sent; 0 where all was there already.
        notices: what the user should know about this choice.
    """

    runner: Runner = "payload"
    python: str | None
    runner_path: str
    library_path: str | None
    module: str | None
    module_path: str | None = None
    name: str
    version: str
    uploaded_bytes: int
    notices: tuple[Notice, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        """The command that starts the runner; a module needs the site-packages that ``-I -S`` leaves out."""
        if self.python is None:
            return (self.runner_path,)
        flags = ("-I", "-S") if self.module is None else ()
        return (self.python, *flags, self.runner_path)


def prepare_runtime(
    device: Device,
    facts: Facts,
    *,
    runtime: RuntimeName = "auto",
    stateful: bool = False,
    on_event: EventSink = ignore,
) -> BoardRuntime:
    """Makes a board ready to run models, and sees that it really is.

    Args:
        device: the board.
        facts: what it said about itself.
        runtime: ``litert``: our library; a module's name: what is installed there; ``auto``: the library, and where
            none can exist for this board, a module.
        stateful: models with variable tensors (fused LSTM, SVDF) shall run; LiteRT's C API refuses to load them.
        on_event: gets the progress.

    Raises:
        RuntimeMissingError: no Python or too old a one, no library for this board, or it does not load there.
        DependencyError: the library cannot be downloaded.
        DeviceError: the board could not be reached or written to.
    """
    python = _python(device, facts)
    with task("prepare the board's runtime", on_event):
        pushed = _push(device, Path(payload.__file__), "payload.py")
        if runtime in _MODULES:
            return _module(device, python, pushed, runtime)
        if stateful:
            return _for_stateful(device, python, pushed, runtime)
        try:
            return _library(device, facts, python, pushed, on_event)
        except RuntimeMissingError as error:
            if runtime == "litert":
                raise
            return _instead(device, python, pushed, error)


def _python(device: Device, facts: Facts) -> str:
    hint = f"on {device.name}: `sudo apt-get install python3` (nothing else is needed there)"
    if facts.python is None:
        raise RuntimeMissingError(f"{device.name}: there is no Python 3 on the board", hint=hint)
    if facts.python.version[:2] < OLDEST_PYTHON:
        found = ".".join(map(str, facts.python.version))
        raise RuntimeMissingError(f"{device.name}: Python {found} is too old: 3.7 is the oldest that works", hint=hint)
    return facts.python.path


def _push(device: Device, local: Path, name: str) -> Pushed:
    """Puts a file of ours where its content says, so that nothing is ever overwritten or sent twice."""
    return device.workspace.push_file(local, f"runtime/{sha256_file(local)[:12]}/{name}")


def _library(device: Device, facts: Facts, python: str, pushed: Pushed, on_event: EventSink) -> BoardRuntime:
    """The newest library that the board's glibc promises to load and that the board then does load."""
    failures: dict[str, RuntimeMissingError] = {}
    while True:
        try:
            library = choose_library(
                facts.abi, facts.libc, facts.libc_version, reject=failures.keys(), on_event=on_event
            )
        except (RuntimeMissingError, DependencyError) as error:
            if failures:  # what the board said of the newest one is what has to be mended
                raise next(iter(failures.values())) from error
            if isinstance(error, DependencyError):
                raise
            raise _of(device, error) from error
        at = _push(device, library.path, library.path.name)
        candidate = BoardRuntime(
            python=python,
            runner_path=pushed.path,
            library_path=at.path,
            module=None,
            name="LiteRT C API",
            version=library.version,
            uploaded_bytes=pushed.uploaded_bytes + at.uploaded_bytes,
        )
        try:
            probe(device, candidate)
        except RuntimeMissingError as error:
            failures[library.version] = _explained(error, library, facts)
            if "version `" not in error.message:  # only a missing version of a symbol is cured by an older release
                raise failures[library.version] from error
            continue
        return candidate


def _explained(error: RuntimeMissingError, library: Library, facts: Facts) -> RuntimeMissingError:
    """The loader's complaint, with the way out."""
    text = error.message
    hint = error.hint or "install what the message names on the board"
    if "failed to map segment" in text:
        hint = "the workspace is on a file system mounted noexec: give the board another `workspace` in the inventory"
    elif "libstdc++" in text or "GLIBCXX" in text:
        hint = "`sudo apt-get install libstdc++6` on the board" + (
            f"; LiteRT {library.version} needs GLIBCXX {library.glibcxx_needed}" if library.glibcxx_needed else ""
        )
    elif "wrong ELF class" in text or "cannot open shared object file: No such file" in text:
        bits = facts.python.bits if facts.python else None
        if bits and facts.userland_bits and bits != facts.userland_bits:
            hint = f"the board's Python is a {bits}-bit program: install the {facts.userland_bits}-bit one"
    elif "GLIBC_" in text:
        hint = f"LiteRT {library.version} needs glibc {library.glibc_needed}: upgrade the board's system"
    return RuntimeMissingError(text, hint=hint, details=error.details)


def _for_stateful(device: Device, python: str, pushed: Pushed, runtime: RuntimeName) -> BoardRuntime:
    refusal = RuntimeMissingError(
        f"{device.name}: LiteRT's C library does not load models with stateful ops (fused LSTM, SVDF) yet",
        hint="`pip install ai-edge-litert` on the board, then --runtime ai_edge_litert; or build the LSTM with "
        "unroll=True",
    )
    if runtime == "litert":
        raise refusal
    return _instead(device, python, pushed, refusal)


def _instead(device: Device, python: str, pushed: Pushed, error: RuntimeMissingError) -> BoardRuntime:
    """A module that the board happens to have, where no library can run; else ``error``."""
    for name in _MODULES:
        try:
            found = _module(device, python, pushed, name)
        except RuntimeMissingError:
            continue
        notice = Notice(
            code="module-runtime",
            message=f"{device.name} runs its own {name} {found.version}, not LiteRT's library: {error.message}",
            hint="int8 can be many times slower there: compare only with results of the same runtime",
        )
        return replace(found, notices=(notice,))
    raise _of(device, error)


def _module(device: Device, python: str, pushed: Pushed, name: str) -> BoardRuntime:
    runtime = BoardRuntime(
        python=python,
        runner_path=pushed.path,
        library_path=None,
        module=name,
        name=name,
        version="",
        uploaded_bytes=pushed.uploaded_bytes,
    )
    return replace(runtime, version=probe(device, runtime).version)


def probe(device: Device, runtime: BoardRuntime) -> Probe:
    """Starts the payload on the board and lets it load the runtime, without a model.

    Raises:
        RuntimeMissingError: it does not load; the message is the loader's own.
        DeviceError: the process crashed or did not answer.
    """
    request = {
        "mode": "probe",
        "library": runtime.library_path,
        "module": runtime.module,
        "module_path": runtime.module_path,
        "time_limit_s": _PROBE_TIME_LIMIT_S,
    }
    done = device.transport.run(
        list(runtime.argv), stdin=json.dumps(request).encode() + b"\n", timeout_s=_PROBE_TIME_LIMIT_S + 5
    )
    try:
        answer = read_answer(done.stdout, done.stderr, done.exit_status, board=device.name)
    except DeviceError as error:
        if type(error) is DeviceError:  # a crash while loading means that this runtime does not run here
            raise RuntimeMissingError(error.message, hint=error.hint, details=error.details) from error
        raise
    return decode.from_json(Probe, answer, source=f"{device.name}: the runner's answer", error=DeviceError)


def _of(device: Device, error: RuntimeMissingError) -> RuntimeMissingError:
    if error.message.startswith(f"{device.name}: "):
        return error
    return RuntimeMissingError(f"{device.name}: {error.message}", hint=error.hint, details=error.details)
