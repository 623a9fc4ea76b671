"""What a board says about itself: one command there, pure parsers here. Unknown is None, never a guess."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from edgekit.core.errors import DeviceError
from edgekit.core.notice import Notice
from edgekit.device import facts_parse as parse
from edgekit.device.facts_parse import Core, Python
from edgekit.device.facts_script import script
from edgekit.device.profile import Profile
from edgekit.device.transport.protocol import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A board at one moment.

    Attributes:
        machine: ``uname -m``; a 32-bit userland on a 64-bit kernel still says ``aarch64`` here.
        abi: what programs there are built for: ``aarch64``, ``armv7l``, ``armv6l``, ``x86_64``, …
        userland_bits: 32 or 64.
        kernel: ``uname -r``.
        system: ``Linux`` or ``Android``.
        os_name: ``PRETTY_NAME`` of os-release.
        libc: ``glibc``, ``musl`` or ``bionic``; ``libc_version`` as it states it.
        python: the newest of ``python3`` and ``python``; None: no Python 3 on the board.
        model: as the device tree names the board.
        cpu_model: as the kernel names the processor.
        cpu_features: the kernel's flags of the first core.
        cores: those that are online, with their clocks where the kernel has cpufreq.
        memory_total_bytes, memory_available_bytes: as the kernel estimates them.
        home: home folder of the user; ``workspace``: our folder there, absolute, whether it exists or not.
        disk_free_bytes: what the user may still write where the workspace is or will be.
        governor: of the first core.
        temperatures_c: thermal zone → temperature.
        throttle_bits: ``vcgencmd get_throttled``.
        clock_hz: the real ARM clock, ``vcgencmd measure_clock arm``.
        boot_id: changes with every boot.
        emulator: ``QEMU`` where an ARM board is one that is emulated; its times say nothing about a real board.
    """

    machine: str | None
    abi: str | None
    userland_bits: int | None
    kernel: str | None
    system: str | None
    os_name: str | None
    libc: str | None
    libc_version: str | None
    python: Python | None
    model: str | None
    cpu_model: str | None
    cpu_features: tuple[str, ...]
    cores: tuple[Core, ...]
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    home: str | None
    workspace: str | None
    disk_free_bytes: int | None
    load_1min: float | None
    governor: str | None
    temperatures_c: dict[str, float]
    throttle_bits: int | None
    clock_hz: int | None
    boot_id: str | None
    uptime_s: float | None
    emulator: str | None = None

    @property
    def temperature_c(self) -> float | None:
        """Of the hottest zone."""
        return max(self.temperatures_c.values(), default=None)


def gather(transport: Transport, profile: Profile, *, workspace: str | None = None, timeout_s: float = 30.0) -> Facts:
    """Asks the board everything in one round trip.

    Raises:
        DeviceError: the connection was lost, or the board has no POSIX shell that answers.
    """
    marker = f"edgekit-{secrets.token_hex(8)}"
    done = transport.run(
        ["sh", "-c", script(profile.sensors), "sh", marker, workspace or profile.workspace],
        timeout_s=timeout_s,
        output_limit_bytes=1 << 18,
    )
    sections = parse.sections(done.text, marker)
    if "end" not in sections:
        raise DeviceError(
            f"the board did not say what it is (exit status {done.exit_status}): {done.complaint or 'no output'}",
            hint="it needs a POSIX shell called `sh`; try `ssh BOARD sh -c 'uname -a'`",
        )
    return from_sections(sections)


