"""edgekit devices show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.cli import options as o
from edgekit.cli.devices.app import Name, app
from edgekit.cli.invocation import command
from edgekit.cli.output import Output

if TYPE_CHECKING:
    from edgekit.device.profile import Profile
    from edgekit.device.target import Target


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
