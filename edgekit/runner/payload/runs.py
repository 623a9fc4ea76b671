"""Runs of the model: one that is timed, those that warm up, those for the memory figures."""

from __future__ import annotations

import array
import time

from .litert_api import check
from .tensors import all_finite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Sequence, Tuple

    from .kinds import Engine, Record
    from .samples import Samples

WARMUP_KEPT = 1000


def timed(engine: Engine) -> int:
    """Nanoseconds of one run."""
    start = time.perf_counter_ns()
    status = engine.run(*engine.arguments)
    spent = time.perf_counter_ns() - start
    if status:
        check(status, "the model failed to run")
    return spent


def middle(values: Sequence[int]) -> int:
    """The median of a few values (the upper one of two)."""
    return sorted(values)[len(values) // 2]


def warm_up(engine: Engine, samples: Samples, job: Record) -> Tuple[List[int], int, bool]:
    """Runs until the least number, the least time and a steady pace are reached.

    Returns:
        The series in ns (the first ``WARMUP_KEPT``), the typical run in ns, and whether the pace became steady:
        the last five runs are at most 5 % quicker than the five before them.
    """
    series = array.array("q", bytes(8 * WARMUP_KEPT))
    recent = array.array("q", bytes(8 * 10))
    least_ns = int(job["warmup_s"] * 1e9)
    most_ns = max(least_ns, int(job["warmup_max_s"] * 1e9))
    begin = time.perf_counter_ns()
    count = 0
    while True:
        samples.put_next()
        spent = timed(engine)
        recent[count % 10] = spent
        if count < WARMUP_KEPT:
            series[count] = spent
        count += 1
        elapsed = time.perf_counter_ns() - begin
        if count < job["warmup_runs"] or elapsed < least_ns:
            continue
        ordered = [recent[(count + offset) % 10] for offset in range(10)] if count >= 10 else None
        steady = ordered is None or middle(ordered[5:]) >= 0.95 * middle(ordered[:5])
        if steady or elapsed >= most_ns:
            break
    return series[: min(count, WARMUP_KEPT)].tolist(), middle(recent[: min(count, 10)]), steady


def repeat(engine: Engine, samples: Samples, job: Record) -> int:
    """The same runs without a clock around each, for the memory figures."""
    begin = time.perf_counter()
    count = 0
    while True:
        samples.put_next()
        timed(engine)
        count += 1
        elapsed = time.perf_counter() - begin
        if (count >= job["min_runs"] and elapsed >= job["min_s"]) or elapsed >= job["max_s"]:
            return count


def read_outputs(engine: Engine, samples: Samples, index: int) -> Tuple[List[bytes], bool]:
    """Runs sample ``index`` once: its raw outputs and whether they are finite."""
    samples.put(index)
    timed(engine)
    raw = [engine.get(position) for position in range(len(engine.outputs))]
    return raw, all(all_finite(data, tensor["dtype"]) for data, tensor in zip(raw, engine.outputs))
