"""One trial: a fresh process that loads a model, runs it and says what that took."""

from __future__ import annotations

import binascii
import gc
import os
import sys
import time

from .answer import Failure
from .cold_start import ColdStart
from .conditions import conditions
from .engines import engine_of, runtime_of
from .files import new_sha256, sha256_file
from .loop import measure
from .memory import Memory, forget_system_libraries, give_back, proportional_memory
from .onnx_runtime import OnnxRuntime
from .pace import calibrate
from .pages import forget_pages
from .runs import read_outputs, repeat, timed, warm_up
from .samples import Samples
from .surroundings import set_cpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from .kinds import Record
    from .sampler import Sampler


def step(memory: Memory, phase: str, action: Callable[..., object], *arguments: Any) -> int:
    """Runs one phase; returns its nanoseconds."""
    start = time.perf_counter_ns()
    action(*arguments)
    spent = time.perf_counter_ns() - start
    memory.end_phase(phase)
    return spent


def trial(job: Record, sampler: Optional[Sampler] = None) -> Record:
    """One trial: the fields of ``protocol.Trial``. The sampler is for mode ``latency``."""
    mode = job["mode"]
    set_cpus(job["cpus"])
    if mode == "memory":
        # How large the pieces are that the kernel maps of a file depends on how it came into the page cache: up to a
        # third of what is resident of a library. Here both come in always the same way.
        forget_pages(job["model"])
        forget_pages(job.get("library") or "")
    digest = sha256_file(job["model"])
    if digest != job["model_sha256"]:
        raise Failure("model-sha256", "%s hashes to %s, not to %s" % (job["model"], digest, job["model_sha256"]))
    calibration = [calibrate()] if mode == "latency" else []
    before = conditions()
    engine, memory = engine_of(job), Memory()
    gc.collect()
    gc.disable()
    give_back()
    if mode == "memory":
        forget_system_libraries()
        Memory().end_phase("rehearsal")  # what following the memory needs of them is there again
    cache = [engine.weight_cache] if engine.weight_cache else []
    # as the last thing before the start, so that nothing of ours brings pages back
    cold = ColdStart([job["model"], *engine.files(), *cache]) if mode == "cold" else None
    memory.reset_peak()
    memory.end_phase("start")
    result = {
        "mode": mode,
        "pid": os.getpid(),
        "library_ns": step(memory, "library", engine.open),
        "load_ns": step(memory, "model", engine.load, job["model"]),
        "init_ns": step(memory, "init", engine.build, job["num_threads"]),
    }
    samples = Samples(engine, job["samples"], in_memory=mode == "latency")
    samples.put_next()
    memory.reset_peak()
    result["first_ns"] = step(memory, "first", timed, engine)
    if cold is not None:
        result["cold"] = cold.end()
    finite = True
    if sampler is not None:
        series, typical_ns, steady = warm_up(engine, samples, job)
        result.update(measure(engine, samples, job, typical_ns, sampler))
        result.update(warmup_ns=series, steady=steady)
        calibration.append(calibrate())
        if isinstance(engine, OnnxRuntime):
            result["extra"] = {"call_overhead_ns": engine.call_overhead()}
    elif mode == "memory":
        result["memory_runs"] = repeat(engine, samples, job)
    elif mode != "cold":
        outputs = []
        for index in range(len(samples.sources)):
            if job.get("rebuild", True):  # fused LSTM ops keep their state from one run to the next
                engine.rebuild(job["num_threads"])
            raw, sound = read_outputs(engine, samples, index)
            finite = finite and sound
            outputs.append([binascii.b2a_base64(data, newline=False).decode() for data in raw])
        result["outputs"] = outputs
    memory.end_phase("steady")
    if mode == "memory":
        result.update(proportional_memory())
    raw, sound = read_outputs(engine, samples, 0)
    hashed = new_sha256()
    for data in raw:
        hashed.update(data)
    result.update(
        samples_used=len(samples.sources),
        runtime=runtime_of(engine),
        num_threads=job["num_threads"],
        model_sha256=digest,
        inputs=engine.inputs,
        outputs_info=engine.outputs,
        calibration_ns=calibration,
        memory=memory.phases,
        peak_resets=memory.resets,
        output_sha256=hashed.hexdigest(),
        finite=finite and sound,
        before=before,
        after=conditions(),
        python=sys.version.split()[0],
        cpus=sorted(os.sched_getaffinity(0)),
    )
    return result
