"""How many calibration rows are enough: ranges and accuracy of int8 over the number of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from edgekit.core.events import EventSink, ignore, task
from edgekit.optimize import model_tree
from edgekit.optimize.convert import check_mode
from edgekit.optimize.edge_quantizer import EdgeQuantizer
from edgekit.optimize.passes.activations import Activations
from edgekit.optimize.quantize import TensorflowQuantizer
from edgekit.optimize.selective.engine import INT8_MODES, open_engine
from edgekit.optimize.selective.rows import Figures, SearchRows

COUNTS = (1, 4, 16, 64, 256, 1024)
_SAME_RANGE = 0.01
_SAME_DB = 1.0
_SAME_DROP = 0.1
_WORSE_DB = 6.0
Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """int8 calibrated with so many rows.

    Attributes:
        count: rows.
        missing_mean: part of the range of all rows that these do not reach, mean over the activations.
        missing_max: likewise, of the activation where it is most.
        figures: against the float model.
    """

    count: int
    missing_mean: float
    missing_max: float
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationCurve:
    """Points by the number of rows, and what follows.

    Attributes:
        points: in order; the last one has all rows.
        enough: the fewest rows that are as good as all; None where all of them still matter.
        verdict: in a sentence.
        metric: of the score.
        rows: that it was taken on.
    """

    points: tuple[Point, ...]
    enough: int | None
    verdict: str
    metric: str
    rows: int


def calibration_curve(
    float_model: str,
    mode: str,
    representative: Mapping[str, Any],
    counts: Sequence[int] = COUNTS,
    *,
    search: Mapping[str, Any] | None = None,
    metric: str = "auto",
    quantizer: str | None = None,
    on_event: EventSink = ignore,
) -> CalibrationCurve:
    """Quantizes with the ranges of 1, 4, 16, … of the representative rows, drawn at random, and of all of them.

    Args:
        float_model: a float32 .tflite.
        mode: ``int8`` or ``int8-float-io``.
        representative: a :class:`edgekit.data.spec.DataSpec` as JSON values.
        counts: numbers of rows; those beyond what there is are left out.
        search: rows to compare on, likewise; None: the representative ones.
        metric: see :func:`edgekit.optimize.score.score_tflite`.
        quantizer: see :func:`edgekit.optimize.selective.engine.open_engine`.

    Raises:
        EdgekitError: see :func:`edgekit.optimize.selective.engine.open_engine`.
    """
    wanted = check_mode(mode, INT8_MODES, "mode for a calibration curve")
    work = open_engine(float_model, wanted, "float32", representative, quantizer=quantizer, on_event=on_event)
    chosen = (*sorted({count for count in counts if 0 < count < work.samples}), work.samples)
    with task("calibrate with fewer rows", on_event):
        ranges = _by_count(work, chosen)
        rows = SearchRows(
            search or representative, work.content, metric=metric, apart_from=representative if search else None
        )
        points = tuple(_point(work, rows, count, found, ranges[-1]) for count, found in zip(chosen, ranges))
    enough = _enough(points)
    return CalibrationCurve(
        points=points, enough=enough, verdict=_verdict(points, enough, rows), metric=rows.metric, rows=rows.count
    )


def _by_count(work: TensorflowQuantizer | EdgeQuantizer, counts: Sequence[int]) -> list[dict[str, Range]]:
    """For each count, the ranges over as many rows: one pass, every row is drawn into the counts that it belongs to."""
    model = Activations(work.content, work.source)
    graph = model.model.subgraphs[0]
    places = {
        model_tree.text(tensor.name): index
        for index, tensor in enumerate(graph.tensors)
        if model_tree.dtype(tensor) == "float32" and not len(_data(model.model, tensor))
    }
    known = work.ranges
    order = numpy.random.default_rng(0).permutation(counts[-1])
    found: list[dict[str, Range]] = [{} for _ in counts]
    for number, row in enumerate(work.rows()):
        model.run(row)
        first = int(numpy.searchsorted(counts, order[number], side="right"))
        for name in places.keys() & known.keys():
            values = model.value(places[name])
            if values is not None and values.size:
                low, high = float(values.min()), float(values.max())
                for reached in found[first:]:
                    before = reached.get(name, (low, high))
                    reached[name] = min(before[0], low), max(before[1], high)
    return found


def _data(model: Any, tensor: Any) -> Any:
    held = model.buffers[tensor.buffer].data
    return () if held is None else held


def _point(
    work: TensorflowQuantizer | EdgeQuantizer,
    rows: SearchRows,
    count: int,
    found: Mapping[str, Range],
    full: Mapping[str, Range],
) -> Point:
    missing = [1 - _width(found[name]) / _width(full[name]) for name in full if _width(full[name]) > 0]
    whole = count == work.samples
    return Point(
        count=count,
        missing_mean=0.0 if whole or not missing else sum(missing) / len(missing),
        missing_max=0.0 if whole else max(missing, default=0.0),
        figures=rows.figures((work if whole else work.with_ranges(found)).build()),
    )


def _width(extent: Range) -> float:
    return max(extent[1], 0.0) - min(extent[0], 0.0)


def _enough(points: Sequence[Point]) -> int | None:
    """The fewest rows from which on nothing changes any more."""
    last, found = points[-1], None
    for point in reversed(points[:-1]):
        if point.missing_mean > _SAME_RANGE and not _as_good(point.figures, last.figures):
            break
        found = point.count
    return found


def _as_good(one: Figures, full: Figures) -> bool:
    """Whether the outputs are no worse."""
    if one.drop is None or full.drop is None:
        return False
    return _snr(one) >= _snr(full) - _SAME_DB and max(one.drop, 0.0) <= max(full.drop, 0.0) + _SAME_DROP


def _snr(figures: Figures) -> float:
    return 200.0 if figures.snr_db is None else figures.snr_db


def _verdict(points: Sequence[Point], enough: int | None, rows: SearchRows) -> str:
    last = points[-1]
    total = last.count
    if len(points) == 1:
        return f"there are {total} rows, too few for a curve"
    best = max((point for point in points if point.figures.runs), key=lambda point: _snr(point.figures), default=last)
    if _snr(best.figures) > _snr(last.figures) + _WORSE_DB:
        return (
            f"more rows make it worse: {_lost(best, rows)} are lost with {best.count}, {_lost(last, rows)} with all "
            f'{total}. Rare values widen the ranges: ranges = "percentile" cuts them off'
        )
    if enough is None:
        before = points[-2]
        return (
            f"all {total} rows matter: with {before.count} the ranges are {before.missing_mean:.1%} narrower on "
            "average and the outputs worse; more rows may help"
        )
    at = next(point for point in points if point.count == enough)
    rows_are = "1 row is" if enough == 1 else f"{enough} rows are"
    if at.missing_mean <= _SAME_RANGE:
        return f"{rows_are} enough: beyond that ranges move by less than 1 % on average"
    return (
        f"{rows_are} enough: all {total} widen the ranges by another {at.missing_mean:.1%} on average, and the outputs "
        f"come no closer to float ({_lost(at, rows)} are lost with {enough}, {_lost(last, rows)} with all)"
    )


def _lost(point: Point, rows: SearchRows) -> str:
    return "all" if point.figures.drop is None else f"{max(0.0, point.figures.drop):.2f} {rows.unit}"
