"""Time per op of a profiled model."""

from __future__ import annotations

from edgekit.report.html.chart import Chart
from edgekit.results.record import StoredResult


def ops(result: StoredResult, name: str) -> Chart | None:
    """The chart of one profile."""
    return None
