"""Pure parsers for what the facts script prints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.device.transport.protocol import printable

_ELF_MACHINES = {3: "i686", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """A Python 3 on the board."""

    path: str
    version: tuple[int, int, int]
    bits: int


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


def abi(machine: str | None, elf: str, long_bit: str | None, maps: str = "") -> tuple[str | None, int | None]:
    """ABI and bits of the userland, from the ELF header of the shell; else its bits from ``getconf``, or from the width
    of its addresses (``maps``: widest, then the C library), and its ABI from ``uname``."""
    header = [int(n) for n in re.findall(r"\b[0-9]{1,3}\b", elf)]
    name, bits = None, None
    if header[:4] == [0x7F, 0x45, 0x4C, 0x46] and len(header) >= 20:
        bits = {1: 32, 2: 64}.get(header[4])
        low, high = (header[18], header[19]) if header[5] != 2 else (header[19], header[18])
        name = _ELF_MACHINES.get(low + 256 * high)
    for told in (long_bit, *maps.split()[:1]):
        if bits is None and told in ("32", "64"):
            bits = int(told)
    if bits is None and machine in ("armv6l", "armv7l", "i586", "i686"):
        bits = 32  # such a kernel runs nothing else
    if name is None and machine is not None and bits is not None:
        name = {("aarch64", 32): "arm", ("x86_64", 32): "i686"}.get((machine, bits), machine)
    if name == "arm":
        # an ARMv6 kernel runs on an ARMv6 core only; every other one can run ARMv7 programs
        name = machine if machine in ("armv6l", "armv7l") else "armv7l"
    return name, bits


def libc(said: dict[str, str]) -> tuple[str | None, str | None]:
    """Name and version of the C library.

    What ``getconf`` says, else the library itself, ``ldd``, Python, and last the file that the shell has mapped.
    """
    if (said.get("system") or "").startswith("Android"):
        return "bionic", properties(said).get("ro.build.version.release")
    banner = said.get("glibc", "")
    found = re.match(r"glibc (\d[\d.]*)", banner) or re.match(r"GNU C Library.* version (\d+\.\d+)", banner)
    if not found:
        found = re.search(r"^glibc (\d[\d.]*)$", said.get("python", ""), flags=re.MULTILINE)
    if found:
        return "glibc", found[1].rstrip(".")
    ldd = said.get("ldd", "")
    if "musl" in ldd:
        version = re.search(r"Version (\d[\d.]*)", ldd)
        return "musl", version[1] if version else None
    found = re.search(r"(?:GLIBC|GNU libc)[^\n]*?(\d+\.\d+)\s*$", ldd.splitlines()[0] if ldd else "")
    if found:
        return "glibc", found[1]
    mapped = said.get("maps", "")
    if "musl" in mapped:
        return "musl", None
    found = re.search(r"/libc-(\d+\.\d+)\.so", mapped)
    return ("glibc", found[1] if found else None) if found or "/libc.so.6" in mapped else (None, None)


def properties(said: dict[str, str]) -> dict[str, str]:
    """Android's properties: rows ``NAME VALUE``; those that are not set are left out."""
    rows = (printable(row).strip().partition(" ") for row in said.get("properties", "").splitlines())
    return {name: content.strip()[:300] for name, _, content in rows if content.strip()}


def os_release(said: dict[str, str], key: str) -> str | None:
    """A value of os-release, unquoted: ``ID``, ``VERSION_ID``, ``PRETTY_NAME``."""
    found = re.search(rf"^{key}=[\"']?([^\"'\n]+)[\"']?$", said.get("os_release", ""), flags=re.MULTILINE)
    return (printable(found[1]).strip()[:200] or None) if found else None


def os_name(said: dict[str, str]) -> str | None:
    """``PRETTY_NAME`` of os-release; on Android its version."""
    release = properties(said).get("ro.build.version.release")
    return os_release(said, "PRETTY_NAME") or (f"Android {release}" if release else None)


def os_build(said: dict[str, str]) -> str | None:
    """What the maker of the system calls this build of it, in one line."""
    told = said.get("os_build", "").splitlines()
    armbian = dict(row.removeprefix("armbian ").split("=", 1) for row in told if re.match(r"armbian \w+=", row))
    if armbian:
        words = (armbian.get(key, "").strip("\"'") for key in ("VERSION", "BOARD", "BRANCH"))
        return printable(" ".join(["Armbian", *words])).strip()[:200]
    return line(said, "os_build") or properties(said).get("ro.build.fingerprint")


def model(said: dict[str, str], cpuinfo_model: str | None) -> str | None:
    """The board's name: device tree, ``/proc/cpuinfo``, Android's properties, the PC's firmware."""
    phone = properties(said)
    words = [phone[key] for key in ("ro.product.manufacturer", "ro.product.model") if key in phone]
    firmware = [printable(row).strip() for row in said.get("machine_name", "").splitlines()[:2]]
    return line(said, "model") or cpuinfo_model or " ".join(words) or " ".join(firmware)[:200].strip() or None


