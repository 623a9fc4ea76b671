"""What the sensors show from time to time."""

from __future__ import annotations

import time

from .files import read_number
from .sensors import core_of, read_clock, read_temperature, read_thermal_status, read_throttle_bits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

    from .kinds import Record

GLANCE_NS = 800_000_000  # sensors are looked at this often during the measured loop: never less than once a second
MOST_READINGS = 600  # of one loop that are kept


class Glances:
    """What the sensors showed over the measured loop."""

    def __init__(self, process: str, programs: bool) -> None:
        self.process = process  # the one that runs the model
        self.programs = programs  # whether they may be asked too
        self.count = 0
        self.keep_every = 1
        self.bits: Optional[int] = None
        self.hottest: Optional[float] = None
        self.status: Optional[int] = None
        self.clocks: List[int] = []
        self.frequencies: List[int] = []
        self.readings: List[Record] = []

    def look(self) -> None:
        """Reads the sensors once."""
        at = time.monotonic_ns()
        core = core_of(self.process)
        speed = None if core is None else read_number("/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq" % core)
        bits = read_throttle_bits(self.programs)
        clock = read_clock(self.programs)
        heat = read_temperature(self.programs)
        status = read_thermal_status(self.programs)
        if bits is not None:
            self.bits = bits | (self.bits or 0)
        if heat is not None:
            self.hottest = heat if self.hottest is None else max(heat, self.hottest)
        if status is not None:
            self.status = status if self.status is None else max(status, self.status)
        if clock is not None:
            self.clocks = [min([*self.clocks, clock]), max([*self.clocks, clock])]
        if speed is not None:
            speed *= 1000
            self.frequencies = [min([*self.frequencies, speed]), max([*self.frequencies, speed])]
        if self.count % self.keep_every == 0:
            self.readings.append(
                {
                    "at_ns": at,
                    "temperature_c": heat,
                    "clock_hz": clock,
                    "throttle_bits": bits,
                    "thermal_status": status,
                    "frequency_hz": speed,
                }
            )
        self.count += 1
        if len(self.readings) > MOST_READINGS:
            self.readings = self.readings[::2]
            self.keep_every *= 2

    def record(self) -> Record:
        """The fields of ``edgekit.runner.conditions.During`` but for the loop's own."""
        slowest, fastest = self.clocks or self.frequencies or (None, None)
        return {
            "glances": self.count,
            "throttle_bits": self.bits,
            "hottest_c": self.hottest,
            "slowest_hz": slowest,
            "fastest_hz": fastest,
            "thermal_status": self.status,
            "readings": self.readings,
        }
