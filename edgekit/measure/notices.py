"""What a table of measurements says that no single one does."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.core import units
from edgekit.core.notice import Notice
from edgekit.measure.emulated import called
from edgekit.measure.measurement import Measurement

_FLOAT = "float32"
_HINTS = {
    "dynamic": "dynamic range quantizes activations anew at every run; use --mode int8",
    "float16": "this processor computes float16 weights as float32; the gain is in size only",
    "int16x8": "int16 activations have few fast kernels; use --mode int8",
}


def slower_than_float(measurements: Sequence[Measurement]) -> tuple[Notice, ...]:
    """Names every mode that is slower than the float32 model of the same source in the same circumstances.

    Slower means that the 95 % intervals do not touch: its lower bound lies above the float model's upper one.
    """
    return tuple(
        _notice(slow, base)
        for base in measurements
        if base.model.kind == _FLOAT
        for slow in measurements
        if slow.model.kind not in (None, _FLOAT) and _alike(slow, base) and _beyond(slow, base)
    )


def _alike(one: Measurement, other: Measurement) -> bool:
    sources = {one.model.source_sha256, other.model.source_sha256} - {None}
    same_runtime = (one.runtime and (one.runtime.name, one.runtime.version)) == (
        other.runtime and (other.runtime.name, other.runtime.version)
    )
    same_board = (one.device, one.emulated) == (other.device, other.emulated)
    return len(sources) < 2 and same_board and one.num_threads == other.num_threads and same_runtime


def _beyond(slow: Measurement, base: Measurement) -> bool:
    if "invalid" in (slow.verdict, base.verdict) or slow.latency.ci95_ns is None or base.latency.ci95_ns is None:
        return False
    return slow.latency.ci95_ns[0] > base.latency.ci95_ns[1]


def _notice(slow: Measurement, base: Measurement) -> Notice:
    assert slow.latency.median_ns is not None
    assert base.latency.median_ns is not None
    threads = "1 thread" if slow.num_threads == 1 else f"{slow.num_threads} threads"
    without = slow.runtime is not None and slow.runtime.delegate == "none"
    return Notice(
        code="slower-than-float",
        message=(
            f"{slow.model.name} ({slow.model.kind}) takes {units.duration(slow.latency.median_ns)}, "
            f"{units.ratio(slow.latency.median_ns / base.latency.median_ns)} the float model's "
            f"{units.duration(base.latency.median_ns)} ({called(slow.device, slow.emulated)}, {threads})"
        ),
        hint=(
            "the runtime ran without XNNPACK; use another runtime"
            if without
            else _HINTS.get(slow.model.kind or "", "`edgekit audit` lists ops that are not quantized")
        ),
    )
