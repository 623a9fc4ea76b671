"""Comparisons, gates and self-tests: ratios with their intervals, and what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.report.collected import Collected
from edgekit.report.html.chart import Chart, Table


def parts(collected: Collected) -> list[tuple[str, str, Sequence[Chart], tuple[Table, ...]]]:
    """Name, title, charts and tables of each kind that there is."""
    return []
