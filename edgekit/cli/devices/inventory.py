"""edgekit devices list, add, remove."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.devices.app import Name, app
from edgekit.cli.invocation import command
from edgekit.cli.output import Output


@command(app, "devices list", example="edgekit devices list")
def list_(*, out: Output) -> None:
    """Your boards, and the kinds of boards that edgekit knows."""
    from edgekit.core.decode import to_json
    from edgekit.device import inventory
    from edgekit.device.profile import load_profile, profile_paths
    from edgekit.report.terminal import rows_table

    entries = inventory.entries()
    profiles = [load_profile(name) for name in sorted(profile_paths())]
    rows = [("local", "this machine", "local", "")]
    rows += [(e.name, e.host, e.profile or e.name, "pinned" if e.host_key else "known_hosts") for e in entries]
    document = {"devices": to_json(entries), "profiles": to_json(profiles), "inventory": str(inventory.path())}
    out.answer(
        document,
        rows_table(("device", "address", "profile", "host key"), rows),
        rows_table(("profile", "what it is", "ABI"), [(p.name, p.title, p.abi or "any") for p in profiles]),
        "a profile's name is a device too where your ssh configuration has a Host of that name",
    )


@command(app, "devices add", example="edgekit devices add lab-pi --host 192.0.2.7 --user pi --profile pi4")
def add(
    name: Name,
    *,
    host: Annotated[
        str | None, typer.Option("--host", help="Address, name, or Host of your ssh configuration (default: NAME).")
    ] = None,
    port: o.Port = None,
    user: o.User = None,
    identity_file: o.IdentityFile = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="What kind of board: `edgekit devices list`.")
    ] = None,
    workspace: Annotated[str | None, typer.Option("--workspace", help="Our folder there (default ~/.edgekit).")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Change the entry of this name; what is not given stays.")
    ] = False,
    out: Output,
) -> None:
    """Write a board into your inventory."""
    from edgekit.core.decode import to_json
    from edgekit.device import inventory
    from edgekit.device.address import parse_address
    from edgekit.device.profile import load_profile

    if profile is not None:
        load_profile(profile)
    before = inventory.find(name) if replace else None
    given = parse_address(host or (before.host if before else name))
    said = {
        "host": given.host,
        "port": port or given.port,
        "user": user or given.user,
        "identity_file": str(identity_file.expanduser().absolute()) if identity_file else None,
        "profile": profile,
        "workspace": workspace,
    }
    known = to_json(before) if before is not None else {}
    changed = {key: value for key, value in said.items() if value is not None}
    entry = inventory.InventoryEntry(**{**known, "name": name, **changed})
    inventory.add(entry, replace=replace)
    out.answer({"device": to_json(entry)}, f"added {name}; next: edgekit devices trust {name}")


@command(app, "devices remove", example="edgekit devices remove lab-pi")
def remove(name: Name, *, out: Output) -> None:
    """Take a board out of your inventory; nothing on the board changes."""
    from edgekit.device import inventory

    inventory.remove(name)
    out.answer({"removed": name}, f"removed {name}")
