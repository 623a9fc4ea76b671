"""What did the board do meanwhile: heat, clocks, other work, memory?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from edgekit.core import units
from edgekit.measure import pace, statistics
from edgekit.measure.conditions import (
    MAX_FOREIGN,
    BoardLimits,
    clock_change,
    foreign_share,
    foreign_words,
    governors,
    heat,
    swapped_in,
    thermal_status,
    throttled_earlier,
    throttling,
)
from edgekit.measure.reason import Reason, invalid, note, unstable
from edgekit.measure.samples import Samples
from edgekit.runner.protocol import Trial

MIN_CPU_PER_WALL = 0.9
MAX_PRESSURE = 0.1
MAX_SLOWING = 1.1
MAX_SLOWED_SHARE = 0.25
MAX_FREE_CLOCK_RANGE = 0.05
MAX_RUNNABLE_PER_CORE = 0.25
NEEDED_MEMORY_TIMES = 2
MAX_CLOCK_STEP_S = 0.5


def cooling(samples: Samples, limits: BoardLimits) -> Iterator[Reason]:
    """The board was cool to begin with, and did not slow itself down."""
    if samples.hot_start:
        yield invalid("hot-start", f"{samples.hot_start}; it needs better cooling, or less to do besides")
    slowed = [(i, bits) for i, trial in enumerate(samples.latency, 1) if (bits := throttling(trial))]
    if slowed:
        where = ", ".join(str(i) for i, _ in slowed)
        yield invalid("throttled", f"{slowed[0][1]} (process {where}); check power supply and cooling")
    elif throttled_earlier(samples.latency):
        yield note("throttled-earlier", "the board remembers throttling; none was seen around these processes")
    warm = [(i, status) for i, trial in enumerate(samples.latency, 1) if (status := thermal_status(trial))]
    if warm:
        where = ", ".join(str(i) for i, _ in warm)
        yield invalid("thermal-status", f"{warm[0][1]}, the board slows itself down (process {where}); let it cool")
    hot = [found for trial in samples.latency if (found := heat(trial, limits)) is not None]
    if hot:
        yield invalid("too-hot", f"{max(hot):.0f} °C, the limit is {limits.temperature_limit_c:.0f} °C; let it cool")


def clocks(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    """The processor kept its pace."""
    seen = governors(samples.latency)
    if len(seen) > 1:
        yield unstable("governor-changed", f"between {' and '.join(seen)}")
    if change := clock_change(samples.latency):
        yield invalid("clock-changed", change)
    elif not set(seen) & {"performance", "userspace"}:
        yield from _free_clock(samples)
    slowed = list(pace.slowed(samples.latency))
    if slowed:
        worst = max(times for _, times in slowed)
        many = len(slowed) > MAX_SLOWED_SHARE * len(samples.latency)
        yield (unstable if many else note)(
            "uneven-pace",
            f"a fixed piece of work between the runs took up to {worst:.2f} times as long as at best in {len(slowed)} "
            f"of {len(samples.latency)} processes; something else slowed the cores down",
        )
    slowing = [t.calibration_ns[-1] / t.calibration_ns[0] for t in samples.latency if _calibrated(t)]
    ratio = statistics.median_of(slowing)
    if ratio is not None and ratio > MAX_SLOWING:
        yield unstable("slowed-down", f"a fixed piece of work took {ratio:.2f} times as long after the runs as before")


def _free_clock(samples: Samples) -> Iterator[Reason]:
    """Nobody fixes the clock: it must have been about the same during all runs, whatever it is at rest."""
    during = [trial.during for trial in samples.latency if trial.during]
    speeds = [speed for one in during for speed in (one.slowest_hz, one.fastest_hz) if speed]
    if speeds and min(speeds) < max(speeds) * (1 - MAX_FREE_CLOCK_RANGE):
        yield unstable(
            "clock-uncontrolled",
            f"{min(speeds) / 1e6:.0f} to {max(speeds) / 1e6:.0f} MHz during the runs; no governor fixes it (--tune)",
        )


def _calibrated(trial: Trial) -> bool:
    return len(trial.calibration_ns) > 1 and trial.calibration_ns[0] > 0


def contention(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    """The processes had their cores for themselves."""
    shares = [share for trial in samples.latency if (share := foreign_share(trial)) is not None]
    if shares and max(shares) > MAX_FOREIGN:
        much = [share for share in shares if share > MAX_FOREIGN]
        where = "in 1 process" if len(much) == 1 else f"in {len(much)} processes"
        yield invalid("foreign-load", f"{foreign_words(max(much))} ({where})")
        return
    timed = [trial for trial in samples.latency if trial.wall_ns]
    if samples.num_threads == 1:
        ratios = [trial.cpu_ns / trial.wall_ns for trial in timed if trial.cpu_ns is not None and trial.wall_ns]
        low = [ratio for ratio in ratios if ratio < MIN_CPU_PER_WALL]
        middle = statistics.median_of(ratios)
        if middle is not None and middle < MIN_CPU_PER_WALL:
            yield unstable(
                "contended", f"the process had its core for {middle * 100:.0f} % of the time; other work runs there"
            )
        elif low:
            yield note("contended", f"{len(low)} of {len(ratios)} processes had their core for less than 90 %")
        return
    waits = [t.pressure_us * 1000 / t.wall_ns for t in timed if t.pressure_us is not None and t.wall_ns]
    wait = statistics.median_of(waits)
    if wait is not None and wait > MAX_PRESSURE:
        yield unstable(
            "contended", f"work waited for a core during {wait * 100:.0f} % of the time; other work runs there"
        )


def beforehand(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    """The board was at rest, and had memory to spare, before the processes began."""
    busy = [
        trial.before.runnable / cores for trial in samples.latency if trial.before.runnable and (cores := _cores(trial))
    ]
    waiting = statistics.median_of(busy) if len(busy) * 2 > len(samples.latency) else None
    if waiting is not None and waiting >= MAX_RUNNABLE_PER_CORE:
        yield note(
            "busy-before",
            f"{waiting:.2g} other {'task' if waiting == 1 else 'tasks'} wanted to run on each core before the runs, "
            f"the limit is {MAX_RUNNABLE_PER_CORE}",
        )
    sizes = [size for t in samples.memory for phase in t.memory if (size := phase.peak_rss_bytes or phase.rss_bytes)]
    left = [t.before.memory_available_bytes for t in samples.latency if t.before.memory_available_bytes is not None]
    if sizes and left and min(left) < NEEDED_MEMORY_TIMES * max(sizes):
        yield note(
            "little-memory",
            f"{units.size(min(left))} were free before the runs, less than {NEEDED_MEMORY_TIMES} times the "
            f"{units.size(max(sizes))} that the process needs",
        )


def _cores(trial: Trial) -> int:
    """How many cores the board has, as far as the process saw."""
    return max(len(trial.before.frequency_hz), len(trial.cpus))


def memory(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    """Nothing had to come from disk, or from swap."""
    if pages := max(map(swapped_in, samples.latency), default=0):
        yield invalid("swapped-in", f"{pages} pages came back from swap during a process: memory is short")
    read = statistics.median_of([t.major_faults for t in samples.latency if t.major_faults is not None])
    if read:
        yield unstable("paging", f"{read:.0f} pages were read from disk during the runs: memory is short")
    if any(phase.swap_bytes for trial in samples.memory for phase in trial.memory):
        yield unstable("swapping", "part of the process was swapped out: its memory is more than what is shown")
    if not all(trial.peak_resets for trial in samples.memory):
        yield note("peak-since-start", "this kernel does not reset the peak: loading the library may be part of it")


def wall_clock(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    """Whether somebody set the board's clock; no figure here is of that clock."""
    seen = [c for trial in samples.latency for c in (trial.before, trial.after)]
    gaps = [c.wall_s - c.monotonic_s for c in seen if c.wall_s is not None and c.monotonic_s is not None]
    one_boot = len({c.boot_id for c in seen}) == 1
    if gaps and one_boot and max(gaps) - min(gaps) > MAX_CLOCK_STEP_S:
        step = max(((later - earlier) for earlier, later in pairwise(gaps)), key=abs)
        yield note(
            "clock-set",
            f"the board's clock was set by {step:+.0f} s meanwhile, or the board slept; all times here are of a clock "
            "that nobody sets",
        )
