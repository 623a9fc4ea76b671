"""Many boards side by side: a thread and a connection each, failures apart, every result as soon as it is there."""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from edgekit.core.errors import DeviceError, EdgekitError, UsageError
from edgekit.core.events import Event, EventSink, ignore

if TYPE_CHECKING:
    from edgekit.device.connect import Device
    from edgekit.device.target import Target
    from edgekit.verbs.boards import Reach

T = TypeVar("T")

#: boards at work at the same time; the others wait for their turn
AT_ONCE = 64
#: sshd turns connections away from the tenth on that has not logged in yet (MaxStartups), and one jump host may be on
#: the way to all boards
_CONNECTING = 8
_CONNECTING_S = 3.0  # whoever takes longer has passed the jump host, or never will
_END_S = 8.0  # that boards get to end what they do, when everything ends
_TURN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardOutcome(Generic[T]):
    """What became of one board.

    Attributes:
        device: its name.
        result: what the work returned; None where it failed.
        error: why it failed; None where it did not.
        seconds: from its start to its end.
    """

    device: str
    result: T | None
    error: EdgekitError | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the work was done."""
        return self.error is None


Work = Callable[[str, "Reach", EventSink], T]
"""One board's work: gets the board's name, how to reach it, and a sink; opens the board through what it is given."""


def on_boards(
    names: Sequence[str],
    work: Work[T],
    on_event: EventSink = ignore,
    *,
    reach: Reach | None = None,
    on_outcome: Callable[[BoardOutcome[T]], None] = ignore,
    at_once: int = AT_ONCE,
) -> tuple[BoardOutcome[T], ...]:
    """Does the same work on several boards, side by side; one that fails stops no other.

    Everything that the caller gets to hear (events, outcomes, questions to a person) comes in the caller's own thread,
    one at a time. Ctrl-C, and whatever ``on_event`` or ``on_outcome`` raise, end what runs on the boards and are raised
    when it has ended; outcomes that came before were handed over.

    Args:
        names: of the boards; each once.
        work: runs in a thread of its own for each board.
        on_event: hears of the progress; ``device`` says of which board.
        reach: how to reach them all.
        on_outcome: gets each outcome as soon as it is there, to be shown and kept.
        at_once: so many boards at the same time.

    Returns:
        The outcomes in the order of ``names``.

    Raises:
        UsageError: no name, an unknown one, one address for several boards, or one board twice.
    """
    from edgekit.verbs.boards import Reach

    way = reach or Reach()
    check_boards(names, way)
    fleet = _Fleet(names, work, way, on_event, on_outcome, at_once)
    try:
        while fleet.unfinished:
            fleet.start_some()
            fleet.take(_TURN_S)
    except BaseException:
        fleet.end()
        raise
    return tuple(fleet.outcomes[name] for name in names)


def check_boards(names: Sequence[str], reach: Reach) -> None:
    """Finds out before any work whether the names mean as many boards.

    Raises:
        UsageError: see :func:`on_boards`.
    """
    if not names:
        raise UsageError("no board is named", hint="`edgekit devices list` shows the boards")
    if len(names) > 1 and reach.host is not None:
        raise UsageError(
            f"--host is the address of one board, and {len(names)} are named",
            hint="give each its address: edgekit devices add NAME --host ADDRESS",
        )
    known: dict[tuple[object, ...], str] = {}
    for name in names:
        place = _place(reach.target(name))
        other = known.setdefault(place, name)
        if other != name:
            raise UsageError(f"{other} and {name} are the same board", hint=f"name it once: --device {other}")
        if list(names).count(name) > 1:
            raise UsageError(f"{name} is named twice", hint="name each board once")


def _place(target: Target) -> tuple[object, ...]:
    """Where a board is; equal for two names of the same one."""
    if target.ssh is None:
        return (target.serial,)
    ssh = target.ssh
    return (ssh.hostname, ssh.port, ssh.jumps, ssh.proxy_command)


class _Stopped(BaseException):
    """Ends a board's work at its next event: everything ends."""


@dataclass(slots=True, kw_only=True)
class _Station:
    """One board's place: what is known of it, and the connections that it has opened."""

    name: str
    started: float = 0.0
    connected: bool = False
    devices: list[Device] = field(default_factory=list)
    answers: queue.SimpleQueue[str | BaseException] = field(default_factory=queue.SimpleQueue)

    @property
    def connecting(self) -> bool:
        return not self.connected and monotonic() - self.started < _CONNECTING_S


