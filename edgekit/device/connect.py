"""Opens a target: the result is a device, a board with a transport and a workspace."""

from __future__ import annotations

import dataclasses
import functools
import sys
from types import TracebackType

from edgekit.core.errors import DeviceError
from edgekit.core.places import data_dir
from edgekit.device.board_cache import BoardCache
from edgekit.device.facts import Facts, gather
from edgekit.device.facts_parse import Python
from edgekit.device.profile import Profile
from edgekit.device.target import Target
from edgekit.device.transport.local import LocalTransport
from edgekit.device.transport.protocol import Transport, printable
from edgekit.device.transport.session import Ask, Deadlines
from edgekit.device.workspace import Workspace


class Device:
    """An open board; a context manager that closes it.

    Attributes:
        name: as the user calls it.
        profile: what kind of board it is.
        target: where it was found.
        transport: the open way to it; while the board is locked, one that runs commands under the lock only.
        cache: what of the board's cache this command needs.
    """

    def __init__(self, target: Target, transport: Transport) -> None:
        self.name = target.name
        self.profile: Profile = target.profile
        self.target = target
        self.transport = transport
        self.cache = BoardCache(target.name, most=target.profile.keep_models)

    @property
    def named_root(self) -> str:
        """The workspace as it is written down, maybe below ``~/``; of this machine, its absolute path."""
        if self.target.is_local and self.target.workspace is None:
            return str(data_dir() / "workspace")
        return self.target.workspace or self.profile.workspace

    @functools.cached_property
    def root(self) -> str:
        """The workspace's absolute path on the board; asks the board once for its home folder."""
        wanted = self.named_root
        if wanted.startswith("/"):
            return wanted
        done = self.transport.run(["sh", "-c", "cd && pwd -P"], timeout_s=20)
        home = done.text.rstrip("\n")
        if done.exit_status != 0 or not home.startswith("/") or "\n" in home:
            raise DeviceError(
                f"{self.name}: the user has no home folder on the board: {done.complaint or printable(home)}",
                hint="give the board an absolute `workspace` in the inventory",
            )
        return f"{home.rstrip('/')}/{wanted.removeprefix('~/')}"

    @property
    def workspace(self) -> Workspace:
        """Our folder on the board."""
        return Workspace(self.transport, self.root, name=self.name, cache=self.cache)

    def facts(self) -> Facts:
        """What the board says about itself now.

        Raises:
            DeviceError: it does not answer.
        """
        found = gather(self.transport, self.profile, workspace=self.named_root)
        if found.home and found.home.startswith("/") and found.workspace:
            self.__dict__.setdefault("root", found.workspace)  # the board is not asked for its home folder again
        if not self.target.is_local:
            return found
        bits = 64 if sys.maxsize > 1 << 32 else 32
        ours = Python(path=sys.executable, version=sys.version_info[:3], bits=bits)
        return dataclasses.replace(found, python=ours)  # it has the modules of our own environment

    def close(self) -> None:
        """Ends the connection."""
        self.transport.close()

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(target: Target, *, ask: Ask = None, timeout_s: float = 10.0) -> Device:
    """Opens the way to a board.

    Args:
        target: from :func:`edgekit.device.target.resolve`.
        ask: puts a question to the person at the terminal and returns the answer, not echoed (passphrase, password);
            None: nobody is there.
        timeout_s: for the connection, the greeting and the key exchange, each; authentication gets twice as much.

    Raises:
        UnreachableError, HostKeyError, AuthenticationError: what went wrong, and what helps.
    """
    if target.is_local:
        return Device(target, LocalTransport())
    if target.ssh is None:
        from edgekit.device.transport.adb import open_adb

        assert target.serial is not None
        return Device(target, open_adb(target.serial, name=target.name, timeout_s=timeout_s))
    from edgekit.device.transport.session import open_session
    from edgekit.device.transport.ssh import SshTransport

    deadlines = Deadlines(connect_s=timeout_s, auth_s=2 * timeout_s, stall_s=max(2 * timeout_s, 2.0))
    again = functools.partial(
        open_session, target.ssh, name=target.name, pinned=target.host_key, ask=ask, deadlines=deadlines
    )
    return Device(target, SshTransport(again(), deadlines=deadlines, again=again))
