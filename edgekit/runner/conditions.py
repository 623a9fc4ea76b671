"""The board around a process: where its sensors are, and what they showed before, during and after."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorSource:
    """Where the runner takes one reading from: one of ``argv``, ``file`` and ``zone``.

    Attributes:
        argv: words of a program that prints it; run as they stand, without a shell, for 2 s at most.
        file: a file on the board that holds it.
        zone: type of the kernel's thermal zone that has it; temperatures only.
        scale: what a file's or program's plain number is multiplied with to give °C or Hz.
    """

    argv: tuple[str, ...] = ()
    file: str | None = None
    zone: str | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorSources:
    """The board's own sensors, from its profile. One that is left out or silent: the usual places are looked at."""

    temperature: SensorSource | None = None
    clock: SensorSource | None = None
    throttled: SensorSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The board just before or just after a run. None: this board does not tell.

    Attributes:
        temperature_c: of the sensor that the profile names; else of the hottest thermal zone.
        frequency_hz: of each core that has cpufreq, as the kernel reports it: what it asked for, not what runs.
        clock_hz: the real clock (``vcgencmd measure_clock arm``, or the sensor that the profile names).
        governor: of the first core that the process may run on.
        throttle_bits: of the sensor that the profile names; else the firmware's sysfs file or ``vcgencmd``.
        load_1min: load average.
        memory_available_bytes: as the kernel estimates it.
        boot_id: changes with every boot.
        thermal_status: Android's, 0 (none) to 6 (shutdown).
        runnable: tasks that run or could run, besides this process.
        swap_used_bytes: of all swap of the board.
        swapped_in_pages: pages brought back from swap since the board started; only differences mean something.
        uptime_s: since the board started.
        min_frequency_hz, max_frequency_hz: the limits that the kernel keeps to, of each core that has cpufreq.
        wall_s, monotonic_s: the clock that NTP may set (since 1970) and the one that it may not, at one moment: where
            their difference changes, the clock was set.
    """

    temperature_c: float | None
    frequency_hz: tuple[int, ...]
    clock_hz: int | None
    governor: str | None
    throttle_bits: int | None
    load_1min: float | None
    memory_available_bytes: int | None
    boot_id: str | None
    thermal_status: int | None = None
    runnable: int | None = None
    swap_used_bytes: int | None = None
    swapped_in_pages: int | None = None
    uptime_s: float | None = None
    min_frequency_hz: tuple[int, ...] = ()
    max_frequency_hz: tuple[int, ...] = ()
    wall_s: float | None = None
    monotonic_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The sensors at one moment of the measured loop. None: the sensor did not tell.

    Attributes:
        at_ns: when, on the clock of :attr:`During.began_ns`.
        temperature_c, clock_hz, throttle_bits, thermal_status: as in :class:`Conditions`.
        frequency_hz: lowest of the cores that the process may run on, as the kernel reports it.
    """

    at_ns: int
    temperature_c: float | None = None
    clock_hz: int | None = None
    throttle_bits: int | None = None
    thermal_status: int | None = None
    frequency_hz: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class During:
    """What the sensors showed over the measured loop, looked at more than once a second.

    Attributes:
        glances: how often they were looked at.
        throttle_bits: of all glances together (or-ed); None: the board does not tell.
        hottest_c: highest temperature seen.
        slowest_hz, fastest_hz: of the real clock where the board tells it, else of what the kernel reports for the
            cores that the process may run on.
        thermal_status: Android's highest.
        cpu: core of the process that looked; the measured one does not run there, or the scheduler has free cores to
            keep them apart. None: there was no core to spare, so the sensors that are files were looked at between
            two timed runs, and programs were not asked.
        began_ns: start of the measured loop on the monotonic clock; None in samples of before it was kept.
        readings: the glances in order; of a very long loop every second one, every fourth and so on.
    """

    glances: int
    throttle_bits: int | None
    hottest_c: float | None
    slowest_hz: int | None
    fastest_hz: int | None
    thermal_status: int | None = None
    cpu: int | None = None
    began_ns: int | None = None
    readings: tuple[Reading, ...] = ()
