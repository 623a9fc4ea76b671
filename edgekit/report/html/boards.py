"""What is known of a board, and what is deployed there."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from edgekit.core import units
from edgekit.core.errors import EdgekitError
from edgekit.report import words
from edgekit.report.collected import Held
from edgekit.report.html.chart import Table
from edgekit.results.record import StoredResult

_SYSTEM = {
    "board": "board",
    "revision": "revision",
    "cpu": "cores",
    "os_name": "system",
    "os_build": "system's build",
    "kernel": "kernel",
    "libc": "C library",
}


def facts(held: Sequence[Held]) -> tuple[tuple[str, str], ...]:
    """Names and values of one board: its profile, and how it was when it was measured last.

    Args:
        held: its measurements, at least one.
    """
    newest = max(held, key=lambda one: one.result.created)
    state = (newest.document.get("facts") or {}).get("before") or {}
    system = newest.document.get("system") or {}
    trials = newest.samples.latency if newest.samples else ()
    frequencies = state.get("frequency_hz") or ()
    found: list[tuple[str, Any]] = [
        *_profile(newest.document["device"]),
        ("processor", "emulated: its times say nothing about a real board" if newest.emulated else "real"),
        ("last measured", f"{newest.result.created[:16].replace('T', ' ')} UTC"),
        ("runtimes", "; ".join(dict.fromkeys(words.runtime(one.document) for one in held))),
        ("Python", trials[0].python if trials else None),
        ("cores used", ", ".join(map(str, trials[0].cpus)) if trials and trials[0].cpus else "left to the scheduler"),
        ("governor", state.get("governor")),
        ("clock", f"{max(frequencies) / 1e6:.0f} MHz asked for" if frequencies else _clock(state)),
        ("temperature", _celsius(state)),
        ("throttle bits", hex(state["throttle_bits"]) if state.get("throttle_bits") is not None else None),
        ("load", f"{state['load_1min']:.2f}" if state.get("load_1min") is not None else None),
        (
            "memory available",
            units.size(state["memory_available_bytes"]) if state.get("memory_available_bytes") else None,
        ),
        ("boot", state.get("boot_id")),
        *((name, system[key]) for key, name in _SYSTEM.items() if system.get(key)),
        ("memory", units.size(system["memory_total_bytes"]) if system.get("memory_total_bytes") else None),
    ]
    return tuple((name, "this board does not tell" if value in (None, "") else str(value)) for name, value in found)


def deployed(results: Sequence[StoredResult]) -> Table:
    """The newest deployment of each name on each board."""
    rows = []
    for result in results:
        document = result.document
        smoke, release = document.get("smoke") or {}, document.get("release") or {}
        rows.append(
            (
                str(result.device),
                words.model(result.model),
                str(release.get("id") or words.NOTHING),
                str(release.get("previous") or words.NOTHING),
                words.NOTHING if "ok" not in smoke else "passed" if smoke["ok"] else "failed",
                units.size(document.get("uploaded_bytes")),
                result.created[:16].replace("T", " "),
            )
        )
    headers = ("board", "model", "release", "previous", "smoke test", "uploaded", "when (UTC)")
    return Table(caption="Deployments", headers=headers, rows=tuple(rows), right=(5,))


def _profile(device: str) -> list[tuple[str, str]]:
    """What the inventory of this machine says of a board of this name now; nothing where it has none."""
    from edgekit.device import inventory
    from edgekit.device.profile import load_profile, profile_paths

    with contextlib.suppress(EdgekitError):
        entry = inventory.find(device)
        kind = (entry.profile if entry else None) or (device if device in profile_paths() else None)
        if kind:
            profile = load_profile(kind)
            cores = words.count(profile.cores, "core") if profile.cores else None
            memory = f"{' or '.join(f'{size / 1024:g}' for size in profile.ram_mb)} GiB" if profile.ram_mb else None
            parts = [part for part in (profile.soc, profile.abi, cores, memory) if part]
            return [("profile", f"{profile.title} ({', '.join(parts)})" if parts else profile.title)]
    return []


def _clock(state: dict[str, Any]) -> str | None:
    return f"{state['clock_hz'] / 1e6:.0f} MHz" if state.get("clock_hz") else None


def _celsius(state: dict[str, Any]) -> str | None:
    return f"{state['temperature_c']:.1f} °C" if state.get("temperature_c") is not None else None
