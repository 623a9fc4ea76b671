"""The cool gate: what a board must get over before a process may be timed on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgekit.measure.conditions import LIVE_BITS, THERMAL_STATUS, BoardLimits, bit_names
from edgekit.runner.conditions import Conditions

#: so much above its temperature at rest a board still counts as rested
ABOVE_IDLE_C = 5.0
#: so far below its limit a board stays there for the length of a process
BELOW_LIMIT_C = 15.0

_FIRST_STEP_S = 2.0
_LONGEST_STEP_S = 10.0

ReadNow = Callable[[], Conditions]


def aim_c(limits: BoardLimits, idle_c: float | None) -> float | None:
    """The highest temperature to begin at; None where neither the limit nor the temperature at rest is known.

    Args:
        limits: the board's.
        idle_c: its temperature before anything ran.
    """
    known = [
        None if idle_c is None else idle_c + ABOVE_IDLE_C,
        None if limits.temperature_limit_c is None else limits.temperature_limit_c - BELOW_LIMIT_C,
    ]
    return min((one for one in known if one is not None), default=None)


def cool_gate(now: Conditions, limits: BoardLimits, idle_c: float | None) -> str | None:
    """What a board must do before a process may be timed on it.

    A sensor that does not tell holds nothing up: the verdict names it as unknown.

    Returns:
        What is waited for, to be read after "waits for the board"; with the temperature aimed at. None: go.
    """
    waits = []
    aim = aim_c(limits, idle_c)
    if aim is not None and now.temperature_c is not None and now.temperature_c > aim:
        waits.append(f"to cool down to {aim:.0f} °C ({now.temperature_c:.0f} °C now)")
    if bits := (now.throttle_bits or 0) & LIVE_BITS:
        waits.append(f"to be over its throttling ({bit_names(bits)})")
    if now.thermal_status:
        waits.append(f"to come back to thermal status NONE ({THERMAL_STATUS[now.thermal_status]} now)")
    return " and ".join(waits) or None


class Tell(Protocol):
    """Hears of a wait each time the board was looked at."""

    def __call__(self, waits_for: str, now: Conditions, *, waited_s: float, left_s: float) -> None:
        """Takes what is waited for, what the board is like, and for how long it has been and may be waited."""


@dataclass(slots=True, kw_only=True)
class CoolGate:
    """Lets a board cool before each process; one for all that is measured on a board in one go.

    Its temperature at rest is that of the first look, before anything ran. When it was once waited for in vain, it is
    not waited for again: what is measured in this go is invalid already.

    Attributes:
        read_now: looks at the board's sensors.
        wait_s: for so long at most, each time.
        pause: waits so many seconds.
        clock: monotonic seconds.
        idle_c: temperature at rest; None: not looked at yet, or not known.
        in_vain: what was waited for in vain; empty: nothing.
        last: what the board was like at the last look.
    """

    read_now: ReadNow
    wait_s: float
    pause: Callable[[float], None]
    clock: Callable[[], float]
    idle_c: float | None = None
    in_vain: str = ""
    last: Conditions | None = None

    def pass_through(self, limits: BoardLimits, tell: Tell) -> bool:
        """Waits until the board is ready; False: it was not within :attr:`wait_s`, and :attr:`in_vain` says of what.

        Raises:
            DeviceError: the board does not answer any more.
        """
        began = self.clock()
        step = _FIRST_STEP_S
        while True:
            now = self.read_now()
            if self.last is None:
                self.idle_c = now.temperature_c
            self.last = now
            waits_for = cool_gate(now, limits, self.idle_c)
            if waits_for is None:
                return True
            waited = self.clock() - began
            left = self.wait_s - waited
            if self.in_vain or left <= 0:
                self.in_vain = self.in_vain or f"waited {waited:.0f} s in vain for the board {waits_for}"
                return False
            tell(waits_for, now, waited_s=waited, left_s=left)
            self.pause(min(step, left))
            step = min(step * 1.5, _LONGEST_STEP_S)
