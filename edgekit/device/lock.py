"""The lock: one user of a board at a time, held by the board's kernel for exactly as long as our process lives."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core.errors import BusyError, DeadlineError, DeviceError, UnreachableError
from edgekit.core.events import Event, EventSink
from edgekit.device.lock_owner import Owner, about_us, busy_error, owner_from, waited_error
from edgekit.device.lock_script import HOLDER, LOST, guard
from edgekit.device.transport.protocol import GUARDED, Completed, Hold, OnBytes, Transport, printable

if TYPE_CHECKING:
    from edgekit.device.connect import Device

#: what the board grants us without a sign of life: it is free again so long after a network has gone
LIMIT_S = 30
_BEAT_S = 5.0
_WAIT_S = 20  # one wait on the board; then we look again who has it
_SLACK_S = 30.0  # for the script itself, on a busy board
_END_S = 0.5  # from a killed command to the news that its holder has ended


@contextlib.contextmanager
def held(device: Device, *, purpose: str, wait_s: float | None = None, on_event: EventSink) -> Iterator[bool]:
    """Locks a board for a block of code. Within it, every command on the board runs under the lock.

    The lock ends with the block, with this process however it ends, and where the board hears nothing of us for
    :data:`LIMIT_S` seconds. Commands that still run then are killed; until they are gone, nobody else gets the board.

    Args:
        device: an open board; its ``transport`` is replaced within the block.
        purpose: told to others who want the board.
        wait_s: how long to wait for somebody else; None: not at all; ``math.inf``: as long as it takes.
        on_event: hears whom we wait for.

    Yields:
        Whether somebody before has tuned the board and not put it back: :func:`edgekit.device.tune.restore` does.

    Raises:
        BusyError: somebody else uses it; ``details`` has the owner.
        DeviceError: the board cannot be locked, and nothing was run; or, within the block, the lock was lost.
    """
    hold, grant = _taken(device, purpose, wait_s, on_event)
    bare = device.transport
    beat = _Heartbeat(hold)
    device.transport = GuardedTransport(bare, hold, grant, name=device.name)
    try:
        yield grant.tuned
    finally:
        device.transport = bare
        beat.stop()
        hold.close()


def owner(device: Device) -> Owner | None:
    """Who uses a board now; None: nobody. An owner about whom nothing is known has empty fields.

    Raises:
        DeviceError: the board cannot be locked at all.
    """
    done = device.transport.run(_holder(device, "look", purpose="", mark="look"), timeout_s=_SLACK_S)
    state, _, about = done.text.partition("\n")[0].partition("\t")
    if state == "free":
        return None
    if state in ("busy", "left"):
        return owner_from(about)
    raise _refused(device.name, about or done.complaint or f"exit status {done.exit_status}")


def without_lock(transport: Transport) -> Transport:
    """The way for a command that leaves something running on the board, such as the restart of a service.

    What is started under the lock belongs to it, and is killed when it ends.
    """
    return transport.bare if isinstance(transport, GuardedTransport) else transport


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    """What a holder said: who it is there, and how it locked.

    Attributes:
        way: ``flock``, ``busybox``, ``toybox``, ``perl``, ``python3`` or ``links``.
        tuned: there is a journal of settings that were not put back.
    """

    pid: str
    born: str
    way: str
    program: str
    lock: str
    mark: str
    tuned: bool

    def guarded(self, argv: Sequence[str]) -> list[str]:
        """The command that runs ``argv`` under this lock."""
        words = [self.pid, self.born, self.program, self.lock, self.mark]
        return ["sh", "-c", guard(self.way), GUARDED, *words, "--", *argv]


class GuardedTransport:
    """A transport whose commands run under the lock, or not at all. See :class:`Transport`.

    Attributes:
        bare: the transport below.
    """

    def __init__(self, bare: Transport, hold: Hold, grant: _Grant, *, name: str) -> None:
        self.bare = bare
        self._hold, self._grant, self._name = hold, grant, name

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout_s: float = 60.0,
        output_limit_bytes: int = 1 << 20,
    ) -> Completed:
        """See :meth:`Transport.run`.

        Raises:
            DeviceError: the lock was lost before the command or while it ran: what it said must not be used.
        """
        self._check()
        try:
            done = self.bare.run(
                self._grant.guarded(argv), stdin=stdin, timeout_s=timeout_s, output_limit_bytes=output_limit_bytes
            )
        except UnreachableError:
            raise
        except DeviceError as error:
            if isinstance(error, DeadlineError):
                error.details["argv"] = list(argv)
            self._check(error)
            raise
        if done.exit_status == 75 and LOST.encode() in done.stderr[-200:]:
            raise self._lost()
        if done.signal_name == "SIGKILL":
            end = time.monotonic() + _END_S
            while self._hold.alive and time.monotonic() < end:
                time.sleep(0.02)
        self._check()
        return dataclasses.replace(done, argv=tuple(argv))

    def hold(self, argv: Sequence[str], *, timeout_s: float = 20.0) -> Hold:
        """See :meth:`Transport.hold`."""
        self._check()
        return self.bare.hold(self._grant.guarded(argv), timeout_s=timeout_s)

    def push(self, local: Path, remote: str, on_bytes: OnBytes | None = None) -> None:
        """See :meth:`Transport.push`."""
        self._check()
        self.bare.push(local, remote, on_bytes)

    def pull(self, remote: str, local: Path, *, limit_bytes: int) -> int:
        """See :meth:`Transport.pull`."""
        self._check()
        return self.bare.pull(remote, local, limit_bytes=limit_bytes)

    def close(self) -> None:
        """See :meth:`Transport.close`."""
        self._hold.close()
        self.bare.close()

    def _check(self, cause: Exception | None = None) -> None:
        if not self._hold.alive:
            raise self._lost() from cause

    def _lost(self) -> DeviceError:
        return DeviceError(
            f"{self._name}: the lock of the board was lost; what ran there was stopped, and is not used",
            hint=f"the board heard nothing of us for {LIMIT_S} s, or somebody ended our process there: run it again",
        )


class _Heartbeat:
    """Tells the holder every few seconds that we are there."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._done = threading.Event()
        self._beat_s = _BEAT_S
        threading.Thread(target=self._beat, daemon=True).start()

    def stop(self) -> None:
        """The last one was sent."""
        self._done.set()

    def _beat(self) -> None:
        while not self._done.wait(self._beat_s) and self._hold.alive:
            self._hold.send(b"\n")