class _Fleet(Generic[T]):
    """The boards' threads, and the queue through which all they say reaches the caller's thread."""

    def __init__(
        self,
        names: Sequence[str],
        work: Work[T],
        reach: Reach,
        on_event: EventSink,
        on_outcome: Callable[[BoardOutcome[T]], None],
        at_once: int,
    ) -> None:
        self.outcomes: dict[str, BoardOutcome[T]] = {}
        self._work, self._reach, self._at_once = work, reach, at_once
        self._on_event, self._on_outcome = on_event, on_outcome
        self._waiting = [_Station(name=name) for name in names]
        self._running: dict[str, _Station] = {}
        self._said: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = False
        self._opening = threading.Lock()

    @property
    def unfinished(self) -> bool:
        return bool(self._waiting or self._running)

    def start_some(self) -> None:
        """Starts as many of those that wait as may run and connect at the same time."""
        while (
            self._waiting
            and len(self._running) < self._at_once
            and sum(station.connecting for station in self._running.values()) < _CONNECTING
        ):
            station = self._waiting.pop(0)
            station.started = monotonic()
            self._running[station.name] = station
            # a daemon: when everything ends, nobody waits for a board that does not answer
            threading.Thread(target=self._run, args=(station,), name=station.name, daemon=True).start()

    def take(self, timeout_s: float) -> None:
        """Does what one thread asked for: hands over an event or an outcome, or puts a question."""
        try:
            done = self._said.get(timeout=timeout_s)
        except queue.Empty:
            return
        done()

    def end(self) -> None:
        """Ends every board: no new ones, what runs is killed; waits for that, but not for ever."""
        self._waiting.clear()
        with self._opening:
            self._stopping = True
            devices = [device for station in self._running.values() for device in station.devices]
        for station in self._running.values():
            station.answers.put(_Stopped())
        for device in devices:
            threading.Thread(target=device.transport.close, daemon=True).start()
        until = monotonic() + _END_S
        while self._running and monotonic() < until:
            self.take(_TURN_S)

    # ---------------------------------------------------------------- in a board's thread

    def _run(self, station: _Station) -> None:
        begin = perf_counter()
        result, problem = None, None
        reach = dataclasses.replace(
            self._reach,
            ask=None if self._reach.ask is None else lambda question: self._asked(station, question),
            on_open=lambda device: self._opened(station, device),
        )
        try:
            result = self._work(station.name, reach, lambda event: self._told(station, event))
        except BaseException as error:  # noqa: BLE001 - one board's failure, whatever it is, stops no other
            problem = _named(station.name, error)
        outcome = BoardOutcome(device=station.name, result=result, error=problem, seconds=perf_counter() - begin)
        self._said.put(lambda: self._ended(outcome))

    def _told(self, station: _Station, event: Event) -> None:
        if self._stopping:
            raise _Stopped
        about = dataclasses.replace(event, device=station.name)
        self._said.put(lambda: None if self._stopping else self._on_event(about))

    def _opened(self, station: _Station, device: Device) -> None:
        station.connected = True
        with self._opening:
            stopping = self._stopping
            station.devices.append(device)
        if stopping:
            device.transport.close()
            raise _Stopped

    def _asked(self, station: _Station, question: str) -> str:
        self._said.put(lambda: self._put(station, question))
        answer = station.answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    # ---------------------------------------------------------------- in the caller's thread

    def _put(self, station: _Station, question: str) -> None:
        if self._stopping or self._reach.ask is None:
            return
        try:
            answer: Any = self._reach.ask(question)
        except Exception as error:  # noqa: BLE001 - that board's, not ours
            answer = error
        station.answers.put(answer)

    def _ended(self, outcome: BoardOutcome[T]) -> None:
        self._running.pop(outcome.device, None)
        if self._stopping and not outcome.ok:
            return  # it ended because everything does
        self.outcomes[outcome.device] = outcome
        self._on_outcome(outcome)


def _named(name: str, error: BaseException) -> EdgekitError:
    if isinstance(error, EdgekitError):
        return error
    if isinstance(error, _Stopped):
        return DeviceError(f"{name}: ended before it was done")
    found = EdgekitError(
        f"{name}: unexpected {type(error).__name__}: {error}",
        hint="this is a defect of edgekit; run it again with --debug and report the traceback",
    )
    found.__cause__ = error
    return found
