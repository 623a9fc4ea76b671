"""What rows of one board say together: which is the fastest as far as intervals tell, and what options bought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.core import units
from edgekit.core.notice import Notice
from edgekit.measure.measurement import Measurement
from edgekit.measure.statistics import median_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Fastest:
    """The answer to "which is the fastest on this board?".

    Attributes:
        device: the board.
        best: the quickest, where its 95 % interval lies below those of all others.
        close: those that cannot be told from the quickest, it first; empty where there is a ``best``.
        unjudged: rows that could not take part: invalid, or without an interval.
    """

    device: str
    best: Measurement | None
    close: tuple[Measurement, ...]
    unjudged: int


def fastest(measurements: Sequence[Measurement]) -> Fastest | None:
    """Compares the rows of one board; None where there are not two that can be compared, or where it is emulated.

    Rows are compared only where both intervals are known and do not touch. That is stricter than a test of the
    difference at the same confidence, and so never claims more.

    Args:
        measurements: of one board, whatever models, runtimes and thread counts.
    """
    if len({one.device for one in measurements}) != 1 or any(one.emulated for one in measurements):
        return None
    judged = [one for one in measurements if one.verdict != "invalid" and one.latency.ci95_ns is not None]
    if len(judged) < 2:
        return None
    judged.sort(key=lambda one: one.latency.median_ns or 0)
    first = judged[0]
    close = [one for one in judged[1:] if _low(one) <= _high(first)]
    return Fastest(
        device=first.device,
        best=None if close else first,
        close=(first, *close) if close else (),
        unjudged=len(measurements) - len(judged),
    )


def _low(one: Measurement) -> int:
    assert one.latency.ci95_ns is not None
    return one.latency.ci95_ns[0]


def _high(one: Measurement) -> int:
    assert one.latency.ci95_ns is not None
    return one.latency.ci95_ns[1]


def runtime_notices(measurements: Sequence[Measurement]) -> tuple[Notice, ...]:
    """What is to be known about the runtimes of these rows: delegates that took little, calls that cost, caches."""
    return (
        *(notice for one in measurements for notice in (*_fallback(one), *_call_overhead(one))),
        *(notice for one in measurements for other in measurements for notice in _weight_cache(one, other)),
    )


def _fallback(one: Measurement) -> tuple[Notice, ...]:
    """A delegate that was to compute and did not, or only some ops."""
    used = one.runtime
    if used is None or used.kernels == "builtin" or used.ops is None:
        return ()
    if used.delegated_ops == 0:
        return (
            Notice(
                code="delegate-fell-back",
                message=f"{one.model.name}: XNNPACK took none of its {used.ops} ops; the runtime's own kernels ran",
                hint="`edgekit profile` shows the ops; `edgekit audit` says which are not quantized",
            ),
        )
    return (
        Notice(
            code="partly-delegated",
            message=f"{one.model.name}: XNNPACK took {used.delegated_ops} of its {used.ops} ops; the rest ran without",
            hint="`edgekit profile` shows which, and what they cost",
        ),
    )


def _call_overhead(one: Measurement) -> tuple[Notice, ...]:
    """What a call costs that cannot be told from the model's own time."""
    found = [int(t.extra["call_overhead_ns"]) for t in one.samples.latency if "call_overhead_ns" in t.extra]
    cost, median = median_of(found), one.latency.median_ns
    if cost is None or not median:
        return ()
    return (
        Notice(
            code="call-overhead",
            message=f"{one.runtime.name if one.runtime else 'the runtime'} is called through Python: "
            f"about {units.duration(cost)} of every run, {cost / median:.1%} of {one.model.name}'s",
            hint="a program in C++ does not pay all of it; LiteRT's figures are without it",
        ),
    )


def _weight_cache(cached: Measurement, plain: Measurement) -> tuple[Notice, ...]:
    """What XNNPACK's weight cache bought: time to initialise, and memory that cannot be given back."""
    if cached.runtime is None or plain.runtime is None or not cached.runtime.weight_cache or plain.runtime.weight_cache:
        return ()
    alike = all(
        getattr(cached, name) == getattr(plain, name) for name in ("device", "emulated", "model", "num_threads")
    ) and (cached.runtime.name, cached.runtime.version, "delegate") == (
        plain.runtime.name,
        plain.runtime.version,
        plain.runtime.kernels,
    )
    if not alike:
        return ()
    init = f"{units.duration(plain.latency.init_ns)} → {units.duration(cached.latency.init_ns)}"
    anon = f"{units.size(anonymous_bytes(plain))} → {units.size(anonymous_bytes(cached))}"
    return (
        Notice(
            code="weight-cache",
            message=f"{cached.model.name}: with the weight cache it initialises in {init}, "
            f"and takes anonymous memory of {anon}",
            hint="in a program: weight_cache_file_path of XNNPACK's options; the file must fit runtime and processor",
        ),
    )


def anonymous_bytes(measurement: Measurement) -> int | None:
    """Anonymous memory beyond that of the runtime alone, after the runs; median over the memory processes.

    It cannot be given back under pressure, unlike pages of files.
    """
    found = []
    for trial in measurement.samples.memory:
        by_phase = {phase.phase: phase.anon_bytes for phase in trial.memory}
        start, end = by_phase.get("library"), by_phase.get("steady")
        if start is not None and end is not None:
            found.append(end - start)
    middle = median_of(found)
    return None if middle is None else round(middle)
