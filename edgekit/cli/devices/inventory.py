"""edgekit devices list, add, remove."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.devices.app import Name, app
from edgekit.cli.invocation import command
from edgekit.cli.output import Output

if TYPE_CHECKING:
    from edgekit.device.inventory import InventoryEntry


@command(app, "devices list", example="edgekit devices list")
def list_(*, out: Output) -> None:
    """Your boards, and the kinds of boards that edgekit knows."""
    from edgekit.core.decode import to_json
    from edgekit.device import inventory
    from edgekit.device.profile import all_profiles, origin
    from edgekit.report.terminal import rows_table
    from edgekit.verbs.selftest import all_flagged

    entries = inventory.entries()
    profiles, notices = all_profiles()
    notices = (*notices, *all_flagged(["local", *(entry.name for entry in entries)]))
    out.notices(notices)
    rows = [("local", "this machine", "local", "")]
    over_adb = {name for name, (profile, _) in profiles.items() if profile.transport == "adb"}
    for e in entries:
        key = "none" if e.profile in over_adb else "pinned" if e.host_key else "known_hosts"
        profile = e.profile or (e.name if e.name in profiles else "generic")
        rows.append((e.name, f"{e.host}:{e.port}" if e.port else e.host, profile, key))
    kinds = [(p.name, p.title, p.abi or "any", _whose(path)) for p, path in profiles.values()]
    document = {
        "devices": to_json(entries),
        "profiles": [{**to_json(p), "origin": origin(path), "path": str(path)} for p, path in profiles.values()],
        "inventory": str(inventory.path()),
        "warnings": to_json(notices),
    }
    out.answer(
        document,
        rows_table(("device", "address", "profile", "host key"), rows),
        rows_table(("profile", "what it is", "ABI", "from"), kinds),
        "a profile's name is a device too where your ssh configuration has a Host of that name",
    )


def _whose(path: Path) -> str:
    """``edgekit``, or where a profile of the user's own lies."""
    from edgekit.device.profile import origin

    whose = origin(path)
    return whose if whose == "edgekit" else str(path)


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
        str | None,
        typer.Option("--profile", help="What kind of board: `edgekit devices list` (default: the board is asked)."),
    ] = None,
    workspace: Annotated[str | None, typer.Option("--workspace", help="Our folder there (default ~/.edgekit).")] = None,
    ssh_config: o.SshConfig = None,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Ask the board what it is, where no profile is named.")
    ] = True,
    replace: Annotated[
        bool, typer.Option("--replace", help="Change the entry of this name; what is not given stays.")
    ] = False,
    out: Output,
) -> None:
    """Write a board into your inventory. Without --profile it is asked what kind of board it is."""
    from edgekit.core.decode import to_json
    from edgekit.core.events import task
    from edgekit.device import inventory
    from edgekit.device.address import parse_address
    from edgekit.device.probe import probe as ask_board
    from edgekit.device.profile import load_profile, profile_paths
    from edgekit.device.target import resolve

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
    if not probe or entry.profile is not None or name in profile_paths():
        out.answer({"device": to_json(entry), "probe": None}, f"added {name}; next: {_next(entry)}")
        return
    with task(f"ask {name} what it is", out.on_event):
        found = ask_board(resolve(name, ssh_config=ssh_config))
    out.notices(found.notices)
    if found.proposal is not None:
        entry = dataclasses.replace(entry, profile=found.proposal.profile)
        inventory.add(entry, replace=True)
        why = ", and ".join(found.proposal.reasons) or "nothing more is known"
        lines = [f"added {name} as {found.proposal.profile}: {why}", f"next: edgekit devices check {name}"]
    else:
        lines = [f"added {name}, not knowing what kind of board it is: {found.complaint}", f"next: {found.hint}"]
    document = {
        "device": to_json(entry),
        "probe": {
            "profile": to_json(found.proposal),
            "others": to_json(found.others),
            "complaint": found.complaint,
            "hint": found.hint,
        },
        "warnings": to_json(found.notices),
    }
    out.answer(document, *lines)


def _next(entry: InventoryEntry) -> str:
    from edgekit.device.profile import load_profile

    over_adb = entry.profile is not None and load_profile(entry.profile).transport == "adb"  # it has no host key
    return f"edgekit devices {'check' if entry.host_key or over_adb else 'trust'} {entry.name}"


@command(app, "devices remove", example="edgekit devices remove lab-pi")
def remove(name: Name, *, out: Output) -> None:
    """Take a board out of your inventory. Nothing on the board changes."""
    from edgekit.device import inventory

    inventory.remove(name)
    out.answer({"removed": name}, f"removed {name}")
