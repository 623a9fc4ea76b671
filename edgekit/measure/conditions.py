"""What the sensors say about one process: throttled, too hot, disturbed by other work, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgekit.measure.reason import Reason, invalid
from edgekit.runner.conditions import Conditions
from edgekit.runner.protocol import Trial

# `vcgencmd get_throttled`: the low bits say what is so now, the same bits 16 higher what has been so since they were
# last cleared, which the kernel's own driver does every two seconds. So only the low ones decide.
_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
LIVE_BITS = 0xF

#: Android's, by number
THERMAL_STATUS = ("NONE", "LIGHT", "MODERATE", "SEVERE", "CRITICAL", "EMERGENCY", "SHUTDOWN")

#: governors that keep one frequency; ``powersave`` is another thing in Intel's driver, which tells no real clock
FIXED_GOVERNORS = ("performance", "powersave", "userspace")
MAX_CLOCK_RANGE = 0.02

MAX_FOREIGN = 0.10
_TICK_NS = 10_000_000  # the kernel counts a core's busy time in these
_LEAST_COUNTED_NS = 300_000_000  # in less than so much the ticks are too few to tell of a tenth

_SENSORS: dict[str, Callable[[Conditions], object]] = {
    "temperature": lambda c: c.temperature_c,
    "clock": lambda c: c.clock_hz or c.frequency_hz or None,
    "governor": lambda c: c.governor,
    # a phone has no bits: its thermal status says whether it slows itself down
    "throttle bits": lambda c: c.throttle_bits if c.thermal_status is None else c.thermal_status,
    "load": lambda c: c.load_1min,
    "boot id": lambda c: c.boot_id,
}
#: those that must be followed during the runs too: what passes between two looks is not seen
_FOLLOWED: dict[str, Callable[[Trial], object]] = {
    "temperature": lambda t: t.during and t.during.hottest_c,
    "throttle bits": lambda t: t.during and _first(t.during.throttle_bits, t.during.thermal_status),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardLimits:
    """What a board's profile adds to the judgement.

    Attributes:
        temperature_limit_c: from here on the board slows itself down; None: not known.
        emulated: the processor is emulated: its times say nothing about a real one.
        deterministic: the same inputs must give the same output bits in every process.
    """

    temperature_limit_c: float | None = None
    emulated: bool = False
    deterministic: bool = True


def bit_names(bits: int) -> str:
    """The live throttle bits in words; empty where none is set."""
    return ", ".join(name for bit, name in _BITS.items() if bits >> bit & 1)


def throttling(trial: Trial) -> str:
    """Names the live throttle bits before, during or after a process; empty where none is set or can be read."""
    bits = 0
    for seen in (trial.before, trial.during, trial.after):
        bits |= (seen.throttle_bits or 0) & LIVE_BITS if seen else 0
    return bit_names(bits)


def throttled_earlier(trials: Iterable[Trial]) -> bool:
    """Whether a board remembers throttling (sticky bits)."""
    return any((c.throttle_bits or 0) >> 16 & LIVE_BITS for trial in trials for c in (trial.before, trial.after))


def thermal_status(trial: Trial) -> str:
    """The name of Android's highest thermal status around a process; empty for NONE, and where there is none."""
    seen = [one.thermal_status or 0 for one in (trial.before, trial.during, trial.after) if one]
    worst = min(max(seen), len(THERMAL_STATUS) - 1)
    return THERMAL_STATUS[worst] if worst else ""


def heat(trial: Trial, limits: BoardLimits) -> float | None:
    """The temperature of a process that reached the limit; None where it stayed below or is not known."""
    if limits.temperature_limit_c is None:
        return None
    seen = (trial.before.temperature_c, trial.during.hottest_c if trial.during else None, trial.after.temperature_c)
    known = [temperature for temperature in seen if temperature is not None]
    return max(known) if known and max(known) >= limits.temperature_limit_c else None


