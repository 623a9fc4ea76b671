"""What a board says about itself: one command there, pure parsers here. Unknown is None, never a guess."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from edgekit.core.errors import DeviceError
from edgekit.device import android_facts
from edgekit.device import facts_cpu as cpu
from edgekit.device import facts_parse as parse
from edgekit.device.android_facts import Battery
from edgekit.device.facts_cpu import Core, CoreGroup
from edgekit.device.facts_parse import Python
from edgekit.device.facts_script import script
from edgekit.device.profile import Profile, Sensors
from edgekit.device.transport.protocol import Transport

# what a board is where nothing more is known than what its programs are built for
GENERIC = {"aarch64": "generic-arm64", "armv7l": "generic-armv7", "x86_64": "generic-x86_64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A board at one moment.

    Attributes:
        machine: ``uname -m``; a 32-bit userland on a 64-bit kernel still says ``aarch64`` here.
        abi: what programs there are built for: ``aarch64``, ``armv7l``, ``armv6l``, ``x86_64``, …
        userland_bits: 32 or 64.
        kernel: ``uname -r``.
        system: ``Linux`` or ``Android``.
        os_name: ``PRETTY_NAME`` of os-release; ``os_id`` and ``os_version``: its ``ID`` and ``VERSION_ID``.
        os_build: what the system's maker calls this build of it: Raspberry Pi OS's image, Armbian's version, L4T's
            release, Android's fingerprint.
        libc: ``glibc``, ``musl`` or ``bionic``; ``libc_version`` as it states it.
        python: the newest of ``python3`` and ``python``; None: no Python 3 on the board.
        model: as the device tree names the board, else the kernel, Android's properties, or a PC's firmware.
        compatible: device tree names, the most exact one first.
        revision: the Raspberry Pi's revision code. Its serial number is not read: it names one owner's board.
        cpu_model: kind of the cores, the fastest first; else as the kernel names the processor.
        cpu_features: the kernel's flags of the first core.
        cores: those that are online, with their clocks where the kernel has cpufreq; ``clusters``: those of one kind
            with one highest clock together.
        allowed_cpus: cores that the user's processes may run on, online or not (a container, or ``taskset``, may leave
            some out); empty: the board does not tell.
        memory_total_bytes, memory_available_bytes: as the kernel estimates them.
        home: home folder of the user; ``workspace``: our folder there, absolute, whether it exists or not.
        disk_free_bytes: what the user may still write where the workspace is or will be.
        governor: of the first core.
        temperatures_c: thermal zone → temperature.
        sensor_c: temperature by the profile's own sensor, or the Raspberry Pi's firmware.
        cooling: what slows a processor down to cool it → how much now; 0: not at all.
        throttle_bits: ``vcgencmd get_throttled``, or its twin in sysfs; None: the board does not tell.
        clock_hz: the real clock, ``vcgencmd measure_clock arm``; None: the board does not tell.
        thermal_status: Android's, 0 (none) to 6 (shutdown); None: the board does not tell.
        battery: Android's; None: the board does not tell, or has none.
        fixed_performance: Android can hold its clocks where they can be sustained; None: the board does not tell.
        boot_id: changes with every boot.
        container: ``docker``, ``lxc``, … where our commands run inside one.
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
    container: str | None = None
    os_id: str | None = None
    os_version: str | None = None
    os_build: str | None = None
    compatible: tuple[str, ...] = ()
    revision: str | None = None
    clusters: tuple[CoreGroup, ...] = ()
    allowed_cpus: tuple[int, ...] = ()
    sensor_c: float | None = None
    cooling: dict[str, int] = field(default_factory=dict)
    thermal_status: int | None = None
    battery: Battery | None = None
    fixed_performance: bool | None = None

    @property
    def temperature_c(self) -> float | None:
        """By the board's own sensor, else of the hottest zone."""
        return self.sensor_c if self.sensor_c is not None else max(self.temperatures_c.values(), default=None)


def gather(transport: Transport, profile: Profile, *, workspace: str | None = None, timeout_s: float = 30.0) -> Facts:
    """Asks the board everything in one round trip.

    Raises:
        DeviceError: the connection was lost, or the board has no POSIX shell that answers.
    """
    marker = f"edgekit-{secrets.token_hex(8)}"
    done = transport.run(
        ["sh", "-c", script(profile.sensors), "sh", marker, workspace or profile.workspace],
        timeout_s=timeout_s,
        output_limit_bytes=1 << 20,
    )
    sections = parse.sections(done.text, marker)
    if "end" not in sections:
        raise DeviceError(
            f"the board did not say what it is (exit status {done.exit_status}): {done.complaint or 'no output'}",
            hint="it needs a POSIX shell called `sh`; try `ssh BOARD sh -c 'uname -a'`",
        )
    return from_sections(sections, profile.sensors)


