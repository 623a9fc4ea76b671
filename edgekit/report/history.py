"""The history of a model on a board, for a terminal: a table for each series, changes and breaks marked."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.core import units
from edgekit.report import words
from edgekit.report.clean import clean
from edgekit.report.terminal import rows_table
from edgekit.results.history import CAVEAT, HistoryPoint, Series

if TYPE_CHECKING:
    from rich.console import RenderableType

_HEADERS = ("created", "id", "model", "latency ±95 %", "memory", "verdict", "")


def history_tables(points: Sequence[HistoryPoint]) -> list[RenderableType]:
    """A table for each series, with what its marks mean below it."""
    tables: list[RenderableType] = []
    for series, row in itertools.groupby(points, key=lambda point: point.series):
        listed = list(row)
        tables.append(rows_table(_HEADERS, [_row(point) for point in listed], right=(3, 4), title=_title(series)))
        tables += [f"{point.id[:8]}: {'; '.join(marks)}" for point in listed if (marks := _marks(point))]
    if any(point.change for point in points):
        tables.append(f"▲ slower, ▼ faster: {CAVEAT}; `edgekit compare` tells for certain")
    return tables


def change_text(point: HistoryPoint) -> str:
    """``8.2 % slower (p 0.0001, 10 → 10 processes)``; empty where nothing changed."""
    change = point.change
    if change is None:
        return ""
    word = "slower" if change.ratio > 1 else "faster"
    p = "p < 0.0001" if change.p < 0.0001 else f"p {change.p:.4f}"
    return f"{abs(change.ratio - 1) * 100:.1f} % {word} than before ({p}, {change.before} → {change.after} processes)"


def _row(point: HistoryPoint) -> tuple[str, ...]:
    change = point.change
    marks = [f"{'▲' if change.ratio > 1 else '▼'} {abs(change.ratio - 1) * 100:.1f} %"] if change else []
    return (
        point.created[:16].replace("T", " "),
        point.id[:8],
        point.model_sha256[:8],
        words.margin({"median_ns": point.median_ns, "ci95_ns": point.ci95_ns}),
        units.size(point.peak_rss_bytes),
        point.verdict or words.NOTHING,
        " ".join([*marks, *(text.partition(":")[0] for text in point.breaks)]),
    )


def _marks(point: HistoryPoint) -> list[str]:
    missing = f"not tested: {point.missing}" if point.missing else ""
    return [mark for mark in (change_text(point), *point.breaks, missing) if mark]


def _title(series: Series) -> str:
    where = f"{series.device} @ {series.lab}" if series.lab else series.device
    what = (series.kind, series.runtime, series.delegate, words.count(series.num_threads, "thread"), series.plan)
    return clean(f"{where}: {', '.join(str(part) for part in what if part)}")
