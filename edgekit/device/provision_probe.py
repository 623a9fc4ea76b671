"""Lets a board load a runtime without a model, and says what its loader's complaints mean."""

from __future__ import annotations

import json
from collections.abc import Sequence

from edgekit.core import decode
from edgekit.core.errors import DeviceError, RuntimeMissingError
from edgekit.device.connect import Device
from edgekit.device.facts import Facts
from edgekit.device.provision_plan import Choice, Runner
from edgekit.runner.answer import read_answer
from edgekit.runner.protocol import Probe
from edgekit.runner.runtimes import Library

_TIME_LIMIT_S = 60.0
_NOEXEC = "the workspace is on a file system mounted noexec: give the board another `workspace` in the inventory"


def probe_runtime(
    device: Device,
    argv: Sequence[str],
    *,
    runner: Runner,
    library: str | None,
    module: str | None,
    module_path: str | None,
) -> Probe:
    """Starts the runner on the board and lets it load the runtime.

    Raises:
        RuntimeMissingError: it does not load; the message is the loader's own.
        DeviceError: the process crashed or did not answer.
    """
    request = {
        "mode": "probe",
        "library": library,
        "module": module,
        "module_path": module_path,
        "time_limit_s": _TIME_LIMIT_S,
    }
    done = device.transport.run(list(argv), stdin=json.dumps(request).encode() + b"\n", timeout_s=_TIME_LIMIT_S + 5)
    if runner == "native" and done.exit_status in (126, 127):
        why = done.complaint or f"status {done.exit_status}"
        hint = _NOEXEC if "ermission" in why else "it was built for another system: check the board's profile"
        raise RuntimeMissingError(f"{device.name}: the native runner does not start on the board: {why}", hint=hint)
    try:
        answer = read_answer(done.stdout, done.stderr, done.exit_status, board=device.name)
    except DeviceError as error:
        if type(error) is DeviceError:  # a crash while loading means that this runtime does not run here
            raise RuntimeMissingError(error.message, hint=error.hint, details=error.details) from error
        raise
    return decode.from_json(Probe, answer, source=f"{device.name}: the runner's answer", error=DeviceError)


def explained(error: RuntimeMissingError, choice: Choice, library: Library | None, facts: Facts) -> RuntimeMissingError:
    """The loader's complaint, with the way out."""
    text = error.message
    hint = error.hint or "install what the message names on the board"
    name = f"{choice.name if library is None else 'LiteRT'} {choice.version}"
    if "failed to map segment" in text:
        hint = _NOEXEC
    elif library is not None and ("libstdc++" in text or "GLIBCXX" in text):
        hint = "`sudo apt-get install libstdc++6` on the board" + (
            f"; {name} needs GLIBCXX {library.glibcxx_needed}" if library.glibcxx_needed else ""
        )
    elif "wrong ELF class" in text or "cannot open shared object file: No such file" in text:
        bits = facts.python.bits if facts.python else None
        if bits and facts.userland_bits and bits != facts.userland_bits:
            hint = f"the board's Python is a {bits}-bit program: install the {facts.userland_bits}-bit one"
    elif library is not None and "GLIBC_" in text:
        hint = f"{name} needs glibc {library.glibc_needed}: upgrade the board's system"
    elif choice.origin == "wheels":
        hint = f"{hint}; the wheels were sent by edgekit: `--runtime litert` uses LiteRT's library instead"
    return RuntimeMissingError(text, hint=hint, details=error.details)
