"""What a chart is: how it is drawn, what it says in words, and the same figures as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.report.clean import clean

if TYPE_CHECKING:
    from edgekit.report.html.plots import Sheet


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Figures for those who do not see the drawing, or want the numbers.

    Attributes:
        caption: what the rows are.
        headers: one per column; the first column names the row.
        rows: texts, as many in each as there are headers.
        right: the columns of figures.
        sort: for each row the values to sort by; empty: the table cannot be sorted.
    """

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()
    sort: tuple[tuple[float | str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One figure of the page.

    Attributes:
        name: unique on the page; letters, digits and hyphens.
        title: what is shown, for the drawing's ``<title>``.
        takeaway: what it says, as sentences: the caption.
        description: how it is drawn: the drawing's ``<desc>``.
        draw: puts it on a sheet, which says how wide it is.
        table: the same figures.
        key: what colours and shapes mean: (class of the key's mark, text).
        numbered: names of points that a narrow drawing only numbers, from 1.
        notes: what is missing, and why.
    """

    name: str
    title: str
    takeaway: str
    description: str
    draw: Callable[[Sheet], None]
    table: Table
    key: tuple[tuple[str, str], ...] = ()
    numbered: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def label(text: object, limit: int = 28) -> str:
    """A name that fits into a drawing: one line, harmless, its middle left out where it is long."""
    shown = clean(text)
    if len(shown) <= limit:
        return shown
    tail = limit // 3
    return f"{shown[: limit - tail - 1]}…{shown[-tail:]}"


def percent(value: float) -> str:
    """``0.0123`` → ``1.2 %``."""
    return f"{value * 100:.1f} %"


def sentence(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
