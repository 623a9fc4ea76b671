"""The pace of the core: what a fixed piece of work takes."""

from __future__ import annotations

import array
import time

PACE_NS = 50_000_000  # after so long the pace is taken again


def calibrate() -> int:
    """Nanoseconds of a fixed piece of work that needs no memory: a core that is throttled or shared takes longer."""
    best = 0
    for _ in range(5):
        start = time.perf_counter_ns()
        value = 1
        for _ in range(10000):
            value = (value * 69069 + 1) & 0xFFFFFFFF
        spent = time.perf_counter_ns() - start
        best = min(best, spent) if best else spent
    return best


class Paces:
    """The pace over the measured runs: what a small fixed piece of work took, and how many entries there were then.

    A neighbour on the other half of a core slows it down more than most models, and says so when nothing else does.
    """

    def __init__(self) -> None:
        self.spent = array.array("q")
        self.at = array.array("q")
        self.next = 0

    def add(self, entries: int) -> None:
        """Does the work, quickest of three, after so many entries."""
        now, best = time.perf_counter_ns, 0
        for _ in range(3):
            start = now()
            value = 1
            for _ in range(1000):
                value = (value * 69069 + 1) & 0xFFFFFFFF
            spent = now() - start
            best = min(best, spent) if best else spent
        self.spent.append(best)
        self.at.append(entries)
        self.next = now() + PACE_NS