def compatible(said: dict[str, str]) -> tuple[str, ...]:
    """Device tree names of the board, the most exact one first."""
    rows = (printable(row).strip() for row in said.get("compatible", "").splitlines())
    return tuple(row for row in rows if re.fullmatch(r"[\w.+-]+,[\w.+,-]+", row))[:16]


def container(said: dict[str, str]) -> str | None:
    """``docker``, ``podman``, ``lxc``, … where the commands run inside one."""
    text = said.get("container", "")
    words = {"docker": "docker", "podman": "podman", "libpod": "podman", "kubepods": "kubernetes", "lxc": "lxc"}
    known = next((name for word, name in words.items() if word in text), None)
    return known or line(said, "container")


def python(text: str) -> Python | None:
    """Path and version as the interpreter itself printed them."""
    lines = text.splitlines()
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3}) (32|64)", lines[1].strip()) if len(lines) in (2, 3) else None
    if not found or not lines[0].startswith("/"):
        return None
    major, minor, patch, bits = (int(n) for n in found.groups())
    return Python(path=lines[0], version=(major, minor, patch), bits=bits) if major >= 3 else None


def meminfo(text: str) -> dict[str, int]:
    """``/proc/meminfo`` in bytes."""
    rows = re.findall(r"^(\w+):\s+(\d{1,12}) kB\s*$", text, flags=re.MULTILINE)
    return {name: int(kib) * 1024 for name, kib in rows}


# size, used and available of `df -Pk`: its columns are counted from the right end of the numbers
_DISK = re.compile(r"\s(\d+)\s+-?\d+\s+(-?\d{1,15})\s+(?:\d+%|-)\s")


def disk_free(text: str) -> int | None:
    """The available bytes of ``df -Pk``."""
    found = _DISK.search(text)
    return max(0, int(found[2])) * 1024 if found else None


def disk_size(text: str) -> int | None:
    """All bytes of the same disk."""
    found = _DISK.search(text)
    return int(found[1]) * 1024 if found and len(found[1]) <= 15 else None


def thermal_zones(text: str) -> dict[str, float]:
    """Rows ``MILLIDEGREES TYPE``; a zone that cannot be read is left out."""
    found: dict[str, float] = {}
    for number, row in enumerate(text.splitlines()):
        reading, _, kind = row.strip().partition(" ")
        if re.fullmatch(r"-?[0-9]{1,7}", reading) and -60_000 <= int(reading) <= 200_000:
            name = printable(kind).strip().strip("-") or f"zone{number}"
            found[name if name not in found else f"{name}-{number}"] = int(reading) / 1000
    return found


def cooling(text: str) -> dict[str, int]:
    """Rows ``STATE TYPE`` of the devices that cool a processor by slowing it down; 0: not at all."""
    found: dict[str, int] = {}
    for number, row in enumerate(text.splitlines()):
        state, _, kind = row.strip().partition(" ")
        if re.fullmatch(r"[0-9]{1,4}", state) and kind:
            name = printable(kind).strip()[:60]
            found[name if name not in found else f"{name}-{number}"] = int(state)
    return found


def throttled(text: str) -> int | None:
    """``throttled=0x50000``, ``0x50000`` or ``50000`` → 0x50000; always hexadecimal."""
    found = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})", text.strip())
    return int(found[1], 16) if found else None


def clock(text: str, scale: float = 1.0) -> int | None:
    """``frequency(48)=1500345728``, or a number that ``scale`` turns into Hz."""
    found = re.fullmatch(r"(?:frequency\(\d+\)=)?([0-9]{1,15})", text.strip())
    return round(int(found[1]) * scale) or None if found else None


def temperature(text: str, scale: float = 1.0) -> float | None:
    """``temp=48.2'C``, or a number that ``scale`` turns into °C; None beyond what silicon survives."""
    found = re.fullmatch(r"(?:temp=)?(-?[0-9]{1,9}(?:\.[0-9]+)?)(?:'C)?", text.strip())
    celsius = round(float(found[1]) * scale, 3) if found else None
    return celsius if celsius is not None and -60 <= celsius <= 200 else None


def emulator(
    machine: str | None, devicetree: str, cpuinfo_text: str, phone: Mapping[str, str] | None = None
) -> str | None:
    """``QEMU`` for an ARM machine whose device tree is QEMU's own, or whose kernel shows an x86 processor; Android's
    own emulator by its properties.

    Virtual x86 machines run at the speed of their host and are not meant. Source: QEMU, docs/system/arm/virt.rst.
    """
    if phone and (phone.get("ro.kernel.qemu") == "1" or phone.get("ro.hardware") in ("goldfish", "ranchu")):
        return "Android emulator"
    if machine is None or not machine.startswith(("arm", "aarch64")):
        return None
    words = ("fw-cfg", "dummy-virt", "qemu")
    foreign = "GenuineIntel" in cpuinfo_text or "AuthenticAMD" in cpuinfo_text
    return "QEMU" if foreign or any(word in devicetree.lower() for word in words) else None
