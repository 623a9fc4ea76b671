"""Time per op by the runtime's own clock."""

from __future__ import annotations

import os
import sys
import time

from .answer import Failure
from .conditions import conditions
from .engines import engine_of, runtime_of
from .files import sha256_file
from .litert import LiteRtLibrary
from .litert_profiler import Profiler
from .litert_structs import DELEGATE_OP, WHOLE
from .runs import timed, warm_up
from .samples import Samples
from .surroundings import set_cpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple

    from .kinds import Record


def profile(job: Record) -> Record:
    """Time per op by the runtime's own clock: the fields of ``protocol.Profile``."""
    set_cpus(job["cpus"])
    digest = sha256_file(job["model"])
    if digest != job["model_sha256"]:
        raise Failure("model-sha256", "%s hashes to %s, not to %s" % (job["model"], digest, job["model_sha256"]))
    before = conditions()
    engine = engine_of(job)
    if not isinstance(engine, LiteRtLibrary):
        raise Failure("profile-unsupported", "%s does not tell the time of single ops" % engine.name)
    engine.profiled = True
    engine.open()
    engine.load(job["model"])
    engine.build(job["num_threads"])
    samples = Samples(engine, job["samples"], in_memory=True)
    warm_up(engine, samples, job)
    profiler = Profiler(engine)
    runs = profiled_runs(profiler, samples, job)
    # what an IF runs may differ from one sample to the next: only alike runs can be put in columns
    sequences = [tuple(event[:3] for event in run) for run in runs]
    counts: Dict[Tuple[Any, ...], int] = {}
    for sequence in sequences:
        counts[sequence] = counts.get(sequence, 0) + 1
    usual = max(counts, key=lambda sequence: counts[sequence])
    alike = [run for run, sequence in zip(runs, sequences) if sequence == usual]
    told = {"summary": profiler.summarized_run(samples)} if job.get("summary") else {}  # only tests ask for it
    ops = [place for place, event in enumerate(usual) if event[0] != WHOLE]
    whole = [place for place, event in enumerate(usual) if event[0] == WHOLE]
    if not ops:
        raise Failure("profile-unsupported", "the runtime recorded no op of this model")
    return {
        **told,
        "ops": [
            {
                "tag": usual[place][1],
                "delegated": usual[place][0] == DELEGATE_OP,
                "node": usual[place][2],
                "elapsed_us": [run[place][3] for run in alike],
            }
            for place in ops
        ],
        "whole_us": [sum(run[place][3] for place in whole) for run in alike],
        "other_runs": len(runs) - len(alike),
        "runtime": runtime_of(engine),
        "num_threads": job["num_threads"],
        "model_sha256": digest,
        "samples_used": len(samples.sources),
        "before": before,
        "after": conditions(),
        "python": sys.version.split()[0],
        "cpus": sorted(os.sched_getaffinity(0)),
    }


def profiled_runs(profiler: Profiler, samples: Samples, job: Record) -> List[List[Tuple[int, str, int, int]]]:
    """The events of each run. Read after every run: the runtime's buffer is finite."""
    begin = time.perf_counter()
    runs = []
    while True:
        samples.put_next()
        profiler.take_events()  # of putting the sample
        timed(profiler.engine)
        runs.append(profiler.take_events())
        elapsed = time.perf_counter() - begin
        if (len(runs) >= job["min_runs"] and elapsed >= job["min_s"]) or elapsed >= job["max_s"]:
            return runs
