"""The measured loop."""

from __future__ import annotations

import array
import resource
import sys
import time

from .conditions import busy_ns, pressure_us
from .glances import GLANCE_NS
from .litert_api import check
from .pace import Paces
from .runs import middle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .kinds import Engine, Record
    from .sampler import Sampler
    from .samples import Samples

QUICK_NS = 100_000  # a run below this is timed in batches ...
BATCH_NS = 200_000  # ... of about this length, so that clock and call cost stay below 1 %


def call_cost(engine: Engine, batch: int) -> int:
    """Nanoseconds that a call from Python costs: an empty C function with the same arguments, in the same loop."""
    nothing, arguments, now = engine.nothing, engine.arguments, time.perf_counter_ns
    if nothing is None:  # a Python module's own call cannot be told apart
        return 0
    calls = range(batch)
    costs = []
    for _ in range(25):
        start = now()
        if batch == 1:
            nothing(*arguments)
        else:
            for _ in calls:
                nothing(*arguments)
        costs.append((now() - start) // batch)
    return middle(costs)


def cpu_clock(threads: int) -> Callable[[], int]:
    """Nanoseconds of CPU time: of this thread where it alone runs the model, else of the process."""
    return time.thread_time_ns if threads == 1 else time.process_time_ns


def cpu_cost(engine: Engine, batch: int, spent: Callable[[], int]) -> int:
    """What an entry's CPU time holds besides the model: reading both clocks, and the calls from Python."""
    nothing, arguments, now = engine.nothing or int, engine.arguments, time.perf_counter_ns
    costs = []
    for _ in range(25):
        before = spent()
        now()
        for _ in range(batch if engine.nothing else 0):
            nothing(*arguments)
        now()
        costs.append(spent() - before)
    return middle(costs)


def clock_step(spent: Callable[[], int]) -> int:
    """Nanoseconds by which a CPU clock goes forward at a time; old kernels count in ticks of the scheduler."""
    steps = []
    for _ in range(3):
        before = after = spent()
        while after == before:
            after = spent()
        steps.append(after - before)
    return min(steps)


def measure(engine: Engine, samples: Samples, job: Record, typical_ns: int, sampler: Sampler) -> Record:
    """The measured loop. Inputs change before every entry, outside the timed region.

    What the call from Python costs is measured and subtracted, so that an entry is what a native program would see.
    CPU time is read outside the timed region, so that the system call does not lengthen the entry.

    Returns:
        The fields of the trial that come from the loop.
    """
    run, arguments, now = engine.run, engine.arguments, time.perf_counter_ns
    batch = 1 if typical_ns >= QUICK_NS else min(1000, max(2, BATCH_NS // max(1, typical_ns)))
    calls = range(batch)
    least_ns, most_ns, least_runs = int(job["min_s"] * 1e9), int(job["max_s"] * 1e9), job["min_runs"]
    entries = array.array("q", bytes(8 * (least_runs + 2 * least_ns // max(1, typical_ns * batch) + 1024)))
    room = array.array("q", bytes(8 * 1024))
    cpu_entries = array.array("q", bytes(8 * len(entries)))
    spent = cpu_clock(job["num_threads"])
    cost, reading_cost, step_ns = call_cost(engine, batch), cpu_cost(engine, batch, spent), clock_step(spent)
    count = status = 0
    paces = Paces()
    sampler.begin()
    paces.add(0)
    pressure, busy = pressure_us(), busy_ns()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = time.process_time_ns()
    begin = now()
    next_glance = begin if sampler.between_runs else sys.maxsize
    while True:
        samples.put_next()
        cpu_start = spent()
        if batch == 1:
            start = now()
            status = run(*arguments)
            stop = now()
        else:
            start = now()
            for _ in calls:
                status = run(*arguments)
            stop = now()
        cpu_entries[count] = max(0, spent() - cpu_start - reading_cost) // batch
        entries[count] = max(1, (stop - start) // batch - cost)
        count += 1
        if status:
            check(status, "the model failed to run")
        if (count >= least_runs and stop - begin >= least_ns) or stop - begin >= most_ns:
            break
        if count == len(entries):
            entries.extend(room)
            cpu_entries.extend(room)
        if stop >= paces.next:
            paces.add(count)
        if stop >= next_glance:
            sampler.glances.look()
            next_glance = now() + GLANCE_NS
    wall = now() - begin
    cpu = time.process_time_ns() - cpu
    after = resource.getrusage(resource.RUSAGE_SELF)
    waited, worked = pressure_us(), busy_ns()
    paces.add(count)
    coarse = step_ns > 0.05 * middle(entries[:count]) * batch
    missing = "this kernel counts CPU time in steps of %d us, which is too coarse" % (step_ns // 1000)
    return {
        "latency_ns": entries[:count].tolist(),
        "cpu_latency_ns": None if coarse else cpu_entries[:count].tolist(),
        "cpu_latency_missing": missing if coarse else "",
        "busy_ns": None if busy is None or worked is None else worked - busy,
        "pace_ns": paces.spent.tolist(),
        "pace_at": paces.at.tolist(),
        "during": sampler.end(),
        "batch": batch,
        "call_ns": cost,
        "cpu_ns": cpu,
        "wall_ns": wall,
        "involuntary_switches": after.ru_nivcsw - usage.ru_nivcsw,
        "voluntary_switches": after.ru_nvcsw - usage.ru_nvcsw,
        "major_faults": after.ru_majflt - usage.ru_majflt,
        "pressure_us": None if pressure is None or waited is None else waited - pressure,
    }
