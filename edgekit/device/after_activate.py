"""The profile's own command after a switch of releases: what makes the application take the other model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.core.decode import to_json
from edgekit.core.errors import DeadlineError, DeviceError
from edgekit.device import releases
from edgekit.device.connect import Device
from edgekit.device.lock import without_lock
from edgekit.device.releases import Links
from edgekit.device.transport.protocol import printable, quoted

GOING_BACK_FAILED = "going back failed"
_LIMIT_S = 120.0
_OUTPUT_LIMIT = 1 << 20
_SHOWN = 4000
_BY_HAND = "run it on the board by hand, or change after_activate in the board's profile"
#: a pipe ends when its last writer does, so such a command looks as if it had not ended
_KEEPS_OUTPUT = f"what it leaves running must let go of its output: `PROGRAM >/dev/null 2>&1 &`; else {_BY_HAND}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A run of ``after_activate``.

    Attributes:
        argv: the command; no shell read it.
        exit_status: as a POSIX shell gives it.
        output: the end of what it printed, standard output first.
    """

    argv: tuple[str, ...]
    exit_status: int
    output: str


def after_activate(device: Device, argv: Sequence[str]) -> Hook | None:
    """Runs the command on the board; None where there is none.

    What it starts may go on once the command has ended, and after our use of the board: it does not run under the lock.

    Raises:
        DeviceError: it failed, or did not end in two minutes; ``details`` has the :class:`Hook`.
    """
    if not argv:
        return None
    try:
        done = without_lock(device.transport).run(list(argv), timeout_s=_LIMIT_S, output_limit_bytes=_OUTPUT_LIMIT)
    except DeadlineError as error:
        hook = Hook(argv=tuple(argv), exit_status=128 + 9, output="")
        raise _failed(device, hook, f"did not end in {_LIMIT_S:.0f} s", hint=_KEEPS_OUTPUT) from error
    lines = (done.stdout[-_SHOWN:] + done.stderr[-_SHOWN:]).decode("utf-8", "replace").splitlines()
    hook = Hook(argv=tuple(argv), exit_status=done.exit_status, output="\n".join(map(printable, lines)))
    if done.exit_status != 0:
        said = f": {done.complaint}" if done.complaint else ""
        raise _failed(device, hook, f"failed with status {done.exit_status}{said}")
    return hook


def go_back(
    device: Device,
    name: str,
    links: Links,
    command: Sequence[str],
    *,
    failed: str | None = None,
    report: dict[str, Any] | None = None,
    keep: int | None = None,
) -> str:
    """Sets the links of a model as they were and runs the command again; see :func:`releases.put_back`.

    Args:
        command: empty: the application never heard of the switch.

    Returns:
        What went wrong meanwhile, as half a sentence; empty: nothing did.
    """
    try:
        releases.put_back(device.workspace, name, links, failed=failed, report=report, keep=keep)
    except DeviceError as error:
        return f"{GOING_BACK_FAILED}: {error.message}"
    try:
        after_activate(device, command if links[0] is not None else ())
    except DeviceError as error:
        return f"but {error.message}"
    return ""


def _failed(device: Device, hook: Hook, what: str, *, hint: str = _BY_HAND) -> DeviceError:
    return DeviceError(
        f"{device.name}: after_activate `{printable(quoted(hook.argv))[:120]}` {what}",
        hint=hint,
        details={"after_activate": to_json(hook)},
    )
