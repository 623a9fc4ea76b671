"""The door to matplotlib: a chart drawn twice, for wide pages and for phones, as SVG in the page's own colours."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.report.clean import clean
from edgekit.report.html import svg
from edgekit.report.html.chart import Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: width in CSS pixels: a column of text, and a phone of 360 less its margins
WIDTHS = {"wide": 720, "narrow": 328}

#: What the drawings are painted with; the style sheet says what the names mean in light, dark and print.
INK, QUIET, GRID, PAPER = "#010101", "#010102", "#010103", "#010104"
BLUE, ORANGE, GREEN, PURPLE, GREY = "#010105", "#010106", "#010107", "#010108", "#010109"
BAND = "#01010a"
_VARIABLES = {
    INK: "--ink",
    QUIET: "--quiet",
    GRID: "--grid",
    PAPER: "--paper",
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    PURPLE: "--purple",
    GREY: "--grey",
    BAND: "--band",
}
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud, and follows the page's font
    "svg.hashsalt": "edgekit",  # the same figures give the same page
    "text.parse_math": False,  # a $ in a name is a $
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelsize": 10.5,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.dpi": 72,  # an SVG point is then a CSS pixel
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Paper to draw on.

    Attributes:
        width: in CSS pixels.
        narrow: for a phone: fewer columns, fewer words.
    """

    figure: Figure
    width: int
    narrow: bool

    def rows(self, heights: Sequence[float], *, share_x: bool = True) -> list[Axes]:
        """Panels one below the other, of these heights in pixels."""
        self._set_height(sum(heights) + 26 * len(heights) + 20)
        found = self.figure.subplots(len(heights), 1, sharex=share_x, height_ratios=list(heights), squeeze=False)
        return [axes for row in found for axes in row]

    def panels(self, count: int, height: float) -> list[Axes]:
        """Panels of the same rows, two side by side, or on a phone one below the other."""
        columns = 1 if self.narrow else 2
        rows = -(-count // columns)
        self._set_height((height + 44) * rows)
        found = [axes for row in self.figure.subplots(rows, columns, squeeze=False) for axes in row]
        for spare in found[count:]:
            spare.remove()
        return found[:count]

    def _set_height(self, height: float) -> None:
        self.figure.set_size_inches(self.width / 72, height / 72)


def drawn(chart: Chart) -> tuple[str, ...]:
    """The chart as SVG elements, one for each width; text in it is harmless whatever it was made from."""
    return tuple(_drawn(chart, kind) for kind in WIDTHS)


def _drawn(chart: Chart, kind: str) -> str:
    with _quiet():
        from matplotlib import rc_context, rcdefaults
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        with rc_context():
            rcdefaults()  # a style of the user's own would draw outside our colours
            _apply(_STYLE)
            figure = Figure(layout="constrained")
            FigureCanvasSVG(figure)
            chart.draw(Sheet(figure=figure, width=WIDTHS[kind], narrow=kind == "narrow"))
            layout(figure)
            out = io.StringIO()
            figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return svg.for_page(
        _harmless(out.getvalue()),
        name=f"{chart.name}-{kind}",
        kind=kind,
        title=clean(chart.title),
        description=clean(chart.description),
        colours=_VARIABLES,
    )


def layout(figure: Figure) -> None:
    """Gives every panel its place, once: matplotlib would draw everything again to find out whether it still fits."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def _harmless(source: str) -> str:
    """A drawing whose text cannot hide, reorder or break anything, whatever it was made from."""
    lines = source.split("\n")
    return source if all(map(str.isprintable, lines)) else "\n".join(map(clean, lines))


def _apply(style: Any) -> None:
    from matplotlib import rcParams

    rcParams.update(style)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what matplotlib says of font caches and missing glyphs out of the user's terminal: the browser has them."""
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        log.setLevel(level)
