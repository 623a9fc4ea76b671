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
    from edgekit.device.facts import Facts


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