def from_sections(said: dict[str, str]) -> Facts:
    """Facts from the sections that the script printed."""
    machine = parse.line(said, "machine")
    cpu_model, features = parse.cpuinfo(said.get("cpuinfo", ""))
    memory = parse.meminfo(said.get("meminfo", ""))
    abi, bits = parse.abi(machine, said.get("elf", ""), parse.line(said, "long_bit"))
    libc, libc_version = parse.libc(said)
    temperatures = parse.thermal_zones(said.get("thermal", ""))
    firmware = parse.temperature(said.get("sensor:temperature", ""))
    if firmware is not None:
        temperatures = {**temperatures, "firmware": firmware}
    return Facts(
        machine=machine,
        abi=abi,
        userland_bits=bits,
        kernel=parse.line(said, "kernel"),
        system=parse.line(said, "system"),
        os_name=parse.os_name(said),
        libc=libc,
        libc_version=libc_version,
        python=parse.python(said.get("python", "")),
        model=parse.line(said, "model"),
        cpu_model=cpu_model,
        cpu_features=features,
        cores=parse.cores(said.get("cores", "")),
        memory_total_bytes=memory.get("MemTotal"),
        memory_available_bytes=memory.get("MemAvailable"),
        home=parse.line(said, "home"),
        workspace=parse.line(said, "workspace"),
        disk_free_bytes=parse.disk_free(said.get("disk", "")),
        load_1min=parse.first_number(said.get("load", "")),
        governor=parse.line(said, "governor"),
        temperatures_c=temperatures,
        throttle_bits=parse.throttled(said.get("sensor:throttled", "")),
        clock_hz=parse.clock(said.get("sensor:clock", "")),
        boot_id=parse.line(said, "boot_id"),
        uptime_s=parse.first_number(said.get("uptime", "")),
        emulator=parse.emulator(machine, said.get("emulator", ""), said.get("cpuinfo", "")),
    )


def mismatch(name: str, profile: Profile, facts: Facts) -> DeviceError | None:
    """The error to raise when the board called ``name`` is of another architecture than its profile says."""
    if profile.abi is None or facts.abi is None or profile.abi == facts.abi:
        return None
    system = f"a {facts.userland_bits}-bit {facts.abi} system" if facts.userland_bits else facts.abi
    other = {"aarch64": "generic-arm64", "x86_64": "generic-x86_64"}.get(facts.abi, "generic")
    return DeviceError(
        f"{name}: the board runs {system}, but its profile {profile.name!r} says {profile.abi}",
        hint=f"if it is the right board: `edgekit devices add {name} --profile {other} --replace`",
        details={"board_abi": facts.abi, "profile_abi": profile.abi, "profile": profile.name},
    )


def check(profile: Profile, facts: Facts) -> tuple[Notice, ...]:
    """Where the board differs from its profile, and what it will be short of."""
    cores, sold = len(facts.cores) or None, profile.cores
    memory = facts.memory_total_bytes
    found = []
    if profile.abi and facts.abi and profile.abi != facts.abi:
        found.append(("architecture", f"the board runs {facts.abi}, the profile says {profile.abi}", ""))
    if profile.libc and facts.libc and profile.libc != facts.libc:
        found.append(("libc", f"the board has {facts.libc}, the profile says {profile.libc}", ""))
    if cores and sold and cores != sold:
        found.append(("cores", f"{cores} cores are online, the profile says {sold}", ""))
    if memory and profile.ram_mb and memory > max(profile.ram_mb) * 1024 * 1024:
        found.append(("memory", "the board has more memory than any board of its profile", ""))
    if facts.python is None:
        found.append(("no-python", "no Python 3 on the board", "install python3 there: nothing else is needed"))
    if facts.throttle_bits:
        what = "is throttled or short of power now" if facts.throttle_bits & 0xF else "has throttled since it started"
        hint = "check power supply and cooling"
        found.append(("throttled", f"the board {what} (throttled=0x{facts.throttle_bits:x})", hint))
    if profile.throttle_c and facts.temperature_c and facts.temperature_c >= profile.throttle_c:
        found.append(("hot", f"{facts.temperature_c:.0f} °C: it slows down from {profile.throttle_c:.0f} °C", ""))
    return tuple(Notice(code=code, message=message, hint=hint) for code, message, hint in found)