def real_clocks(trial: Trial) -> tuple[int, ...]:
    """The real clock before, during and after a process in Hz, where the board tells it."""
    seen = [trial.before.clock_hz, trial.after.clock_hz]
    if trial.during and any(reading.clock_hz for reading in trial.during.readings):
        seen += [trial.during.slowest_hz, trial.during.fastest_hz]
    return tuple(clock for clock in seen if clock)


def governors(trials: Iterable[Trial]) -> tuple[str, ...]:
    """The governors seen around processes, each once."""
    seen = (c.governor for trial in trials for c in (trial.before, trial.after))
    return tuple(sorted({governor for governor in seen if governor}))


def clock_change(trials: Iterable[Trial]) -> str:
    """The real clocks, if they are more than 2 % apart although the governor fixes them; else empty."""
    trials = tuple(trials)
    fixed = governors(trials)
    clocks = [clock for trial in trials for clock in real_clocks(trial)]
    if not fixed or not set(fixed) <= set(FIXED_GOVERNORS) or not clocks:
        return ""
    if min(clocks) >= max(clocks) * (1 - MAX_CLOCK_RANGE):
        return ""
    return f"{min(clocks) / 1e6:.0f} to {max(clocks) / 1e6:.0f} MHz under a fixed governor"


def foreign_share(trial: Trial) -> float | None:
    """CPU time of other programs on the measured cores during the loop, over its length; None: it cannot be told.

    Where the process may use just as many cores as it has threads, all are measured, and all foreign time on them
    counts. Where the scheduler could put the others elsewhere, only what kept the process waiting counts, which can be
    told for one thread. What the kernel's ticks may be wrong by is subtracted.
    """
    busy, cpu, wall, cores = trial.busy_ns, trial.cpu_ns, trial.wall_ns, len(trial.cpus)
    if busy is None or cpu is None or not wall or wall < _LEAST_COUNTED_NS or not cores:
        return None
    foreign = max(0, busy - cpu - cores * _TICK_NS)
    if cores > trial.num_threads:
        if trial.num_threads != 1:
            return None
        foreign = min(foreign, max(0, wall - cpu))
    return foreign / wall


def swapped_in(trial: Trial) -> int:
    """Pages that came back from swap while a process ran that itself had to wait for pages; 0: none, or not known."""
    before, after = trial.before.swapped_in_pages, trial.after.swapped_in_pages
    if before is None or after is None or trial.major_faults == 0:
        return 0
    return max(0, after - before)


def passing(trial: Trial, limits: BoardLimits) -> Reason | None:
    """Why a process should be repeated: what is wrong with it may pass. None: nothing is."""
    if bits := throttling(trial):
        return invalid("throttled", bits)
    if status := thermal_status(trial):
        return invalid("thermal-status", f"{status}, the board slows itself down")
    if (temperature := heat(trial, limits)) is not None:
        return invalid("too-hot", f"{temperature:.0f} °C, the limit is {limits.temperature_limit_c:.0f} °C")
    if change := clock_change([trial]):
        return invalid("clock-changed", change)
    if pages := swapped_in(trial):
        return invalid("swapped-in", f"{pages} pages came back from swap")
    share = foreign_share(trial)
    if share is not None and share > MAX_FOREIGN:
        return invalid("foreign-load", foreign_words(share))
    return None


def foreign_words(share: float) -> str:
    """How much of the measured cores other programs took."""
    return f"other programs took {share * 100:.0f} % of a measured core, the limit is {MAX_FOREIGN * 100:.0f} %"


def unknown_sensors(trials: Iterable[Trial]) -> tuple[str, ...]:
    """The sensors that were silent before, during or after any process; silence is never taken for "fine"."""
    trials = tuple(trials)
    seen = [c for trial in trials for c in (trial.before, trial.after)]
    silent = [name for name, read in _SENSORS.items() if any(read(c) is None for c in seen)]
    unfollowed = [
        f"{name} during the runs"
        for name, read in _FOLLOWED.items()
        if name not in silent and any(read(trial) is None for trial in trials)
    ]
    return (*silent, *unfollowed)


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
