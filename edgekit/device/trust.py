"""Pins a board's host key in the inventory, after a person has compared its fingerprint."""

from __future__ import annotations

import dataclasses

from edgekit.core.errors import HostKeyError, UsageError
from edgekit.device import inventory
from edgekit.device.inventory import InventoryEntry
from edgekit.device.profile import profile_paths
from edgekit.device.target import Target
from edgekit.device.transport import host_keys
from edgekit.device.transport.host_keys import HostKey
from edgekit.device.transport.session import Ask, Deadlines, shown_key, unverified_session


def fetch_host_key(target: Target, *, ask: Ask = None, timeout_s: float = 10.0) -> HostKey:
    """The key that the board's server owns. Nobody logs in; ``ask`` is for jump hosts only.

    Raises:
        UsageError: the target is this machine.
        UnreachableError: no server answers.
        HostKeyError: the key is revoked, or a jump host's is not known.
    """
    if target.ssh is None:
        what = "is this machine: it" if target.is_local else "is reached over adb: it asks on its own screen, and"
        raise UsageError(f"{target.name!r} {what} has no host key")
    session = unverified_session(target.ssh, name=target.name, ask=ask, deadlines=Deadlines(connect_s=timeout_s))
    try:
        key = shown_key(session)
    finally:
        session.close()
    known = host_keys.known_keys(target.ssh, pinned=None)
    if key in known.revoked:
        host_keys.verify(key, known, target.ssh, name=target.name)
    return key


def require(key: HostKey, fingerprint: str, *, name: str) -> None:
    """Lets only the key with the given fingerprint pass (``SHA256:…``, as ``ssh-keygen -lf`` shows it).

    Raises:
        HostKeyError: the board shows another key.
    """
    if key.fingerprint.removeprefix("SHA256:") != fingerprint.strip().removeprefix("SHA256:").rstrip("="):
        raise HostKeyError(
            f"{name}: the board shows {key.fingerprint} ({key.type}), not {fingerprint}",
            hint="compare with `ssh-keygen -lf` on the board itself; if it differs, somebody may sit in between",
            details={"fingerprint": key.fingerprint, "type": key.type, "given": fingerprint},
        )


def pin(name: str, key: HostKey) -> InventoryEntry:
    """Writes the key into the inventory; from then on only this key is accepted for ``name``.

    A name that is a profile's with an ssh alias becomes an entry of its own, whose host is that alias.

    Raises:
        UsageError: there is neither an entry nor a profile of that name.
    """
    entry = inventory.find(name)
    if entry is None:
        if name not in profile_paths():
            raise UsageError(
                f"{name!r} is not in the inventory", hint=f"`edgekit devices add {name} --host ADDRESS` first"
            )
        entry = InventoryEntry(name=name, host=name)
    entry = dataclasses.replace(entry, host_key=key.text)
    inventory.add(entry, replace=True)
    return entry
