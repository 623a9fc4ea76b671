"""edgekit devices show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.devices.app import Name, app
from edgekit.cli.invocation import command
from edgekit.cli.output import Output

if TYPE_CHECKING:
    from edgekit.core.notice import Notice
    from edgekit.device.profile import Profile
    from edgekit.device.target import Target
    from edgekit.verbs.rollback import OnBoard


@command(app, "devices show", example="edgekit devices show pi4")
def show(
    name: Name,
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the board what is deployed there.")] = False,
    ssh_config: o.SshConfig = None,
    out: Output,
) -> None:
    """What is known of a board, and which releases are on it. Address, user, keys and profile are yours."""
    from edgekit.core.decode import to_json
    from edgekit.device.target import resolve
    from edgekit.report.terminal import facts_table
    from edgekit.verbs.selftest import all_flagged

    target = resolve(name, ssh_config=ssh_config)
    found, notices = (None, ()) if offline else _asked(target, ssh_config)
    notices = (*notices, *all_flagged([name]))
    rows = [*_address(target), *_profile(target.profile)]
    document = {
        "device": name,
        "profile": to_json(target.profile),
        "ssh": _ssh_document(target),
        "serial": target.serial,
        "deployed": None if found is None else to_json(found.models),
        "runtimes": None if found is None else [{"file": file, "size_bytes": size} for file, size in found.runtimes],
        "cache": None if found is None else to_json(found.cache),
        "warnings": to_json(notices),
    }
    out.notices(notices)
    out.answer(document, facts_table(rows), *(_releases(found) if found else ()))


def _asked(target: Target, ssh_config: Any) -> tuple[OnBoard | None, tuple[Notice, ...]]:
    """What the board has; a board that does not answer is no error here."""
    from edgekit.cli.reaching import at_terminal
    from edgekit.core.errors import DependencyError, DeviceError
    from edgekit.core.notice import Notice
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.rollback import on_board

    try:
        return on_board(target.name, reach=Reach(ssh_config=ssh_config, ask=at_terminal())), ()
    except (DeviceError, DependencyError) as error:
        message = f"what is on {target.name} is not known: {error.message}"
        return None, (Notice(code="not-asked", message=message, hint=error.hint or ""),)


def _releases(found: OnBoard) -> list[Any]:
    from datetime import datetime

    from edgekit.core import units
    from edgekit.device.board_cache import amount
    from edgekit.report.terminal import facts_table, rows_table

    if not found.models and not found.runtimes and not found.cache:
        return [f"nothing is deployed there (workspace {found.workspace})"]
    shown: list[Any] = []
    for model in found.models:
        rows = [
            (
                release.id,
                release.state + (", failed" if release.failed and release.state != "failed" else ""),
                units.size(release.size_bytes),
                f"{datetime.fromtimestamp(release.since_s):%Y-%m-%d %H:%M}" if release.since_s else "unknown",
            )
            for release in model.releases
        ]
        opens = model.stable_path if model.current else "nothing is active"
        shown.append(facts_table([("application opens", opens)], title=model.name))
        shown.append(rows_table(("release", "state", "size", "since"), rows, right=(2,)))
    if found.runtimes:
        files = [(file, units.size(size)) for file, size in found.runtimes]
        shown.append(rows_table(("runtime files", "size"), files, right=(1,)))
    if found.cache:
        shown.append(f"kept there: {amount(found.cache)}; what was used longest ago makes room when the disk is full")
    return shown


def _address(target: Target) -> list[tuple[str, object]]:
    ssh = target.ssh
    if ssh is None:
        where = "this machine" if target.serial is None else f"over adb, serial {target.serial}"
        return [("device", f"{target.name}: {where}")]
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
