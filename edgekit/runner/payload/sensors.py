"""The board's temperature, clocks and throttling: of the job's own sensors, else where boards usually tell them."""

from __future__ import annotations

from .files import list_folder, read_number, read_text
from .programs import SILENT_PROGRAMS, ask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional

    from .kinds import Record

SENSORS: Record = {}  # the board's own, as the job names them: edgekit.runner.conditions.SensorSources


def celsius(text: Optional[str], scale: float = 1.0) -> Optional[float]:
    """``temp=48.2'C``, or a number that ``scale`` turns into °C; None beyond what silicon survives."""
    plain = (text or "").strip()
    plain = plain[5:] if plain.startswith("temp=") else plain
    plain = plain[:-2] if plain.endswith("'C") else plain
    if not plain or len(plain) > 20 or not set(plain) <= set("-.0123456789"):
        return None
    try:
        value = round(float(plain) * scale, 3)
    except ValueError:
        return None
    return value if -60 <= value <= 200 else None


def hertz(text: Optional[str], scale: float = 1.0) -> Optional[int]:
    """``frequency(48)=1500345728``, or a number that ``scale`` turns into Hz."""
    plain = (text or "").strip()
    name, equals, value = plain.partition("=")
    if equals and name.startswith("frequency(") and name.endswith(")"):
        plain = value
    return round(int(plain) * scale) or None if plain.isdigit() and plain.isascii() and len(plain) <= 15 else None


def throttle_bits(text: Optional[str], _scale: float = 1.0) -> Optional[int]:
    """``throttled=0x50000``, ``0x50000`` or ``50000`` → 0x50000; always hexadecimal."""
    plain = (text or "").strip()
    plain = plain[10:] if plain.startswith("throttled=") else plain
    plain = plain[2:] if plain.startswith("0x") else plain
    return int(plain, 16) if 0 < len(plain) <= 8 and set(plain) <= set("0123456789abcdefABCDEF") else None


def zone_celsius(kind: Optional[str] = None) -> Optional[float]:
    """Degrees Celsius of the hottest thermal zone (of those of one type); None where there is none."""
    zones = "/sys/class/thermal"
    known = []
    for name in list_folder(zones):
        if name.startswith("thermal_zone") and kind in (None, read_text("%s/%s/type" % (zones, name))):
            reading = celsius(read_text("%s/%s/temp" % (zones, name)), 0.001)
            if reading is not None:
                known.append(reading)
    return max(known) if known else None


def named_sensor(kind: str, parse: Callable[..., Any], programs: bool) -> Any:
    """The reading of a sensor that the job names; None where it names none, or that one does not tell."""
    source = SENSORS.get(kind) or {}
    if source.get("zone"):
        return zone_celsius(source["zone"])
    text = None
    if source.get("file"):
        text = read_text(source["file"])
    elif source.get("argv") and programs:
        text = ask(source["argv"])
    return parse(text, source.get("scale", 1.0))


def read_temperature(programs: bool = True) -> Optional[float]:
    """Degrees Celsius: of the job's own sensor, else of the hottest thermal zone."""
    named = named_sensor("temperature", celsius, programs)
    return zone_celsius() if named is None else named


def read_clock(programs: bool = True) -> Optional[int]:
    """Hz of the real clock: of the job's own sensor, else of the Raspberry Pi's firmware."""
    named = named_sensor("clock", hertz, programs)
    return hertz(ask(("vcgencmd", "measure_clock", "arm"))) if named is None and programs else named


def read_throttle_bits(programs: bool = True) -> Optional[int]:
    """The job's own sensor, else what the Raspberry Pi's kernel driver or its firmware says."""
    bits = named_sensor("throttled", throttle_bits, programs)
    if bits is None:
        bits = throttle_bits(read_text("/sys/devices/platform/soc/soc:firmware/get_throttled"))
    return throttle_bits(ask(("vcgencmd", "get_throttled"))) if bits is None and programs else bits


def read_thermal_status(programs: bool = True) -> Optional[int]:
    """Android's, 0 (none) to 6 (shutdown); None elsewhere, and where it may not be asked for (Termux)."""
    text = ask(("dumpsys", "thermalservice")) if programs else None
    for line in (text or "").splitlines():
        name, _, value = line.rstrip().partition(": ")
        if name == "Thermal Status" and value in ("0", "1", "2", "3", "4", "5", "6"):
            return int(value)
    if text is not None:
        SILENT_PROGRAMS.append("dumpsys")
    return None


def of_each_core(name: str) -> Dict[int, int]:
    """Hz by core, from one of cpufreq's files."""
    folder = "/sys/devices/system/cpu"
    cores = sorted(int(entry[3:]) for entry in list_folder(folder) if entry.startswith("cpu") and entry[3:].isdigit())
    readings = {core: read_number("%s/cpu%d/cpufreq/%s" % (folder, core, name)) for core in cores}
    return {core: reading * 1000 for core, reading in readings.items() if reading is not None}


def core_of(process: str) -> Optional[int]:
    """The core that a process ran on last (its first thread: the one that runs the model)."""
    after_name = (read_text("/proc/%s/stat" % process) or "").rpartition(")")[2].split()
    return int(after_name[36]) if len(after_name) > 36 else None
