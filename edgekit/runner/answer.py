"""From what the payload printed and how it ended to its answer, or to an error that says what went wrong there."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from typing import Any, NoReturn

from edgekit.core import decode
from edgekit.core.errors import (
    DeadlineError,
    DeviceError,
    EdgekitError,
    ModelError,
    RuntimeMissingError,
    TransferError,
    UsageError,
)
from edgekit.runner.payload import ABANDONED, BEGIN, END
from edgekit.runner.plausible import implausible
from edgekit.runner.protocol import Profile, Trial

_TAIL_BYTES = 4000

#: what the payload's codes mean here: class of the error and the way out
_FAILURES: dict[str, tuple[type[EdgekitError], str | None]] = {
    "model-missing": (DeviceError, "push the model again: `edgekit deploy`"),
    "model-sha256": (TransferError, "the file on the board was changed or damaged: push it again"),
    "model-unreadable": (ModelError, "check the file with `edgekit inspect MODEL.tflite`"),
    "model-unsupported": (ModelError, "see `edgekit audit MODEL.tflite --device NAME` for ops and versions"),
    "library-missing": (RuntimeMissingError, "the workspace was emptied meanwhile: run the command again"),
    "library-load": (RuntimeMissingError, None),
    "library-abi": (RuntimeMissingError, "use another LiteRT release"),
    "module-missing": (RuntimeMissingError, "`edgekit devices provision NAME --runtime MODULE` sends it to the board"),
    "module-broken": (RuntimeMissingError, "tflite_runtime needs numpy 1 on the board: `pip install 'numpy<2'`"),
    "module-unsupported": (RuntimeMissingError, "give it a LiteRT library, or use the runner for Python on this board"),
    "samples": (DeviceError, "the samples do not fit the model: make the artifact again, or check its manifest"),
    "cpus": (UsageError, "choose cores that are online on the board"),
    "runtime": (DeviceError, "see `edgekit audit MODEL.tflite`; the runtime's own words are in the details"),
    "profile-unsupported": (
        RuntimeMissingError,
        "LiteRT's library of 2.1.3 or later does; it needs glibc 2.34 on ARM boards (Debian 12, Ubuntu 22.04)",
    ),
    "kernels-unsupported": (RuntimeMissingError, "another runtime can compute without XNNPACK: LiteRT 2.1.3 or later"),
    "weight-cache-unsupported": (RuntimeMissingError, "leave out --weight-cache, or use LiteRT 2.1.3 or later"),
    "out-of-memory": (DeviceError, "close other programs on the board, or use a smaller model"),
}


def read_answer(stdout: bytes, stderr: bytes, exit_status: int, *, board: str) -> dict[str, Any]:
    """The payload's answer.

    Args:
        stdout, stderr: everything that the process printed.
        exit_status: as a POSIX shell gives it: 128 + N for signal N.
        board: the board's name, for messages.

    Raises:
        DeviceError: crash, kill, no answer, half an answer, nonsense; with the end of ``stderr`` in the details.
        DeadlineError: the process ended itself at its time limit.
        EdgekitError: what the payload itself reported, as the class that it stands for.
    """
    tail = stderr[-_TAIL_BYTES:].decode("utf-8", "replace")
    text = stdout.decode("utf-8", "replace")
    _, begin, rest = text.partition(f"\n{BEGIN}\n")
    body, end, _ = rest.partition(f"\n{END}\n")
    if not begin:
        _explain_silence(exit_status, tail, board)
    if not end:
        raise _error(board, "the runner's answer was cut off", None, exit_status, tail)
    try:
        answer = json.loads(body, parse_constant=_refuse_constant)
    except ValueError as error:
        raise _error(board, f"the runner's answer is not JSON: {error}", None, exit_status, tail) from error
    if not isinstance(answer, dict):
        raise _error(board, "the runner's answer is not a JSON object", None, exit_status, tail)
    failure = answer.get("error")
    if isinstance(failure, dict):
        code, message = str(failure.get("code")), str(failure.get("message"))
        kind, hint = _FAILURES.get(code, (DeviceError, None))
        details: dict[str, object] = {"code": code, "stderr": tail}
        raise kind(f"{board}: {_printable(message)}", hint=hint, details=details)
    if exit_status != 0:
        _explain_silence(exit_status, tail, board)
    return answer


def read_trial(answer: Mapping[str, Any], *, board: str, mode: str, model_sha256: str) -> Trial:
    """A trial from the payload's answer.

    Raises:
        DeviceError: fields are missing or of the wrong type, for another model, nothing was measured, or no process
            can have measured it.
    """
    trial = decode.from_json(Trial, answer, source=f"{board}: the runner's answer", error=DeviceError)
    if trial.mode != mode:
        wrong: str | None = f"it ran in mode {trial.mode}, not {mode}"
    elif trial.model_sha256 != model_sha256:
        wrong = "it ran another model"
    else:
        wrong = implausible(trial)
    if wrong:
        raise DeviceError(f"{board}: the runner's answer is implausible: {wrong}")
    return trial


def read_profile(answer: Mapping[str, Any], *, board: str, model_sha256: str) -> Profile:
    """A profile from the payload's answer.

    Raises:
        DeviceError: fields are missing or of the wrong type, negative, for another model, or nothing was measured.
    """
    profile = decode.from_json(Profile, answer, source=f"{board}: the runner's answer", error=DeviceError)
    runs = len(profile.whole_us)
    wrong = None
    if profile.model_sha256 != model_sha256:
        wrong = "it ran another model"
    elif not runs or any(len(op.elapsed_us) != runs for op in profile.ops):
        wrong = "ops without a time for every run"
    elif min(profile.whole_us) < 0 or any(min(op.elapsed_us) < 0 for op in profile.ops):
        wrong = "a negative time"
    if wrong:
        raise DeviceError(f"{board}: the runner's answer is implausible: {wrong}")
    return profile


def _explain_silence(exit_status: int, tail: str, board: str) -> NoReturn:
    """Raises the error for a process that ended without an answer."""
    if "No module named" in tail:
        missing = tail.strip().splitlines()[-1]
        raise RuntimeMissingError(
            f"{board}: the board's Python is not whole: {_printable(missing)}",
            hint="`sudo apt-get install python3` on the board (python3-minimal is not enough)",
            details={"stderr": tail},
        )
    if exit_status in (126, 127) and "edgekit-runner" in tail:
        raise RuntimeMissingError(
            f"{board}: the native runner does not start on the board: {_last_line(tail)}",
            hint="push it again: `edgekit devices provision NAME`; it needs a system of the board's ABI and C library",
            details={"stderr": tail},
        )
    if exit_status in (126, 127):
        raise RuntimeMissingError(
            f"{board}: Python does not start on the board: {_last_line(tail)}",
            hint="`sudo apt-get install python3` on the board",
            details={"stderr": tail},
        )
    if exit_status == ABANDONED:
        raise _error(board, "the connection went away while the model ran", "try again", exit_status, tail)
    try:
        name = signal.Signals(exit_status - 128).name
    except ValueError:
        last = _last_line(tail)
        message = f"the runner ended with status {exit_status} and without an answer{': ' + last if last else ''}"
        raise _error(board, message, None, exit_status, tail) from None
    if name == "SIGALRM":
        raise DeadlineError(f"{board}: the model did not finish in time", details={"stderr": tail})
    reasons = {
        "SIGKILL": ("it was killed (SIGKILL): most likely the board ran out of memory", "use a smaller model or board"),
        "SIGILL": (
            "illegal instruction (SIGILL): the library was built for a newer processor",
            "use a module that is built for this processor: `edgekit devices provision NAME --runtime tflite_runtime`",
        ),
        "SIGSEGV": ("the runtime crashed (SIGSEGV)", "check the model with `edgekit inspect MODEL.tflite`"),
        "SIGBUS": ("the runtime crashed (SIGBUS): the model file may have been changed while it ran", "try again"),
        "SIGABRT": ("the runtime gave up (SIGABRT)", "its own words are in the details (--json)"),
    }
    message, hint = reasons.get(name, (f"the runner was ended by {name}", "try again"))
    raise _error(board, message, hint, exit_status, tail)


def _error(board: str, message: str, hint: str | None, exit_status: int, tail: str) -> DeviceError:
    return DeviceError(f"{board}: {message}", hint=hint, details={"exit_status": exit_status, "stderr": tail})


def _last_line(tail: str) -> str:
    lines = [line for line in tail.splitlines() if line.strip()]
    return _printable(lines[-1]) if lines else ""


def _printable(text: str) -> str:
    """Text from a board without control characters, so that it cannot steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)[:500]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
