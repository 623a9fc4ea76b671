"""Holds a board's clocks where they are for the length of a measurement, and puts back what was there before.

What is changed is written to a journal in the workspace on the board first, and whatever becomes of us the settings are
put back: where the client is killed or the connection cut, by the lock's holder on the board before it lets go
(:mod:`edgekit.device.lock_script`); where that was killed too, by the next command that locks the board. A journal from
before the last start of the board is only removed: no setting outlives a start.

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
            somebody else has changed it since, and it was left; ``failed``: it could not be put back; ``left``:
            nothing was changed, because something of an earlier command could not be put back.
        value: the one that was there before; of ``changed`` the one that is there.
        path: the file of a governor or of a least clock, or ``fixed-performance``.
    """

    outcome: str
    value: str
    path: str

    @property
    def kind(self) -> str:
        """For people: ``governor``."""
        if self.path == _FIXED:
            return "fixed performance mode"
        return "governor" if self.path.endswith("/scaling_governor") else "least clock"

    @property
    def owner(self) -> str:
        """``policy4``, or ``cpu4``; of a phone as a whole, nothing."""
        *_, above, folder, _ = ("", "", *self.path.split("/"))
        return "" if self.path == _FIXED else above if folder == "cpufreq" else folder

    @property
    def text(self) -> str:
        """Its value, for people."""
        return f"{int(self.value) / 1000:.0f} MHz" if self.value.isdigit() else self.value


def _listed(settings: Sequence[Setting], words: str = "") -> str:
    """``governor of policy0, policy4 (was schedutil)``: those that are alike together.

    Args:
        settings: some.
        words: ``(was {})``, with a place for the value.
    """
    together: dict[tuple[str, str], list[str]] = {}
    for one in settings:
        together.setdefault((one.kind, words.format(one.text)), []).append(one.owner)
    found = []
    for (kind, value), owners in together.items():
        named = ", ".join(filter(None, owners))
        found.append(" ".join(filter(None, (kind, f"of {named}" if named else "", value))))
    return "; ".join(found)


@contextmanager
def tuned(device: Device, on_event: EventSink) -> Iterator[tuple[Notice, ...]]:
    """Within the block every core's governor is ``performance`` and its least clock the highest allowed one, and a
    phone is in its fixed performance mode.

    All cores, for those beside the measured ones drive what they share with them. What the user may not change stays as
    it is, and a notice has the command that would. ``sudo`` is used where it asks for no password. Nothing else of the
    board is touched.

    Args:
        device: locked.
        on_event: hears if a setting could not be put back.

    Raises:
        DeviceError: the board does not answer.
    """
    found, problem = _run(device, "apply")
    try:
        yield _told(device.name, found) if not problem else _untouched(device.name, problem)
    finally:
        _put_back(device, on_event)


def restore(device: Device) -> tuple[Notice, ...]:
    """Puts back what an earlier command has left changed; says what it did.

    Raises:
        DeviceError: the board does not answer.
    """
    found, problem = _run(device, "restore")
    back = [one for one in found if one.outcome == "restored"]
    notices = []
    if back:
        notices.append(
            Notice(
                code="tuning-restored",
                message=f"{device.name}: a command that had tuned the board ended without putting it back; "
                f"done now: {_listed(back, 'to {}')}",
                hint="",
            )
        )
    return (*notices, *_left(device.name, found, problem))


def _put_back(device: Device, on_event: EventSink) -> None:
    """At the end of the block; whatever ended it must not be hidden by what goes wrong here."""
    try:
        left = [notice.message for notice in _left(device.name, *_run(device, "restore"))]
    except DeviceError as error:
        left = [
            f"{device.name}: the settings from before could not be put back ({error.message}); "
            "the next command on this board does it"
        ]
    for message in left:
        on_event(Event(state="note", task="tune", message=message))


def _run(device: Device, mode: str) -> tuple[tuple[Setting, ...], str]:
    """What became of each setting, and what kept the script from its end; empty: nothing."""
    done = device.transport.run(["sh", "-c", TUNE, "tune", mode, device.root, TUNE], timeout_s=_TIMEOUT_S)
    problem = "" if done.exit_status == 0 else done.complaint or f"exit status {done.exit_status}"
    rows = [printable(row).split(" ") for row in done.text.splitlines()]
    return tuple(Setting(outcome=row[0], value=row[1], path=row[2]) for row in rows if len(row) == 3), problem


def _untouched(name: str, problem: str) -> tuple[Notice, ...]:
    return (
        Notice(
            code="not-tuned",
            message=f"{name}: not tuned: what is there now could not be noted down on the board first: {problem}",
            hint="the journal goes into the workspace: see to its permissions and its disk",
        ),
    )


def _told(name: str, found: Sequence[Setting]) -> tuple[Notice, ...]:
    """What was done, and what was not."""
    notices = []
    if done := [one for one in found if one.outcome == "set"]:
        text = _listed(done, "(was {})")
        notices.append(
            Notice(code="tuned", message=f"{name}: tuned while it was measured, and put back afterwards: {text}")
        )
    if denied := [one for one in found if one.outcome == "denied"]:
        governors = [one.path for one in denied if one.path.endswith("/scaling_governor")]
        command = f"on the board: echo {_WANTED} | sudo tee {' '.join(governors)}"
        notices.append(
            Notice(
                code="not-tuned",
                message=f"{name}: this user may not change it: {_listed(denied)}",
                hint=command if governors else "log in to the board as a user who may",
            )
        )
    if odd := [one for one in found if one.outcome == "unsupported"]:
        text = _listed(odd, "({})")
        notices.append(Notice(code="not-tuned", message=f"{name}: the board cannot be tuned so: {text}"))
    if any(one.outcome == "left" for one in found):
        notices.append(
            Notice(
                code="not-tuned",
                message=f"{name}: not tuned: what an earlier command has changed could not be put back first",
                hint=f"restart the board, or put it back there; the journal is {found[0].path}",
            )
        )
    if not found:
        notices.append(
            Notice(
                code="not-tuned",
                message=f"{name}: nothing to tune: no cpufreq there, and no Android that can hold its clocks",
                hint="a virtual machine's clock is its host's",
            )
        )
    return tuple(notices)


def _left(name: str, found: Sequence[Setting], problem: str) -> tuple[Notice, ...]:
    """What is not as it was."""
    notices = []
    if problem:
        notices.append(
            Notice(
                code="tuning-left",
                message=f"{name}: the settings from before could not be put back: {problem}",
                hint="it is tried again by the next command on this board; a restart puts it back too",
            )
        )
    if failed := [one for one in found if one.outcome == "failed"]:
        text = _listed(failed, "(was {})")
        notices.append(
            Notice(
                code="tuning-left",
                message=f"{name}: could not be put back: {text}",
                hint="it is tried again by the next command on this board; a restart puts it back too",
            )
        )
    if changed := [one for one in found if one.outcome == "changed"]:
        text = _listed(changed, "(now {})")
        notices.append(
            Notice(
                code="tuning-left",
                message=f"{name}: somebody else has changed it meanwhile, and it was left so: {text}",
                hint="",
            )
        )
    return tuple(notices)
