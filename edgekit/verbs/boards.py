"""Opening boards for the verbs: resolved, connected, known to be what their profile says, ready to run models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import UsageError
from edgekit.core.events import Event, EventSink, task
from edgekit.core.notice import Notice
from edgekit.device.affinity import Affinity, choose_cpus
from edgekit.device.connect import Device, connect
from edgekit.device.facts import Facts, mismatch
from edgekit.device.lock import held
from edgekit.device.now import read_now
from edgekit.device.profile import Profile, load_profile
from edgekit.device.provision import BoardRuntime, RuntimeName, prepare_runtime
from edgekit.device.target import Target, resolve
from edgekit.device.tune import restore, tuned
from edgekit.measure.conditions import BoardLimits
from edgekit.runner.conditions import Conditions

Ask = Callable[[str], str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How to reach a board, where a user says more than its name.

    Attributes:
        host: ``user@addr:port`` instead of the address that belongs to the name.
        port, user, identity_file: instead of what inventory and ssh configuration say.
        ssh_config: as ssh's ``-F``.
        ask: puts a question to the person at the terminal; None: nobody is there.
        wait_s: how long to wait for a board that somebody else uses; None: not at all; ``math.inf``: until it is free.
        purpose: what others are told who want the board meanwhile.
        on_open: hears of every connection that is opened, so that somebody else can end it.
        tune: hold the board's clocks while it is open; see :func:`edgekit.device.tune.tuned`.
    """

    host: str | None = None
    port: int | None = None
    user: str | None = None
    identity_file: Path | None = None
    ssh_config: Path | None = None
    ask: Ask = None
    wait_s: float | None = None
    purpose: str = "a Python program"
    on_open: Callable[[Device], None] | None = None
    tune: bool = False

    def target(self, name: str) -> Target:
        """The board that ``name`` means.

        Raises:
            UsageError: unknown name, malformed address, or several names where one board is meant.
        """
        if not isinstance(name, str):
            raise UsageError(
                f"one board is meant here, not {name!r}",
                hint="call it once for each board; edgekit.benchmark and the command line take several",
            )
        return resolve(
            name,
            host=self.host,
            port=self.port,
            user=self.user,
            identity_file=self.identity_file,
            ssh_config=self.ssh_config,
        )

    def connect(self, target: Target) -> Device:
        """Opens the way to a board.

        Raises:
            UnreachableError, HostKeyError, AuthenticationError: see :func:`edgekit.device.connect.connect`.
        """
        device = connect(target, ask=self.ask)
        if self.on_open is not None:
            self.on_open(device)
        return device

    @contextmanager
    def lock(self, device: Device, on_event: EventSink) -> Iterator[tuple[Notice, ...]]:
        """Nobody else uses the board within the block; see :func:`edgekit.device.lock.held`.

        What a lost command has left tuned is put back first.

        Yields:
            What the user should know of that.

        Raises:
            BusyError: somebody else uses it, and went on for longer than :attr:`wait_s`.
        """
        with held(device, purpose=self.purpose, wait_s=self.wait_s, on_event=on_event) as left_tuned:
            yield restore(device) if left_tuned else ()


def tell(notices: Sequence[Notice], on_event: EventSink) -> None:
    """Says notices as progress, where what a command returns has no place for them."""
    for notice in notices:
        on_event(Event(state="note", task="tune", message=notice.message))


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """An open board that can run models.

    Attributes:
        profile: what kind of board it is; ``generic`` where its name suggested a kind that it is not.
        notices: what the user should know about it.
    """

    device: Device
    profile: Profile
    facts: Facts
    runtime: BoardRuntime
    notices: tuple[Notice, ...]

    @property
    def limits(self) -> BoardLimits:
        """What the verdict must know about it."""
        return BoardLimits(temperature_limit_c=self.profile.throttle_c, emulated=self.facts.emulator is not None)

    def affinity(self, num_threads: int) -> Affinity:
        """The cores for a model with so many threads.

        Raises:
            DeviceError: the profile names a core that is not online.
        """
        return choose_cpus(self.device.name, self.profile, self.facts, num_threads)

    def read_now(self) -> Conditions:
        """What its sensors say at this moment.

        Raises:
            DeviceError: the board does not answer any more.
        """
        return read_now(self.device, self.profile)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachedBoard:
    """A board that is connected, locked and known to be what its profile says; nothing was brought onto it yet.

    Attributes:
        profile, notices: as of :class:`Board`.
    """

    device: Device
    profile: Profile
    facts: Facts
    notices: tuple[Notice, ...]

    def prepared(self, runtime: RuntimeName, on_event: EventSink, *, stateful: bool = False) -> Board:
        """The board with a runtime on it; several can be brought there, one after the other.

        Raises:
            RuntimeMissingError, DependencyError, DeviceError: see :func:`edgekit.device.provision.prepare_runtime`.
        """
        ready = prepare_runtime(self.device, self.facts, runtime=runtime, stateful=stateful, on_event=on_event)
        return Board(
            device=self.device,
            profile=self.profile,
            facts=self.facts,
            runtime=ready,
            notices=(*self.notices, *ready.notices),
        )


@contextmanager
def reach_board(name: str, reach: Reach, on_event: EventSink) -> Iterator[ReachedBoard]:
    """Connects, locks the board, puts back what a lost command has left tuned, and compares it with its profile.

    Raises:
        UsageError, BusyError, DeviceError: see :func:`open_board`.
    """
    target = reach.target(name)
    with task(f"connect to {name}", on_event):
        device = reach.connect(target)
    with device, reach.lock(device, on_event) as restored:
        facts = device.facts()
        profile, notices = _profile_of(target, facts)
        with tuned(device, on_event) if reach.tune else nullcontext(()) as tuning:
            yield ReachedBoard(
                device=device,
                profile=profile,
                facts=device.facts() if reach.tune else facts,
                notices=(*target.notices, *restored, *notices, *tuning),
            )


@contextmanager
def open_board(
    name: str, reach: Reach, runtime: RuntimeName, on_event: EventSink, *, stateful: bool = False
) -> Iterator[Board]:
    """Connects, locks the board, compares it with its profile, and brings a runtime onto it.

    ``stateful``: one that runs models with variable tensors.

    Raises:
        UsageError: unknown name.
        BusyError: somebody else uses the board.
        DeviceError: not reachable, not trusted, of another architecture than its profile, without a runtime.
    """
    with reach_board(name, reach, on_event) as reached:
        yield reached.prepared(runtime, on_event, stateful=stateful)


def _profile_of(target: Target, facts: Facts) -> tuple[Profile, tuple[Notice, ...]]:
    """The target's profile, unless the board is something else.

    A profile that the user chose and the board contradicts is an error: one of the two is wrong. A profile that only
    has the board's name was a guess, and gives way.
    """
    wrong = mismatch(target.name, target.profile, facts)
    if wrong is None:
        return target.profile, ()
    if not target.profile_implied:
        raise wrong
    notice = Notice(
        code="not-what-its-name-says",
        message=f"{wrong.message}; the profile is not used",
        hint=wrong.hint or "",
    )
    return load_profile("generic"), (notice,)
