"""What only Android says: thermal status, battery, and whether its clocks can be held; shell lines and pure parsers.

Sources: AOSP, frameworks/base, ``ThermalManagerService.java`` (dump), ``Temperature.java`` (types),
``BatteryService.java`` (dump), ``PowerManagerShellCommand.java``; developer.android.com, ``PowerManager`` (statuses).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.device.transport.protocol import printable

#: for the script that gathers facts; a service that may not be asked leaves its section empty. Termux has no dumpsys.
THERMAL_SECTION = r"""
if has dumpsys; then section android_thermal; dumpsys thermalservice </dev/null; fi
"""
SECTIONS = (
    THERMAL_SECTION
    + r"""
if has dumpsys; then
  section android_battery; dumpsys battery </dev/null
  section android_power; cmd power help </dev/null
fi
"""
)

THERMAL_STATUSES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
#: THERMAL_STATUS_MODERATE: below it, throttling is not to be felt (developer.android.com, ``PowerManager``)
THROTTLES_FROM = 2

# Temperature.java; of the others, some are no temperatures at all (battery limits in V, A and %)
_TYPES = {0: "cpu", 1: "gpu", 2: "battery", 3: "skin", 4: "usb", 5: "power-amplifier", 9: "npu"}
_READING = re.compile(r"Temperature\{mValue=(-?\d+(?:\.\d+)?), mType=(-?\d+), mName=([^,}]+), mStatus=\d+\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thermal:
    """``dumpsys thermalservice``.

    Attributes:
        status: 0 (none) to 6 (shutdown), as in :data:`THERMAL_STATUSES`.
        temperatures_c: ``TYPE:NAME`` → temperature, as the hardware reports it now; a sensor that reads exactly 0 is
            not fitted, and left out.
    """

    status: int
    temperatures_c: dict[str, float]

    @property
    def processor_c(self) -> float | None:
        """The hottest core."""
        return max((value for name, value in self.temperatures_c.items() if name.startswith("cpu:")), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """``dumpsys battery``. None: not said, or not plausible (a box without a battery makes values up).

    Attributes:
        percent: charge.
        charging: from whichever source.
        temperature_c: of the battery; phones are slowed down by it too.
    """

    percent: int | None
    charging: bool
    temperature_c: float | None


def thermal(text: str) -> Thermal | None:
    """The output of ``dumpsys thermalservice``; None where it is something else."""
    status = re.search(r"^Thermal Status: (\d)\s*$", text, flags=re.MULTILINE)
    if status is None or int(status[1]) >= len(THERMAL_STATUSES):
        return None
    # what is cached may be hours old, so only the hardware's own readings of now count
    _, current, rest = text.partition("Current temperatures from HAL:")
    block = rest.partition("Current cooling devices")[0] if current else ""
    found: dict[str, float] = {}
    for value, kind, name in _READING.findall(block):
        label = _TYPES.get(int(kind))
        if label is not None and float(value) != 0 and -60 <= float(value) <= 200:
            found[f"{label}:{printable(name).strip()[:40]}"] = float(value)
    return Thermal(status=int(status[1]), temperatures_c=found)


def battery(text: str) -> Battery | None:
    """The output of ``dumpsys battery``; None where it is something else, or there is no battery."""
    said: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.strip().partition(": ")
        if colon:
            said.setdefault(key, value.strip())  # vendors add lines of their own below
    if "Current Battery Service state" not in text or said.get("present") == "false":
        return None
    level, scale, tenths = (said.get(key, "") for key in ("level", "scale", "temperature"))
    percent = None
    if level.isdigit() and scale.isdigit() and 0 <= int(level) <= int(scale) > 0:
        percent = round(100 * int(level) / int(scale))
    volts = said.get("voltage", "")
    real = volts.isdigit() and int(volts) > 1000  # millivolts
    warm = int(tenths) / 10 if real and re.fullmatch(r"-?\d{1,4}", tenths) else None
    return Battery(
        percent=percent,
        charging=any(said.get(f"{source} powered") == "true" for source in ("AC", "USB", "Wireless", "Dock")),
        temperature_c=warm,
    )


def fixed_performance(text: str) -> bool | None:
    """Whether ``cmd power`` can hold the clocks where they can be sustained (Android 11); None: it says nothing.

    That the command is there does not mean that this phone's maker has implemented it.
    """
    return "set-fixed-performance-mode-enabled" in text if text.strip() else None
