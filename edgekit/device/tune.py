"""Holds a board's clocks where they are for the length of a measurement, and puts back what was there before.

What is changed is written to a journal in the workspace on the board first. Whoever comes next finds it there and puts
the settings back, whatever became of us: the client killed, the connection cut. A journal from before the last start of
the board is only removed: neither setting outlives a start.

Governors: Linux, Documentation/admin-guide/pm/cpufreq.rst. Android: AOSP, ``PowerManagerShellCommand.java``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edgekit.core.errors import DeviceError
from edgekit.core.events import Event, EventSink
from edgekit.core.notice import Notice
from edgekit.device.connect import Device
from edgekit.device.transport.protocol import printable
from edgekit.device.tune_script import TUNE

_WANTED = "performance"
_FIXED = "fixed-performance"
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What became of one setting.

    Attributes:
        outcome: ``set``; ``already``: it was as wanted; ``denied``; ``unsupported``; ``restored``; ``changed``:
            somebody else has changed it since, and it was left; ``failed``: it could not be put back.
        value: the one that was there before; of ``changed`` the one that is there.
        path: the file of a governor, or ``fixed-performance``.
    """

    outcome: str
    value: str
    path: str

    @property
    def name(self) -> str:
        """For people: ``governor of policy4``."""
        return "fixed performance mode" if self.path == _FIXED else f"governor of {self.path.split('/')[-2]}"


@contextmanager
def tuned(device: Device, on_event: EventSink) -> Iterator[tuple[Notice, ...]]:
    """Within the block every core's governor is ``performance``, and a phone is in its fixed performance mode.

    What the user may not change stays as it is, and a notice has the command that would. ``sudo`` is used where it asks
    for no password. Nothing else of the board is touched.

    Args:
        device: locked.
        on_event: hears if a setting could not be put back.

    Raises:
        DeviceError: the board does not answer, or the journal cannot be written; nothing was changed then.
    """
    found = _run(device, "apply")
    try:
        yield _told(device.name, found)
    finally:
        _put_back(device, on_event)


def restore(device: Device) -> tuple[Notice, ...]:
    """Puts back what an earlier command has left changed; says what it did.

    Raises:
        DeviceError: the board does not answer.
    """
    found = _run(device, "restore")
    back = [one for one in found if one.outcome == "restored"]
    notices = []
    if back:
        settings = ", ".join(f"{one.name} to {one.value}" for one in back)
        notices.append(
            Notice(
                code="tuning-restored",
                message=f"{device.name}: a command that had tuned the board ended without putting it back; "
                f"done now: {settings}",
                hint="",
            )
        )
    return (*notices, *_left(device.name, found))


def _put_back(device: Device, on_event: EventSink) -> None:
    """At the end of the block; whatever ended it must not be hidden by what goes wrong here."""
    try:
        left = [notice.message for notice in _left(device.name, _run(device, "restore"))]
    except DeviceError as error:
        left = [
            f"{device.name}: the settings from before could not be put back ({error.message}); "
            "the next command on this board does it"
        ]
    for message in left:
        on_event(Event(state="note", task="tune", message=message))


def _run(device: Device, mode: str) -> tuple[Setting, ...]:
    done = device.transport.run(["sh", "-c", TUNE, "tune", mode, device.root], timeout_s=_TIMEOUT_S)
    if done.exit_status != 0:
        raise DeviceError(
            f"{device.name}: the board could not be tuned: {done.complaint or f'exit status {done.exit_status}'}",
            hint="nothing was changed; measure without --tune",
        )
    rows = [printable(row).split(" ") for row in done.text.splitlines()]
    return tuple(Setting(outcome=row[0], value=row[1], path=row[2]) for row in rows if len(row) == 3)


def _told(name: str, found: Sequence[Setting]) -> tuple[Notice, ...]:
    """What was done, and what was not."""
    notices = []
    if done := [one for one in found if one.outcome == "set"]:
        text = ", ".join(f"{one.name} (was {one.value})" for one in done)
        notices.append(
            Notice(code="tuned", message=f"{name}: tuned while it was measured: {text}; put back afterwards", hint="")
        )
    if denied := [one for one in found if one.outcome == "denied"]:
        text = ", ".join(one.name for one in denied)
        governors = [one.path for one in denied if one.path != _FIXED]
        command = f"echo {_WANTED} | sudo tee {' '.join(governors)}" if governors else "adb shell as the user shell"
        notices.append(
            Notice(
                code="not-tuned",
                message=f"{name}: this user may not change it: {text}",
                hint=f"on the board: {command}",
            )
        )
    if odd := [one for one in found if one.outcome == "unsupported"]:
        text = ", ".join(f"{one.name} ({one.value})" for one in odd)
        notices.append(Notice(code="not-tuned", message=f"{name}: the board cannot be tuned so: {text}", hint=""))
    if not found:
        notices.append(
            Notice(
                code="not-tuned",
                message=f"{name}: nothing to tune: no cpufreq there, and no Android that can hold its clocks",
                hint="a virtual machine's clock is its host's",
            )
        )
    return tuple(notices)


def _left(name: str, found: Sequence[Setting]) -> tuple[Notice, ...]:
    """What is not as it was."""
    notices = []
    if failed := [one for one in found if one.outcome == "failed"]:
        text = ", ".join(f"{one.name} (was {one.value})" for one in failed)
        notices.append(
            Notice(
                code="tuning-left",
                message=f"{name}: could not be put back: {text}",
                hint="it is tried again by the next command on this board; a restart puts it back too",
            )
        )
    if changed := [one for one in found if one.outcome == "changed"]:
        text = ", ".join(f"{one.name} (now {one.value})" for one in changed)
        notices.append(
            Notice(
                code="tuning-left",
                message=f"{name}: somebody else has changed it meanwhile, and it was left so: {text}",
                hint="",
            )
        )
    return tuple(notices)
