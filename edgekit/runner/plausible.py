"""Whether a trial can be true: what no process can have measured is refused, whatever the board sends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from edgekit.runner.conditions import Conditions, During
from edgekit.runner.protocol import Trial

PHASES = ("start", "library", "model", "init", "first", "steady")

# silicon survives no more; the bits are a 32-bit word of the firmware
_COLDEST_C, _HOTTEST_C, _MOST_BITS, _MOST_STATUS = -60, 200, 0xFFFFFFFF, 6


def implausible(trial: Trial) -> str | None:
    """What cannot be in a trial; None where all of it can."""
    return next((wrong for check in _CHECKS for wrong in check(trial)), None)


def _times(trial: Trial) -> Iterator[str]:
    times = (trial.library_ns, trial.load_ns, trial.init_ns, trial.first_ns, trial.cpu_ns, trial.wall_ns)
    counts = (trial.busy_ns, trial.pressure_us, trial.involuntary_switches, trial.voluntary_switches)
    if _negative((*times, *trial.warmup_ns, *trial.calibration_ns, *trial.pace_ns, *(trial.cpu_latency_ns or ()))):
        yield "a negative time"
    if _negative((*counts, trial.major_faults, trial.memory_runs, trial.call_ns, trial.samples_used)):
        yield "a negative count"
    if any(value <= 0 for value in trial.latency_ns) or trial.batch < 1:
        yield "an inference that took no time"


def _amount(trial: Trial) -> Iterator[str]:
    if trial.mode == "latency" and not trial.latency_ns:
        yield "not a single inference was measured"
    if trial.mode == "memory" and trial.memory_runs == 0:
        yield "not a single inference was run"
    if trial.cpu_latency_ns is not None and len(trial.cpu_latency_ns) != len(trial.latency_ns):
        yield "CPU time of another number of inferences"
    places = trial.pace_at
    if len(places) != len(trial.pace_ns) or list(places) != sorted(places):
        yield "a pace without its place"
    if places and not 0 <= places[0] <= places[-1] <= len(trial.latency_ns):
        yield "a pace of iterations that there are not"
    if trial.wall_ns and sum(trial.latency_ns) * trial.batch > 1.01 * trial.wall_ns:
        yield "the inferences took longer than the loop around them"
    if trial.mode == "smoke" and any(len(outputs) != len(trial.outputs_info) for outputs in trial.outputs):
        yield "outputs are missing"


def _memory(trial: Trial) -> Iterator[str]:
    names = tuple(phase.phase for phase in trial.memory)
    if names and names != PHASES:
        yield "its memory has other phases"
    if trial.mode == "memory" and not names:
        yield "its memory was not followed"
    for phase in trial.memory:
        sizes = (phase.rss_bytes, phase.peak_rss_bytes, phase.anon_bytes, phase.file_bytes, phase.swap_bytes)
        if _negative(sizes):
            yield "a negative size"
    if _negative((trial.pss_bytes, trial.uss_bytes)):
        yield "a negative size"


def _board(trial: Trial) -> Iterator[str]:
    yield from _conditions(trial.before)
    yield from _conditions(trial.after)
    if trial.during is not None:
        yield from _during(trial.during)


def _conditions(seen: Conditions) -> Iterator[str]:
    counts = (seen.clock_hz, *seen.frequency_hz, *seen.min_frequency_hz, *seen.max_frequency_hz)
    if _negative((*counts, seen.memory_available_bytes, seen.runnable, seen.swap_used_bytes, seen.swapped_in_pages)):
        yield "a negative reading of the board's state"
    moments = (seen.load_1min, seen.uptime_s, seen.wall_s, seen.monotonic_s)
    if any(value is not None and not (math.isfinite(value) and value >= 0) for value in moments):
        yield "a load or a moment that cannot be"
    yield from _sensors(seen.temperature_c, seen.throttle_bits, seen.thermal_status)


def _during(during: During) -> Iterator[str]:
    if _negative((during.glances, during.slowest_hz, during.fastest_hz, during.cpu)):
        yield "a negative reading over the loop"
    if len(during.readings) > during.glances:
        yield "more readings than glances"
    times = [reading.at_ns for reading in during.readings]
    if times != sorted(times):
        yield "readings that are out of order"
    yield from _sensors(during.hottest_c, during.throttle_bits, during.thermal_status)
    for reading in during.readings:
        yield from _sensors(reading.temperature_c, reading.throttle_bits, reading.thermal_status)
        if _negative((reading.clock_hz, reading.frequency_hz)):
            yield "a negative reading over the loop"


def _sensors(celsius: float | None, bits: int | None, status: int | None) -> Iterator[str]:
    if celsius is not None and not _COLDEST_C <= celsius <= _HOTTEST_C:
        yield f"a temperature of {celsius:g} °C"
    if bits is not None and not 0 <= bits <= _MOST_BITS:
        yield "throttle bits that do not exist"
    if status is not None and not 0 <= status <= _MOST_STATUS:
        yield "a thermal status that does not exist"


def _negative(values: Iterable[float | None]) -> bool:
    return any(value is not None and value < 0 for value in values)


_CHECKS: tuple[Callable[[Trial], Iterator[str]], ...] = (_times, _amount, _memory, _board)
