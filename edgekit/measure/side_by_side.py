"""What rows of one board say together: which is the fastest as far as intervals tell, and what options bought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.core import units
from edgekit.core.errors import EdgekitError
from edgekit.core.notice import Notice
from edgekit.measure.measurement import Measurement
from edgekit.measure.statistics import median_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NotMeasured:
    """A row without figures: one model with one runtime that could not be measured on a board, and why.

    Attributes:
        device, model: their names.
        runtime: as it was asked for.
        num_threads: None: it did not get that far.
    """

    device: str
    model: str
    runtime: str
    num_threads: int | None
    error: EdgekitError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fastest:
    """The answer to "which is the fastest on this board?".

    Attributes:
        device: the board.
        best: the quickest, where its 95 % interval lies below those of all others.
        close: those that cannot be told from the quickest, it first; empty where there is a ``best``, and where fewer
            than two rows may be compared.
        rows: all that were measured there.
        unjudged: rows that could not take part: not valid, or without an interval.
    """

    device: str
    best: Measurement | None
    close: tuple[Measurement, ...]
    unjudged: int
    rows: int


def fastest(measurements: Sequence[Measurement]) -> Fastest | None:
    """Compares the rows of one board; None where there are not two, or where it is emulated.

    Rows are compared only where both intervals are known and do not touch. That is stricter than a test of the
    difference at the same confidence, and so never claims more.

    Args:
        measurements: of one board, whatever models, runtimes and thread counts.
    """
    if len({one.device for one in measurements}) != 1 or any(one.emulated for one in measurements):
        return None
    if len(measurements) < 2:
        return None
    judged = [one for one in measurements if one.verdict == "valid" and one.latency.ci95_ns is not None]
    unjudged = len(measurements) - len(judged)
    if len(judged) < 2:
        device = measurements[0].device
        return Fastest(device=device, best=None, close=(), unjudged=unjudged, rows=len(measurements))
    judged.sort(key=lambda one: one.latency.median_ns or 0)
    first = judged[0]
    close = [one for one in judged[1:] if _low(one) <= _high(first)]
    return Fastest(
        device=first.device,
        best=None if close else first,
        close=(first, *close) if close else (),
        unjudged=unjudged,
        rows=len(measurements),
    )


def _low(one: Measurement) -> int:
    assert one.latency.ci95_ns is not None
    return one.latency.ci95_ns[0]


def _high(one: Measurement) -> int:
    assert one.latency.ci95_ns is not None
    return one.latency.ci95_ns[1]


def runtime_notices(measurements: Sequence[Measurement]) -> tuple[Notice, ...]:
    """What is to be known about the runtimes of these rows: calls that cost, and what caches bought."""
    first = {(one.device, one.model.sha256): one for one in reversed(measurements)}
    return (
        *(notice for one in first.values() for notice in _call_overhead(one)),
        *(notice for one in measurements for other in measurements for notice in _weight_cache(one, other)),
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
    anon = f"{units.size(plain.memory.model_anon_bytes)} → {units.size(cached.memory.model_anon_bytes)}"
    return (
        Notice(
            code="weight-cache",
            message=f"{cached.model.name}, --num-threads {cached.num_threads}: the weight cache "
            f"changes initialising {init}, anonymous memory {anon}",
            hint="in a program: weight_cache_file_path of XNNPACK's options; the file must fit runtime and processor",
        ),
    )
