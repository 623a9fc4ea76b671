"""Pure parsers for what a board says about its processor: cores, their kinds, clusters, features."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.device.transport.protocol import printable

# implementer/part → name. Sources: Linux, arch/arm64/include/asm/cputype.h; util-linux, sys-utils/lscpu-arm.c
_PARTS = {
    "0x41/0xb76": "ARM1176",
    "0x41/0xc05": "Cortex-A5",
    "0x41/0xc07": "Cortex-A7",
    "0x41/0xc08": "Cortex-A8",
    "0x41/0xc09": "Cortex-A9",
    "0x41/0xc0e": "Cortex-A17",
    "0x41/0xc0f": "Cortex-A15",
    "0x41/0xd01": "Cortex-A32",
    "0x41/0xd03": "Cortex-A53",
    "0x41/0xd04": "Cortex-A35",
    "0x41/0xd05": "Cortex-A55",
    "0x41/0xd07": "Cortex-A57",
    "0x41/0xd08": "Cortex-A72",
    "0x41/0xd09": "Cortex-A73",
    "0x41/0xd0a": "Cortex-A75",
    "0x41/0xd0b": "Cortex-A76",
    "0x41/0xd0c": "Neoverse-N1",
    "0x41/0xd0d": "Cortex-A77",
    "0x41/0xd40": "Neoverse-V1",
    "0x41/0xd41": "Cortex-A78",
    "0x41/0xd42": "Cortex-A78AE",
    "0x41/0xd44": "Cortex-X1",
    "0x41/0xd46": "Cortex-A510",
    "0x41/0xd47": "Cortex-A710",
    "0x41/0xd48": "Cortex-X2",
    "0x41/0xd49": "Neoverse-N2",
    "0x41/0xd4b": "Cortex-A78C",
    "0x41/0xd4d": "Cortex-A715",
    "0x41/0xd4e": "Cortex-X3",
    "0x41/0xd80": "Cortex-A520",
    "0x41/0xd81": "Cortex-A720",
    "0x41/0xd82": "Cortex-X4",
    "0x4e/0x003": "Denver 2",
    "0x4e/0x004": "Carmel",
    "0x51/0x800": "Kryo-2XX-Gold",
    "0x51/0x801": "Kryo-2XX-Silver",
    "0x51/0x802": "Kryo-3XX-Gold",
    "0x51/0x803": "Kryo-3XX-Silver",
    "0x51/0x804": "Kryo-4XX-Gold",
    "0x51/0x805": "Kryo-4XX-Silver",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One core that is online; clocks in Hz, None where the kernel has no cpufreq.

    Attributes:
        kind: its name, from implementer and part number of its identification register; None: not an ARM core, or
            the kernel does not tell.
    """

    cpu: int
    max_hz: int | None
    current_hz: int | None
    kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreGroup:
    """Cores of one kind with one highest clock, as the board tells."""

    kind: str | None
    cpus: tuple[int, ...]
    max_hz: int | None


def cpuinfo(text: str) -> tuple[str | None, tuple[str, ...]]:
    """Processor name and feature flags of the first core of ``/proc/cpuinfo`` (x86 and ARM spellings).

    Where the kernel tells the part, that is the name: a 32-bit kernel's ``model name`` ("ARMv7 Processor rev 3 (v7l)")
    is the same for a Cortex-A7 and a Cortex-A72.
    """
    blocks = _blocks(text)
    fields = blocks[0] if blocks else {}
    flags = next((value for block in blocks for key, value in block.items() if key in ("flags", "Features")), "")
    return part_name(fields) or fields.get("model name"), tuple(flags.split())


def field(text: str, name: str) -> str | None:
    """A field that ``/proc/cpuinfo`` has once, after the cores: ``Revision``, ``Model``."""
    found = [block[name] for block in _blocks(text) if name in block]
    return found[-1][:200] or None if found else None


def cores(text: str, cpuinfo_text: str = "") -> tuple[Core, ...]:
    """Rows ``CPU MAX_KHZ CURRENT_KHZ MIDR``; ``-`` where the kernel does not say.

    The kind comes from MIDR_EL1, else from the core's block of ``/proc/cpuinfo``.
    """
    told = {block["processor"]: part_name(block) for block in _blocks(cpuinfo_text) if "processor" in block}
    found = {}
    for row in text.splitlines():
        cpu, *columns = row.split() or [""]
        if _is_number(cpu) and 2 <= len(columns) <= 3:
            limit, now = (int(khz) * 1000 if _is_number(khz) else None for khz in columns[:2])
            kind = _midr_name(columns[2]) if len(columns) == 3 else None
            found[int(cpu)] = Core(cpu=int(cpu), max_hz=limit, current_hz=now, kind=kind or told.get(cpu))
    return tuple(found[cpu] for cpu in sorted(found))


def cpu_list(text: str) -> tuple[int, ...]:
    """``0-3,6`` as the kernel writes lists of cores; empty where it is something else."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if not _is_number(first) or not _is_number(last or first) or int(last or first) > 4095:
            return ()
        found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)


def groups(found: tuple[Core, ...]) -> tuple[CoreGroup, ...]:
    """Cores of one kind and one highest clock together, in the order of their first number."""
    together: dict[tuple[str | None, int | None], list[int]] = {}
    for core in found:
        together.setdefault((core.kind, core.max_hz), []).append(core.cpu)
    return tuple(CoreGroup(kind=kind, cpus=tuple(cpus), max_hz=hz) for (kind, hz), cpus in together.items())


def part_name(block: dict[str, str]) -> str | None:
    """The core's name from ``CPU implementer`` and ``CPU part`` of one block of ``/proc/cpuinfo``."""
    if "CPU part" not in block:
        return None
    part = f"{block.get('CPU implementer', '?')}/{block['CPU part']}".lower()
    return _PARTS.get(part, f"ARM {part}"[:60])


def _midr_name(text: str) -> str | None:
    """Implementer: bits 31 to 24; part: bits 15 to 4 (Arm Architecture Reference Manual, MIDR_EL1)."""
    if not re.fullmatch(r"0x[0-9a-fA-F]{8,16}", text):
        return None
    number = int(text, 16)
    return part_name({"CPU implementer": f"0x{number >> 24 & 0xFF:02x}", "CPU part": f"0x{number >> 4 & 0xFFF:03x}"})


def _blocks(text: str) -> list[dict[str, str]]:
    """One mapping per core; a new one begins with ``processor``. ``Hardware`` and what follows belongs to the last."""
    found: list[dict[str, str]] = []
    for row in text.splitlines():
        key, colon, content = row.partition(":")
        key = key.strip()
        if not colon:
            continue
        if key == "processor" or not found:
            found.append({})
        found[-1].setdefault(key, printable(content).strip())
    return found


def _is_number(text: str) -> bool:
    """Digits that are a number of this world; ``isdigit`` also accepts superscripts."""
    return re.fullmatch(r"[0-9]{1,12}", text) is not None