def from_sections(said: dict[str, str], sensors: Sensors = Sensors()) -> Facts:  # noqa: B008 - frozen
    """Facts from the sections that the script printed; never raises, whatever they hold.

    Args:
        said: section → text.
        sensors: the profile's own, which the script was made with.
    """
    machine = parse.line(said, "machine")
    cpu_text = said.get("cpuinfo", "")
    cpu_model, features = cpu.cpuinfo(cpu_text)
    cores = cpu.cores(said.get("cores", ""), cpu_text)
    clusters = cpu.groups(cores)
    kinds = [group.kind for group in sorted(clusters, key=lambda group: -(group.max_hz or 0)) if group.kind]
    memory = parse.meminfo(said.get("meminfo", ""))
    abi, bits = parse.abi(machine, said.get("elf", ""), parse.line(said, "long_bit"), said.get("maps", ""))
    libc, libc_version = parse.libc(said)
    now = current_sensors(said, sensors)
    return Facts(
        machine=machine,
        abi=abi,
        userland_bits=bits,
        kernel=parse.line(said, "kernel"),
        system=parse.line(said, "system"),
        os_name=parse.os_name(said),
        os_id=parse.os_release(said, "ID"),
        os_version=parse.os_release(said, "VERSION_ID"),
        os_build=parse.os_build(said),
        libc=libc,
        libc_version=libc_version,
        python=parse.python(said.get("python", "")),
        model=parse.model(said, cpu.field(cpu_text, "Model")),
        compatible=parse.compatible(said),
        revision=cpu.field(cpu_text, "Revision"),
        cpu_model=" + ".join(dict.fromkeys(kinds)) or cpu_model,
        cpu_features=features,
        cores=cores,
        clusters=clusters,
        allowed_cpus=cpu.cpu_list(said.get("allowed", "")),
        memory_total_bytes=memory.get("MemTotal"),
        memory_available_bytes=memory.get("MemAvailable"),
        home=parse.line(said, "home"),
        workspace=parse.line(said, "workspace"),
        disk_free_bytes=parse.disk_free(said.get("disk", "")),
        load_1min=parse.first_number(said.get("load", "")),
        governor=parse.line(said, "governor"),
        temperatures_c=now.temperatures_c,
        sensor_c=now.sensor_c,
        thermal_status=now.thermal_status,
        battery=android_facts.battery(said.get("android_battery", "")),
        fixed_performance=android_facts.fixed_performance(said.get("android_power", "")),
        cooling=parse.cooling(said.get("cooling", "")),
        throttle_bits=now.throttle_bits,
        clock_hz=now.clock_hz,
        boot_id=parse.line(said, "boot_id"),
        uptime_s=parse.first_number(said.get("uptime", "")),
        container=parse.container(said),
        emulator=parse.emulator(
            machine, said.get("emulator", "") + said.get("compatible", ""), cpu_text, parse.properties(said)
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentSensors:
    """What a board's sensors tell; None: they do not.

    Attributes:
        temperatures_c, sensor_c, throttle_bits, clock_hz, thermal_status: as in :class:`Facts`.
    """

    temperatures_c: dict[str, float]
    sensor_c: float | None
    throttle_bits: int | None
    clock_hz: int | None
    thermal_status: int | None

    @property
    def temperature_c(self) -> float | None:
        """By the board's own sensor, else of the hottest zone."""
        return self.sensor_c if self.sensor_c is not None else max(self.temperatures_c.values(), default=None)


def current_sensors(said: dict[str, str], sensors: Sensors) -> CurrentSensors:
    """The sensors from the sections that a script printed; never raises, whatever they hold.

    Args:
        said: section → text.
        sensors: the profile's own, which the script was made with.
    """
    temperatures = parse.thermal_zones(said.get("thermal", ""))
    throttle_bits = parse.throttled(said.get("sensor:throttled", ""))
    thermal = android_facts.thermal(said.get("android_thermal", ""))
    if thermal is not None:
        temperatures = {**temperatures, **thermal.temperatures_c}
    sensor_c = _sensor_c(said, sensors, temperatures)
    return CurrentSensors(
        temperatures_c=temperatures,
        sensor_c=thermal.processor_c if sensor_c is None and thermal is not None else sensor_c,
        throttle_bits=parse.throttled(said.get("firmware_throttled", "")) if throttle_bits is None else throttle_bits,
        clock_hz=parse.clock(said.get("sensor:clock", ""), sensors.clock.scale if sensors.clock else 1.0),
        thermal_status=thermal.status if thermal is not None else None,
    )


def _sensor_c(said: dict[str, str], sensors: Sensors, zones: dict[str, float]) -> float | None:
    sensor = sensors.temperature
    if sensor is not None and sensor.zone:
        return zones.get(sensor.zone)
    return parse.temperature(said.get("sensor:temperature", ""), sensor.scale if sensor else 1.0)


def mismatch(name: str, profile: Profile, facts: Facts) -> DeviceError | None:
    """The error to raise when the board called ``name`` is of another architecture than its profile says."""
    if profile.abi is None or facts.abi is None or profile.abi == facts.abi:
        return None
    system = f"a {facts.userland_bits}-bit {facts.abi} system" if facts.userland_bits else facts.abi
    other = GENERIC.get(facts.abi, "generic")
    return DeviceError(
        f"{name}: the board runs {system}, but its profile {profile.name!r} says {profile.abi}",
        hint=f"if it is the right board: `edgekit devices add {name} --profile {other} --replace`",
        details={"board_abi": facts.abi, "profile_abi": profile.abi, "profile": profile.name},
    )
