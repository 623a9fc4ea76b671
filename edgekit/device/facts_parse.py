"""Pure parsers for what the facts script prints."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.device.transport.protocol import printable

_ELF_MACHINES = {3: "i686", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """A Python 3 on the board."""

    path: str
    version: tuple[int, int, int]
    bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One core that is online; clocks in Hz, None where the kernel has no cpufreq."""

    cpu: int
    max_hz: int | None
    current_hz: int | None


def sections(text: str, marker: str) -> dict[str, str]:
    """What stands between the marker lines; anything before the first one is noise and dropped."""
    parts = re.split(rf"^{re.escape(marker)} (\S+)\n", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2])}


def line(said: dict[str, str], name: str) -> str | None:
    """The first line of a section, safe to show; None where it is empty."""
    lines = said.get(name, "").splitlines()
    return printable(lines[0]).strip()[:300] or None if lines else None


def first_number(text: str) -> float | None:
    """``0.61 0.42 …`` → 0.61."""
    found = re.match(r"\s*(\d+(?:\.\d+)?)(?:\s|$)", text)
    return float(found[1]) if found else None


def abi(machine: str | None, elf: str, long_bit: str | None) -> tuple[str | None, int | None]:
    """ABI and bits of the userland, from the ELF header of the shell, else from ``getconf`` and ``uname``."""
    header = [int(n) for n in re.findall(r"\d+", elf)]
    name, bits = None, None
    if header[:4] == [0x7F, 0x45, 0x4C, 0x46] and len(header) >= 20:
        bits = {1: 32, 2: 64}.get(header[4])
        low, high = (header[18], header[19]) if header[5] != 2 else (header[19], header[18])
        name = _ELF_MACHINES.get(low + 256 * high)
    if bits is None and long_bit in ("32", "64"):
        bits = int(long_bit)
    if name is None and machine is not None and bits is not None:
        name = {("aarch64", 32): "arm", ("x86_64", 32): "i686"}.get((machine, bits), machine)
    if name == "arm":
        # an ARMv6 kernel runs on an ARMv6 core only; every other one can run ARMv7 programs
        name = machine if machine in ("armv6l", "armv7l") else "armv7l"
    return name, bits


def libc(said: dict[str, str]) -> tuple[str | None, str | None]:
    """Name and version of the C library."""
    if (said.get("system") or "").startswith("Android"):
        return "bionic", line(said, "android")
    found = re.match(r"glibc (\d[\d.]*)", said.get("glibc", ""))
    if found:
        return "glibc", found[1]
    ldd = said.get("ldd", "")
    if "musl" in ldd:
        version = re.search(r"Version (\d[\d.]*)", ldd)
        return "musl", version[1] if version else None
    found = re.search(r"(?:GLIBC|GNU libc)[^\n]*?(\d+\.\d+)\s*$", ldd.splitlines()[0] if ldd else "")
    return ("glibc", found[1]) if found else (None, None)


def os_name(said: dict[str, str]) -> str | None:
    """``PRETTY_NAME`` of os-release; on Android its version."""
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)"?$', said.get("os_release", ""), flags=re.MULTILINE)
    if found:
        return printable(found[1]).strip()
    release = line(said, "android")
    return f"Android {release}" if release else None


def python(text: str) -> Python | None:
    """Path and version as the interpreter itself printed them."""
    lines = text.splitlines()
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+) (\d+)", lines[1].strip()) if len(lines) == 2 else None
    if not found or not lines[0].startswith("/"):
        return None
    major, minor, patch, bits = (int(n) for n in found.groups())
    return Python(path=lines[0], version=(major, minor, patch), bits=bits) if major >= 3 else None


def cpuinfo(text: str) -> tuple[str | None, tuple[str, ...]]:
    """Processor name and feature flags of the first core of ``/proc/cpuinfo`` (x86 and ARM spellings)."""
    fields: dict[str, str] = {}
    for row in text.splitlines():
        key, colon, content = row.partition(":")
        if colon:
            fields.setdefault(key.strip(), printable(content).strip())
    name = fields.get("model name")
    if name is None and "CPU part" in fields:
        part = f"{fields.get('CPU implementer', '?')}/{fields['CPU part']}"
        name = _ARM_PARTS.get(part.lower(), f"ARM {part}")
    return name, tuple((fields.get("flags") or fields.get("Features") or "").split())


# Linux, arch/arm64/include/asm/cputype.h
_ARM_PARTS = {
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
    "0x41/0xd41": "Cortex-A78",
    "0x41/0xd42": "Cortex-A78AE",
    "0x41/0xc07": "Cortex-A7",
}


def cores(text: str) -> tuple[Core, ...]:
    """Rows ``CPU MAX_KHZ CURRENT_KHZ``; ``-`` where the kernel does not say."""
    found = []
    for row in text.splitlines():
        cpu, *clocks = row.split()
        if cpu.isdigit() and len(clocks) == 2:
            limit, now = (int(khz) * 1000 if khz.isdigit() else None for khz in clocks)
            found.append(Core(cpu=int(cpu), max_hz=limit, current_hz=now))
    return tuple(sorted(found, key=lambda core: core.cpu))


def meminfo(text: str) -> dict[str, int]:
    """``/proc/meminfo`` in bytes."""
    return {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", text, flags=re.MULTILINE)}


def disk_free(text: str) -> int | None:
    """The available bytes of ``df -Pk``; its columns are counted from the right end of the numbers."""
    found = re.search(r"\s\d+\s+-?\d+\s+(-?\d+)\s+(?:\d+%|-)\s", text)
    return max(0, int(found[1])) * 1024 if found else None


def thermal_zones(text: str) -> dict[str, float]:
    """Rows ``MILLIDEGREES TYPE``; a zone that cannot be read is left out."""
    found: dict[str, float] = {}
    for number, row in enumerate(text.splitlines()):
        reading, _, kind = row.strip().partition(" ")
        if re.fullmatch(r"-?\d+", reading) and -60_000 <= int(reading) <= 200_000:
            name = printable(kind).strip().strip("-") or f"zone{number}"
            found[name if name not in found else f"{name}-{number}"] = int(reading) / 1000
    return found


def throttled(text: str) -> int | None:
    """``throttled=0x50000`` → 0x50000."""
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})", text.strip())
    return int(found[1], 16) if found else None


def clock(text: str) -> int | None:
    """``frequency(48)=1500345728`` → Hz."""
    found = re.fullmatch(r"frequency\(\d+\)=(\d+)", text.strip())
    return int(found[1]) or None if found else None


def temperature(text: str) -> float | None:
    """``temp=48.2'C`` → 48.2."""
    found = re.fullmatch(r"temp=(-?\d+(?:\.\d+)?)'?C", text.strip())
    return float(found[1]) if found else None


def emulator(machine: str | None, devicetree: str, cpuinfo_text: str) -> str | None:
    """``QEMU`` for an ARM machine whose device tree is QEMU's own, or whose kernel shows an x86 processor.

    Virtual x86 machines run at the speed of their host and are not meant. Source: QEMU, docs/system/arm/virt.rst.
    """
    if machine is None or not machine.startswith(("arm", "aarch64")):
        return None
    words = ("fw-cfg", "dummy-virt", "qemu")
    foreign = "GenuineIntel" in cpuinfo_text or "AuthenticAMD" in cpuinfo_text
    return "QEMU" if foreign or any(word in devicetree.lower() for word in words) else None
