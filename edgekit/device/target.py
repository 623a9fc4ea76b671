"""From the name a user gives to the board that is meant: inventory entry, profile with ssh alias, or address."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core import suggest
from edgekit.core.errors import UsageError
from edgekit.core.notice import Notice
from edgekit.device import inventory
from edgekit.device.address import Address, check_user, parse_address
from edgekit.device.profile import Profile, load_profile, profile_paths
from edgekit.device.transport import openssh_config
from edgekit.device.transport.openssh_config import SshSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One board, and how to reach it.

    Attributes:
        name: as the user calls it.
        profile: what kind of board it is.
        ssh: as OpenSSH would resolve it; None: reached in another way.
        serial: of an Android device, as adb names it (``R58M12ABCDE``, ``192.0.2.7:5555``); empty: the only
            one that is attached; None: not over adb.
        host_key: pinned in the inventory, ``TYPE BASE64``.
        workspace: our folder there, as given (``~`` is the board's).
        library, benchmark_model: files on this machine that the user supplies for this board.
        profile_implied: nobody named the profile, it only has the board's name.
    """

    name: str
    profile: Profile
    ssh: SshSettings | None
    serial: str | None = None
    host_key: str | None = None
    workspace: str | None = None
    library: Path | None = None
    benchmark_model: Path | None = None
    profile_implied: bool = False

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return self.ssh is None and self.serial is None

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Settings of the user's ssh configuration that are not followed."""
        return self.ssh.notices if self.ssh else ()


def resolve(
    name: str | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    user: str | None = None,
    identity_file: Path | None = None,
    profile: str | None = None,
    ssh_config: Path | None = None,
) -> Target:
    """The board that a user means.

    Args:
        name: of an inventory entry, else of a profile (its ssh alias is the same name); ``local`` is this machine.
        host: ``user@addr:port``, instead of the address that belongs to the name.
        port: instead of what inventory and ssh configuration say; so are ``user`` and ``identity_file``.
        profile: instead of the one that belongs to the name.
        ssh_config: file to read instead of the user's (ssh's ``-F``); else ``EDGEKIT_SSH_CONFIG``.

    Raises:
        UsageError: unknown name (with the nearest one), malformed address, a configuration that ssh refuses.
    """
    if name is None and host is None:
        raise UsageError("no board is named", hint="use --device NAME or --host USER@ADDRESS")
    ssh_config = ssh_config or _from_environment()
    entry = inventory.find(name) if name else None
    if name == "local" and host is None:
        return Target(name="local", profile=load_profile(profile or "local"), ssh=None)
    profiles = profile_paths()
    if name and entry is None and name not in profiles and host is None:
        message, hint = suggest.unknown("device", name, {*profiles, *(e.name for e in inventory.entries())})
        raise UsageError(message, hint=f"{hint}; `edgekit devices add {name} --host ADDRESS` adds a board")
    kind = profile or (entry.profile if entry else None) or (name if name in profiles else None) or "generic"
    board = load_profile(kind)
    if board.transport == "local":
        raise UsageError(f"the profile {kind!r} is this machine, not a board with an address")
    pinned = entry if host is None else None  # another address is another board
    supplied = _supplied(pinned)
    if board.transport == "adb":
        return Target(
            name=name or str(host),
            profile=board,
            ssh=None,
            serial=host or _serial(entry),
            workspace=entry.workspace if entry else None,
            **supplied,
        )
    if user is not None:
        check_user(user)
    given = parse_address(host) if host is not None else Address(host=entry.host if entry else str(name))
    settings = openssh_config.resolve(
        given.host,
        port=port or given.port or (pinned.port if pinned else None),
        user=user or given.user or (pinned.user if pinned else None),
        identity_file=identity_file or (Path(pinned.identity_file) if pinned and pinned.identity_file else None),
        default_port=board.port,
        config=ssh_config,
    )
    return Target(
        name=name or given.host,
        profile=board,
        ssh=settings,
        host_key=pinned.host_key if pinned else None,
        workspace=entry.workspace if entry else None,
        profile_implied=profile is None and (entry is None or entry.profile is None),
        **supplied,
    )


def _serial(entry: inventory.InventoryEntry | None) -> str:
    """As adb names the device; an address keeps its port."""
    if entry is None:
        return ""
    return f"{entry.host}:{entry.port}" if entry.port else entry.host


def _supplied(entry: inventory.InventoryEntry | None) -> dict[str, Any]:
    """The files that an entry names, as a target has them."""
    found = {"library": entry.library, "benchmark_model": entry.benchmark_model} if entry else {}
    return {key: Path(path).expanduser() for key, path in found.items() if path}


def _from_environment() -> Path | None:
    value = os.environ.get("EDGEKIT_SSH_CONFIG")
    return Path(value) if value else None
