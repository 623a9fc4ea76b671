"""The state of the board before and after a trial, and what else its cores did meanwhile."""

from __future__ import annotations

import os
import time

from .files import counters, read_text
from .sensors import of_each_core, read_clock, read_temperature, read_thermal_status, read_throttle_bits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from .kinds import Record


def conditions() -> Record:
    """The state of the board: the fields of ``edgekit.runner.conditions.Conditions``."""
    memory = counters("/proc/meminfo")
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = None
    runnable = (read_text("/proc/loadavg") or "").partition("/")[0].rpartition(" ")[2]
    uptime = (read_text("/proc/uptime") or "").partition(" ")[0]
    governor = "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor"
    swap = memory["SwapTotal"] - memory["SwapFree"] if {"SwapTotal", "SwapFree"} <= set(memory) else None
    return {
        "temperature_c": read_temperature(),
        "frequency_hz": list(of_each_core("scaling_cur_freq").values()),
        "clock_hz": read_clock(),
        "governor": read_text(governor % min(os.sched_getaffinity(0))),
        "throttle_bits": read_throttle_bits(),
        "load_1min": load,
        "memory_available_bytes": memory["MemAvailable"] * 1024 if "MemAvailable" in memory else None,
        "boot_id": read_text("/proc/sys/kernel/random/boot_id"),
        "thermal_status": read_thermal_status(),
        "runnable": max(0, int(runnable) - 1) if runnable.isdigit() else None,
        "swap_used_bytes": None if swap is None else swap * 1024,
        "swapped_in_pages": counters("/proc/vmstat").get("pswpin"),
        "uptime_s": float(uptime) if uptime else None,
        "min_frequency_hz": list(of_each_core("scaling_min_freq").values()),
        "max_frequency_hz": list(of_each_core("scaling_max_freq").values()),
        "wall_s": time.time(),
        "monotonic_s": time.monotonic(),
    }


def pressure_us() -> Optional[int]:
    """Microseconds for which some task waited for a CPU since boot; None without PSI."""
    for word in (read_text("/proc/pressure/cpu") or "").split("\n")[0].split():
        if word.startswith("total="):
            return int(word[6:])
    return None


def busy_ns() -> Optional[int]:
    """Nanoseconds for which the cores that this process may run on have been busy; None where that is hidden."""
    cores = {"cpu%d" % core for core in os.sched_getaffinity(0)}
    total = None
    for line in (read_text("/proc/stat") or "").splitlines():
        words = line.split()
        if words and words[0] in cores:  # all but idle and iowait; guest time is in user time already
            total = (total or 0) + sum(int(word) for word in words[1:4] + words[6:9])
    return None if total is None else total * 1000000000 // os.sysconf("SC_CLK_TCK")
