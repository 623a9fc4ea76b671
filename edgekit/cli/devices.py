"""edgekit devices list, show, add, remove, trust, check."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, exit_with, new_app
from edgekit.cli.output import Output
from edgekit.cli.reaching import at_terminal
from edgekit.core import units

if TYPE_CHECKING:
    from edgekit.device.facts import Facts
    from edgekit.device.profile import Profile
    from edgekit.device.target import Target

app = new_app("List, show, add, trust and check boards.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What you call the board.")]


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


@command(app, "devices show", example="edgekit devices show pi4")
def show(name: Name, *, ssh_config: o.SshConfig = None, out: Output) -> None:
    """What is known of a board without asking it: address, user, keys, profile."""
    from edgekit.core.decode import to_json
    from edgekit.device.target import resolve
    from edgekit.report.terminal import facts_table

    target = resolve(name, ssh_config=ssh_config)
    rows = [*_address(target), *_profile(target.profile)]
    document = {"device": name, "profile": to_json(target.profile), "ssh": _ssh_document(target)}
    out.answer(document, facts_table(rows))


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


@command(app, "devices trust", example="edgekit devices trust pi4 --fingerprint SHA256:AbC...")
def trust(
    name: Name,
    *,
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", help="As `ssh-keygen -lf` shows it on the board. Asked for otherwise."),
    ] = None,
    way: o.BoardOptions,
    out: Output,
) -> None:
    """Pin a board's host key, after you have compared its fingerprint."""
    from edgekit.core.decode import to_json
    from edgekit.core.errors import UsageError
    from edgekit.device.trust import fetch_host_key, pin, require

    target = way.reach().target(name)
    key = fetch_host_key(target, ask=at_terminal())
    if fingerprint is None:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(
                f"{name} shows {key.fingerprint} ({key.type}); nobody is at a terminal to confirm it",
                hint=f"compare it on the board, then: edgekit devices trust {name} --fingerprint {key.fingerprint}",
            )
        out.say(f"{name} shows {key.fingerprint} ({key.type})")
        out.say("on the board, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` (or the other types) shows it too")
        sys.stderr.write("is it the same? type yes: ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() != "yes":
            raise UsageError(f"{name} was not trusted")
    else:
        require(key, fingerprint, name=name)
    entry = pin(name, key)
    document = {"device": to_json(entry), "fingerprint": key.fingerprint, "type": key.type}
    out.answer(document, f"{name} is trusted: {key.fingerprint} ({key.type})")


@command(app, "devices check", example="edgekit devices check pi4")
def check(
    name: Name,
    *,
    way: o.BoardOptions,
    out: Output,
) -> None:
    """Ask a board what it is, and compare that with its profile."""
    from edgekit.core.decode import to_json
    from edgekit.core.events import task
    from edgekit.device.connect import connect
    from edgekit.device.facts import check as compare
    from edgekit.report.terminal import facts_table

    target = way.reach().target(name)
    with task(f"connect to {name}", out.on_event), connect(target, ask=at_terminal()) as device:
        facts = device.facts()
    notices = (*target.notices, *compare(target.profile, facts))
    out.notices(notices)
    wrong = any(notice.code == "architecture" for notice in notices) and not target.profile_implied
    document = {"device": name, "facts": to_json(facts), "warnings": to_json(notices), "ok": not wrong}
    out.answer(document, facts_table([("device", name), *_facts(facts)]))
    if wrong:
        exit_with(5)


def _facts(facts: Facts) -> list[tuple[str, object]]:
    python = ".".join(map(str, facts.python.version)) + f"  {facts.python.path}" if facts.python else "none"
    libc = f"{facts.libc} {facts.libc_version or ''}".strip() if facts.libc else None
    throttle = None if facts.throttle_bits is None else f"0x{facts.throttle_bits:x}"
    return [
        ("board", f"{facts.model or 'unknown'}{', emulated by ' + facts.emulator if facts.emulator else ''}"),
        ("system", f"{facts.os_name or facts.system or 'unknown'}, kernel {facts.kernel or 'unknown'}"),
        ("userland", f"{facts.abi or 'unknown'}, {facts.userland_bits or '?'} bits, {libc or 'unknown libc'}"),
        ("cores", f"{len(facts.cores)}  {facts.cpu_model or ''}" if facts.cores else None),
        ("memory", f"{units.size(facts.memory_total_bytes)}, {units.size(facts.memory_available_bytes)} available"),
        ("python", python),
        ("workspace", f"{facts.workspace}, {units.size(facts.disk_free_bytes)} free"),
        ("temperature", None if facts.temperature_c is None else f"{facts.temperature_c:.1f} °C"),
        ("governor", facts.governor),
        ("throttle bits", throttle),
        ("load", facts.load_1min),
    ]


def _address(target: Target) -> list[tuple[str, object]]:
    ssh = target.ssh
    if ssh is None:
        return [("device", f"{target.name}: this machine")]
    return [
        ("device", target.name),
        ("address", f"{ssh.hostname}:{ssh.port}"),
        ("user", ssh.user),
        ("host key", target.host_key or "from known_hosts"),
        ("workspace", target.workspace or target.profile.workspace),
    ]


def _profile(profile: Profile) -> list[tuple[str, object]]:
    clusters = ", ".join(
        f"{len(c.cpus)}× {c.core}" + (f" {c.max_mhz} MHz" if c.max_mhz else "") for c in profile.clusters
    )
    return [
        ("profile", f"{profile.name}: {profile.title}"),
        ("SoC", profile.soc or "depends on the board"),
        ("cores", clusters or "depends on the board"),
        ("RAM", ", ".join(f"{mb} MiB" for mb in profile.ram_mb) or "depends on the board"),
        ("ABI", profile.abi or "depends on the board"),
        ("throttles from", f"{profile.throttle_c:.0f} °C" if profile.throttle_c else None),
    ]


def _ssh_document(target: Target) -> dict[str, Any] | None:
    if target.ssh is None:
        return None
    return {"host": target.ssh.hostname, "port": target.ssh.port, "user": target.ssh.user, "host_key": target.host_key}
