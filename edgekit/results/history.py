"""One model on one board over time: its points, what breaks their row, and where the level changed."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import StoreError
from edgekit.results import waiting
from edgekit.results.changes import Step, step_at, steps
from edgekit.results.record import is_selftest

if TYPE_CHECKING:
    from edgekit.results.record import StoredResult
    from edgekit.results.store import Store

#: what every statement about the past must carry
CAVEAT = "unpaired, drift possible"
_MODEL = "new model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What must be the same for points to be in one row.

    Attributes:
        device: the board, with ``(emulated)`` where it is none.
        lab: whose board; None: this store's own.
        kind: of the model: ``int8``, …; None for a bare file.
        runtime, delegate, num_threads, plan: what ran it, and how; ``delegate`` names the weight cache too.
    """

    device: str
    lab: str | None
    kind: str | None
    runtime: str | None
    delegate: str | None
    num_threads: int
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of level that begins at a point. Informational: nothing was run as pairs.

    Attributes:
        ratio: latency after over before; above 1 is slower.
        p: of the Mann-Whitney test over process medians, corrected for the places tried.
        before, after: process medians a side.
        cause: ``unknown``, or ``new model`` where the change falls on a new file.
        caveat: to be shown with it.
    """

    ratio: float
    p: float
    before: int
    after: int
    cause: str
    caveat: str = CAVEAT


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """One stored measurement in its row.

    Attributes:
        id, created, edgekit, model, model_sha256, verdict: of the stored result.
        series: only points of one series may be joined by a line.
        median_ns, ci95_ns, peak_rss_bytes, size_bytes: its figures; None where it has none.
        process_medians_ns: what tests use; empty where the raw samples are lost or the measurement is invalid.
        breaks: why it must not be joined to the point before it in its series: ``new runtime version: 2.1 → 2.3``.
        change: a change of level that begins here.
        missing: why there are no process medians; empty where there are.
    """

    id: str
    created: str
    edgekit: str
    model: str
    model_sha256: str
    verdict: str | None
    series: Series
    median_ns: int | None
    ci95_ns: tuple[int, int] | None
    peak_rss_bytes: int | None
    size_bytes: int | None
    process_medians_ns: tuple[float, ...]
    breaks: tuple[str, ...]
    change: Change | None
    missing: str = ""


def history(store: Store, model: str, device: str) -> tuple[HistoryPoint, ...]:
    """Everything measured of a model on a board, series after series, oldest first within each.

    Args:
        store: where it is kept.
        model: its name, the beginning of its SHA-256, or that of the trained model which its versions were made from.
        device: the board's name.

    Raises:
        StoreError: the store cannot be read.
    """
    kept = reversed(store.list("measurement", device, limit=None))
    rows = [row for row in kept if _is_of(row, model) and not is_selftest(row.document)]
    series: dict[Series, list[tuple[HistoryPoint, StoredResult]]] = {}
    for row in rows:
        point = point_of(store, row)
        series.setdefault(point.series, []).append((point, row))
    return tuple(point for row in series.values() for point in _marked(row))


def _is_of(row: StoredResult, model: str) -> bool:
    source = str(_of(row.document, "model").get("source_sha256") or "")
    name = row.model.removesuffix(".tflite")
    return name == model.removesuffix(".tflite") or any(
        len(model) >= 4 and sha.startswith(model.lower()) for sha in (row.model_sha256, source)
    )


def point_of(store: Store, row: StoredResult) -> HistoryPoint:
    """A stored measurement as a point that nothing came before."""
    document = row.document
    latency, memory, runtime = (_of(document, name) for name in ("latency", "memory", "runtime"))
    medians: tuple[float, ...] = ()
    missing = ""
    if row.verdict == "invalid":
        missing = "the measurement is invalid"
    else:
        try:
            medians = _process_medians(store, row)
        except StoreError as error:
            missing = error.message
    bounds = latency.get("ci95_ns")
    return HistoryPoint(
        id=row.id,
        created=row.created,
        edgekit=row.edgekit,
        model=row.model,
        model_sha256=row.model_sha256,
        verdict=row.verdict,
        series=Series(
            device=row.device or "",
            lab=row.lab,
            kind=_of(document, "model").get("kind"),
            runtime=runtime.get("name"),
            delegate=_delegate(runtime),
            num_threads=int(document.get("num_threads") or 1),
            plan=str(_of(document, "plan").get("name")),
        ),
        median_ns=latency.get("median_ns"),
        ci95_ns=(bounds[0], bounds[1]) if bounds else None,
        peak_rss_bytes=memory.get("peak_rss_bytes"),
        size_bytes=_of(document, "model").get("size_bytes"),
        process_medians_ns=medians,
        breaks=(),
        change=None,
        missing=missing,
    )


def _delegate(runtime: Mapping[str, Any]) -> str | None:
    """As the runtime names it; packed weights in a file make another row of it."""
    name = runtime.get("delegate")
    return f"{name} with weight cache" if runtime.get("weight_cache") else name


def _process_medians(store: Store, row: StoredResult) -> tuple[float, ...]:
    """Of the raw samples, of which nothing else is needed: decoding them whole takes ten times as long.

    Raises:
        StoreError: they are gone or damaged.
    """
    content = store.packed_samples(row)
    if content is None:
        raise StoreError(f"its raw samples are gone: {row.document.get('samples_file')}")
    value = waiting.unpacked(content, f"the samples of {row.id}")
    try:
        series = [trial["latency_ns"] for trial in value["samples"]["latency"]]
        return tuple(float(statistics.median(one)) for one in series if one)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"its raw samples are none ({type(error).__name__})") from error


def _marked(row: Sequence[tuple[HistoryPoint, StoredResult]]) -> list[HistoryPoint]:
    """A series with its breaks and changes."""
    points = [
        replace(point, breaks=breaks_between(row[place - 1][1], stored) if place else ())
        for place, (point, stored) in enumerate(row)
    ]
    starts = [place for place, point in enumerate(points) if place == 0 or point.breaks] + [len(points)]
    for begin, end in itertools.pairwise(starts):
        usable = [place for place in range(begin, end) if points[place].process_medians_ns]
        for step in steps([points[place].process_medians_ns for place in usable]):
            points[usable[step.at]] = replace(points[usable[step.at]], change=_change(step, "unknown"))
    levels = sorted({*starts, *(place for place, point in enumerate(points) if point.change)})
    for before, begin, end in zip(levels, levels[1:], levels[2:]):
        breaks = points[begin].breaks
        if breaks and all(text.startswith(_MODEL) for text in breaks):
            points[begin] = replace(points[begin], change=_between(points[before:begin], points[begin:end]))
    return points


def _between(before: Sequence[HistoryPoint], after: Sequence[HistoryPoint]) -> Change | None:
    """The change that a new model brought, where everything else stayed the same."""
    sides = [[point.process_medians_ns for point in side if point.process_medians_ns] for side in (before, after)]
    step = step_at([*sides[0], *sides[1]], len(sides[0])) if all(sides) else None
    return None if step is None else _change(step, _MODEL)


def _change(step: Step, cause: str) -> Change:
    return Change(ratio=step.ratio, p=step.p, before=step.before, after=step.after, cause=cause)


def breaks_between(before: StoredResult, after: StoredResult) -> tuple[str, ...]:
    """Why two neighbours of a series must not be joined."""
    found = []
    for what, get in _CONDITIONS:
        old, new = get(before.document), get(after.document)
        if old != new:
            found.append(f"{what}: {old or 'unknown'} → {new or 'unknown'}")
    if before.model_sha256 != after.model_sha256:
        found.append(f"{_MODEL}: {before.model_sha256[:8]} → {after.model_sha256[:8]}")
    return tuple(found)


def _os_build(document: Mapping[str, Any]) -> Any:
    """The build of the board's system; of older results nothing is known, and unknown is no other than unknown."""
    system = _of(document, "system")
    return system.get("os_build") or system.get("kernel")


_CONDITIONS = (
    ("new runtime version", lambda document: _of(document, "runtime").get("version")),
    ("new OS build", _os_build),
    ("other cores", lambda document: document.get("cpus")),
)


def _of(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, Mapping) else {}
