"""What the board's sensors say about one process: throttled, too hot, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgekit.runner.protocol import Conditions, Trial

# `vcgencmd get_throttled`: the low bits say what is so now, the same bits 16 higher what has been so since they were
# last cleared, which the kernel's own driver does every two seconds. So only the low ones decide.
_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_LIVE = 0xF

_SENSORS: dict[str, Callable[[Conditions], object]] = {
    "temperature": lambda c: c.temperature_c,
    "clock": lambda c: c.clock_hz or c.frequency_hz or None,
    "governor": lambda c: c.governor,
    "throttle bits": lambda c: c.throttle_bits,
    "load": lambda c: c.load_1min,
    "boot id": lambda c: c.boot_id,
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


def throttling(trial: Trial) -> str:
    """Names the live throttle bits before, during or after a process; empty where none is set or can be read."""
    bits = 0
    for seen in (trial.before, trial.during, trial.after):
        bits |= (seen.throttle_bits or 0) & _LIVE if seen else 0
    return ", ".join(name for bit, name in _BITS.items() if bits >> bit & 1)


def throttled_earlier(trials: Iterable[Trial]) -> bool:
    """Whether a board remembers throttling (sticky bits)."""
    return any((c.throttle_bits or 0) >> 16 & _LIVE for trial in trials for c in (trial.before, trial.after))


def heat(trial: Trial, limits: BoardLimits) -> float | None:
    """The temperature of a process that reached the limit; None where it stayed below or is not known."""
    if limits.temperature_limit_c is None:
        return None
    seen = (trial.before.temperature_c, trial.during.hottest_c if trial.during else None, trial.after.temperature_c)
    known = [temperature for temperature in seen if temperature is not None]
    return max(known) if known and max(known) >= limits.temperature_limit_c else None


def passing(trial: Trial, limits: BoardLimits) -> str | None:
    """Why a process should be repeated after a pause: what is wrong with it may pass. None: nothing is."""
    if bits := throttling(trial):
        return f"throttled: {bits}"
    if (temperature := heat(trial, limits)) is not None:
        return f"too-hot: {temperature:.0f} °C, the limit is {limits.temperature_limit_c:.0f} °C"
    return None


def unknown_sensors(trials: Iterable[Trial]) -> tuple[str, ...]:
    """The sensors that were silent before or after any process; silence is never taken for "fine"."""
    seen = [c for trial in trials for c in (trial.before, trial.after)]
    return tuple(name for name, read in _SENSORS.items() if any(read(c) is None for c in seen))
