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
    """A table for each series, and what a change in it means."""
    tables: list[RenderableType] = [
        rows_table(_HEADERS, [_row(point) for point in row], right=(3, 4), title=_title(series))
        for series, row in itertools.groupby(points, key=lambda point: point.series)
    ]
    if any(point.change for point in points):
        tables.append(f"▲ slower, ▼ faster: {CAVEAT}; `edgekit compare` tells for certain")
    return tables


def change_text(point: HistoryPoint) -> str:
    """``▲ 8.2 % slower (p 0.0001, 10 → 10 processes)``; empty where nothing changed."""
    change = point.change
    if change is None:
        return ""
    arrow, word = ("▲", "slower") if change.ratio > 1 else ("▼", "faster")
    sides = f"{change.before} → {change.after} processes"
    return f"{arrow} {abs(change.ratio - 1) * 100:.1f} % {word} (p {max(change.p, 0.0001):.4f}, {sides})"


def _row(point: HistoryPoint) -> tuple[str, ...]:
    marks = [change_text(point), *point.breaks, f"no samples: {point.missing}" if point.missing else ""]
    return (
        point.created[:16].replace("T", " "),
        point.id[:8],
        f"{words.model(point.model)} {point.model_sha256[:8]}",
        words.margin({"median_ns": point.median_ns, "ci95_ns": point.ci95_ns}),
        units.size(point.peak_rss_bytes),
        point.verdict or words.NOTHING,
        "; ".join(mark for mark in marks if mark),
    )


def _title(series: Series) -> str:
    where = f"{series.device} @ {series.lab}" if series.lab else series.device
    what = (series.kind, series.runtime, series.delegate, words.count(series.num_threads, "thread"), series.plan)
    return clean(f"{where}: {', '.join(str(part) for part in what if part)}")
