"""edgekit devices check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.cli import options as o
from edgekit.cli.devices.app import Name, app
from edgekit.cli.invocation import command, exit_with
from edgekit.cli.output import Output
from edgekit.cli.reaching import at_terminal
from edgekit.core import units

if TYPE_CHECKING:
    from edgekit.core.notice import Notice
    from edgekit.device.facts import Facts
    from edgekit.device.facts_cpu import CoreGroup
    from edgekit.device.target import Target


@command(app, "devices check", example="edgekit devices check pi4")
def check(
    name: Name,
    *,
    way: o.BoardOptions,
    out: Output,
) -> None:
    """Ask a board what it is, and compare that with its profile."""
    from edgekit.core.decode import to_json
    from edgekit.core.errors import DeviceError
    from edgekit.core.events import task
    from edgekit.device.connect import connect
    from edgekit.device.lock import owner
    from edgekit.device.profile_check import differences
    from edgekit.report.terminal import facts_table

    target = way.reach().target(name)
    with task(f"connect to {name}", out.on_event), connect(target, ask=at_terminal()) as device:
        facts = device.facts()
        try:
            holder = str(owner(device) or "nobody")
        except DeviceError as error:  # what the board is matters even where it cannot be locked
            holder = f"unknown: {error.message}"
    notices = (*target.notices, *differences(target.profile, facts), *_better(name, target, facts))
    out.notices(notices)
    wrong = any(notice.code == "architecture" for notice in notices) and not target.profile_implied
    document = {
        "device": name,
        "profile": target.profile.name,
        "facts": to_json(facts),
        "in_use_by": holder,
        "warnings": to_json(notices),
        "ok": not wrong,
    }
    rows = [
        ("device", name),
        ("profile", f"{target.profile.name}: {target.profile.title}"),
        *_facts(facts),
        *_android(facts),
    ]
    out.answer(document, facts_table([*rows, ("in use by", holder)]))
    if wrong:
        exit_with(5)


def _better(name: str, target: Target, facts: Facts) -> tuple[Notice, ...]:
    """A profile that fits better, where the one in use was chosen by nobody or is of another architecture."""
    from edgekit.core.notice import Notice
    from edgekit.device.profile import all_profiles
    from edgekit.device.profile_check import proposals

    used = target.profile
    wrong = used.abi is not None and facts.abi is not None and used.abi != facts.abi
    if target.is_local or not (target.profile_implied or wrong):
        return ()
    known, _ = all_profiles()
    best = next(iter(proposals(facts, [profile for profile, _ in known.values()], transport=used.transport)), None)
    if best is None or best.profile == used.name:
        return ()
    return (
        Notice(
            code="profile-proposed",
            message=f"the profile {best.profile} fits this board: {', and '.join(best.reasons)}",
            hint=f"edgekit devices add {name} --profile {best.profile} --replace",
        ),
    )


def _facts(facts: Facts) -> list[tuple[str, object]]:
    python = ".".join(map(str, facts.python.version)) + f"  {facts.python.path}" if facts.python else "none"
    libc = f"{facts.libc} {facts.libc_version or ''}".strip() if facts.libc else None
    throttle = "unknown" if facts.throttle_bits is None else f"0x{facts.throttle_bits:x}"
    rows: list[tuple[str, object]] = [
        ("board", f"{facts.model or 'unknown'}{', emulated by ' + facts.emulator if facts.emulator else ''}"),
        ("revision", facts.revision),
        ("system", f"{facts.os_name or facts.system or 'unknown'}, kernel {facts.kernel or 'unknown'}"),
        ("build", facts.os_build),
        ("container", facts.container),
        ("userland", f"{facts.abi or 'unknown'}, {facts.userland_bits or '?'} bits, {libc or 'unknown libc'}"),
        ("cores", "; ".join(map(_group, facts.clusters)) or None),
        ("processor", facts.cpu_model),
        ("memory", f"{units.size(facts.memory_total_bytes)}, {units.size(facts.memory_available_bytes)} available"),
        ("python", python),
        ("workspace", f"{facts.workspace}, {units.size(facts.disk_free_bytes)} free"),
        ("temperature", "unknown" if facts.temperature_c is None else f"{facts.temperature_c:.1f} °C"),
        ("governor", facts.governor),
        ("clock", None if facts.clock_hz is None else f"{facts.clock_hz / 1e6:.0f} MHz"),
        ("throttle bits", throttle),
        ("load", facts.load_1min),
    ]
    only_some_have = ("revision", "build", "container")
    return [(name, value) for name, value in rows if value is not None or name not in only_some_have]


def _group(group: CoreGroup) -> str:
    kind = f"{len(group.cpus)}x {group.kind or 'core'}"
    return f"{kind} up to {group.max_hz / 1e6:.0f} MHz" if group.max_hz else kind


def _android(facts: Facts) -> list[tuple[str, object]]:
    """What only Android tells."""
    from edgekit.device.android_facts import THERMAL_STATUSES

    if facts.system != "Android":
        return []
    battery = None
    if facts.battery is not None:
        charge = "unknown charge" if facts.battery.percent is None else f"{facts.battery.percent} %"
        warm = "" if facts.battery.temperature_c is None else f", {facts.battery.temperature_c:.1f} °C"
        battery = f"{charge}, {'charging' if facts.battery.charging else 'not charging'}{warm}"
    fixed = {None: None, True: "can be asked for", False: "not there (before Android 11)"}[facts.fixed_performance]
    return [
        ("thermal status", None if facts.thermal_status is None else THERMAL_STATUSES[facts.thermal_status]),
        ("battery", battery),
        ("fixed performance", fixed),
    ]
