"""A profile for other programs: Chrome's trace format (Perfetto, chrome://tracing) and folded stacks (flame graphs)."""

from __future__ import annotations

import re
from typing import Any

from edgekit.core.version import VERSION
from edgekit.measure.emulated import called
from edgekit.measure.profile_model import ModelProfile, Recorded
from edgekit.report import words

_MOST_RUNS = 100  # a viewer stays quick, and nobody looks at more
_PID, _TID = 1, 1


def chrome_trace(found: ModelProfile) -> dict[str, Any]:
    """The runs of a profile, one after the other, as JSON values of the trace event format.

    How long each kernel took is measured. When it began is not kept: within a run the kernels stand end to end, and
    what lies between the ops stands at the end of the run.

    Source: Trace Event Format, "complete events" (ph X) and metadata (ph M).
    """
    board = called(found.device, found.emulated)
    events: list[dict[str, Any]] = [
        _named("process_name", f"{board}: {found.model}"),
        _named(
            "thread_name", f"{found.runtime.name} {found.runtime.version}, {words.count(found.num_threads, 'thread')}"
        ),
    ]
    begin = 0
    for run, whole in enumerate(found.whole_us[:_MOST_RUNS]):
        spent = sum(kernel.elapsed_us[run] for kernel in found.recorded)
        length = max(whole, spent, 1)
        events.append(_slice(f"run {run + 1}", "run", begin, length, {"whole_us": whole, "ops_us": spent}))
        at = begin
        for kernel in found.recorded:
            elapsed = kernel.elapsed_us[run]
            events.append(_slice(_label(found, kernel), _category(kernel), at, elapsed, _arguments(found, kernel)))
            at += elapsed
        begin += length
    other = {
        "edgekit": VERSION,
        "device": board,
        "model": found.model,
        "sha256": found.sha256,
        "created": found.created,
        "note": "lengths are measured; within a run kernels stand end to end. Profiling costs time: no benchmark",
    }
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": other}


def folded_stacks(found: ModelProfile) -> str:
    """``model;layer;op;kernel count`` a line, the count in ns of one run: what flamegraph.pl and speedscope read."""
    quick = sorted(range(len(found.whole_us)), key=found.whole_us.__getitem__)[: found.runs]
    sums: dict[str, int] = {}
    for kernel in found.recorded:
        op = found.ops[kernel.op]
        frames = [found.model, op.layer or op.name, f"{op.name} (op {op.index})", kernel.tag]
        stack = ";".join(map(_frame, frames))
        mean_ns = sum(kernel.elapsed_us[run] for run in quick) * 1000 / len(quick)
        sums[stack] = sums.get(stack, 0) + round(mean_ns)
    sums[f"{_frame(found.model)};between the ops"] = round(found.between_ns)
    return "".join(f"{stack} {count}\n" for stack, count in sums.items() if count)


def _named(what: str, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": _PID, "tid": _TID, "args": {"name": name}}


def _slice(name: str, category: str, begin: int, length: int, arguments: dict[str, Any]) -> dict[str, Any]:
    times = {"ts": begin, "dur": length, "pid": _PID, "tid": _TID}
    return {"name": name, "cat": category, "ph": "X", **times, "args": arguments}


def _label(found: ModelProfile, kernel: Recorded) -> str:
    op = found.ops[kernel.op]
    return f"{op.layer}: {op.name}" if op.layer else op.name


def _category(kernel: Recorded) -> str:
    return "delegate" if kernel.delegated else "runtime"


def _arguments(found: ModelProfile, kernel: Recorded) -> dict[str, Any]:
    op = found.ops[kernel.op]
    return {"op": op.index, "kernel": kernel.tag, "layer": op.layer, "tensor": op.tensor, "macs": op.macs}


def _frame(text: str) -> str:
    """A frame's name: nothing in it may end a frame or a line."""
    return re.sub(r"\s+", " ", text.replace(";", ",")).strip() or "?"