def _taken(device: Device, purpose: str, wait_s: float | None, on_event: EventSink) -> tuple[Hold, _Grant]:
    """Takes the lock, after a wait where one is wanted."""
    begin, waits = time.monotonic(), f"wait for {device.name}"
    wait, waiting = 0, ""
    while True:
        got = _attempt(device, purpose, wait)
        waited = time.monotonic() - begin
        if not isinstance(got, BusyError):
            if waiting:
                on_event(Event(state="finished", task=waits, seconds=waited))
            return got
        left = (wait_s or 0.0) - waited
        if left <= 0:
            raise waited_error(got, waited) if waiting else got
        if not waiting:
            on_event(Event(state="started", task=waits))
        whose, who = str(got.details["owner"]), got.message.removeprefix(f"{device.name} is ")
        if whose != waiting:  # a line that stays, for those without a terminal too
            on_event(Event(state="note", task=waits, message=who))
        waiting = whose
        on_event(Event(state="progress", task=waits, message=who))
        wait = math.ceil(left) if left < _WAIT_S else _WAIT_S


def _attempt(device: Device, purpose: str, wait: int) -> tuple[Hold, _Grant] | BusyError:
    mark = f"edgekit{secrets.token_hex(8)}"
    hold = device.transport.hold(_holder(device, str(wait), purpose=purpose, mark=mark), timeout_s=wait + _SLACK_S)
    try:
        state, *fields = hold.said.split("\t")
        if state == "held" and len(fields) == 6:
            pid, born, way, program, lock, tuned = fields
            return hold, _Grant(
                pid=pid, born=born, way=way, program=program, lock=lock, mark=mark, tuned=tuned == "tuned"
            )
        about = "\t".join(fields)
        if state not in ("busy", "left"):
            raise _refused(device.name, about or hold.said)
        found = busy_error(device.name, owner_from(about), left=state == "left")
    except BaseException:
        hold.close()
        raise
    hold.close()
    return found


def _holder(device: Device, mode: str, *, purpose: str, mark: str) -> list[str]:
    # of this machine only, and for who says so: test suites that run side by side
    folder = os.environ.get("EDGEKIT_LOCK_DIR", "") if device.target.is_local else ""
    words = [mode, str(LIMIT_S), about_us(device.name, purpose), folder, device.named_root]
    return ["sh", "-c", HOLDER, mark, *words]


def _refused(name: str, why: str) -> DeviceError:
    return DeviceError(
        f"{name}: the board cannot be locked: {printable(why)[:300]}",
        hint="nothing was run; without the lock two users could disturb each other: correct it on the board",
    )
