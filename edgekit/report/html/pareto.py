"""Latency against score on one board, size as area: the Pareto plot."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.core import units
from edgekit.report import words
from edgekit.report.html import plots
from edgekit.report.html.chart import Chart, Table, label, sentence
from edgekit.report.html.plots import Sheet
from edgekit.report.pareto import Panel, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LARGEST = 700.0  # area of the largest model's mark, in square pixels
_NAMED = 3  # a phone has room for the names of so many points
_MARKS = {"unstable": " ~", "invalid": " ✕"}
_WIDE_RANGE = 8  # from this ratio on the latencies need a logarithmic axis


def pareto(panel: Panel, name: str) -> Chart:
    """The chart of one board.

    Args:
        panel: its points.
        name: of the chart.
    """
    metric = panel.metric
    higher = words.is_fraction(metric)
    good = "upper left" if higher else "lower left"
    scale, unit = scaled([point.latency_ns for point in panel.points])
    factor = 100.0 if higher else 1.0

    def draw(sheet: Sheet) -> None:
        (axes,) = sheet.rows([300 if not sheet.narrow else 260])
        for point in panel.points:
            _mark(axes, point, scale, factor, _area(point, panel.points))
        front = [point for point in panel.points if point.front]
        if len(front) > 1:
            axes.plot(
                [point.latency_ns * scale for point in front],
                [point.score * factor for point in front],
                color=plots.GREEN,
                linewidth=1.2,
                linestyle=(0, (4, 3)),
                drawstyle="steps-post",  # between two models there is none: the better score costs the whole step
                zorder=1,
            )
        latencies = [point.latency_ns * scale for point in panel.points]
        if max(latencies) / min(latencies) > _WIDE_RANGE:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.minorticks_off()
        axes.margins(x=0.12, y=0.22)
        ends = [*latencies, *(bound * scale for point in panel.points for bound in point.ci95_ns or ())]
        if max(ends) < min(ends) * 1.2:  # models that are alike shall look alike
            middle = (max(ends) + min(ends)) / 2
            axes.set_xlim(middle * 0.85, middle * 1.15)
        axes.set_xlabel(f"latency, {unit} (left is quicker)")
        axes.set_ylabel(f"{metric}, %" if higher else f"{metric} (lower is better)")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
        _names(axes, panel.points, scale, factor, numbers=sheet.narrow and len(panel.points) > _NAMED)

    return Chart(
        name=name,
        title=f"Latency against {metric} on {panel.board}",
        takeaway=_takeaway(panel),
        description=f"{len(panel.points)} models; latency from left to right, {metric} upwards, area is the size of "
        f"the .tflite; {good} is best. Bars are 95 % intervals. The same figures are in the table below.",
        draw=draw,
        table=_table(panel),
        key=_key(panel),
        numbered=tuple(point.name + _MARKS.get(point.verdict, "") for point in panel.points)
        if len(panel.points) > _NAMED
        else (),
        notes=tuple(f"{model}: not in the plot, it has no score or no latency" for model in panel.lacking),
    )


def scaled(latencies_ns: Sequence[float]) -> tuple[float, str]:
    """The factor from nanoseconds to the unit in which these latencies read best, and that unit."""
    middle = sorted(latencies_ns)[len(latencies_ns) // 2]
    return next(
        (factor, unit)
        for least, factor, unit in ((1e9, 1e-9, "s"), (1e6, 1e-6, "ms"), (0, 1e-3, "µs"))
        if middle >= least
    )


def _area(point: Point, points: Sequence[Point]) -> float:
    largest = max((other.size_bytes or 0 for other in points), default=0)
    return max(_LARGEST * point.size_bytes / largest, 24.0) if point.size_bytes and largest else 24.0


def _mark(axes: Axes, point: Point, scale: float, factor: float, area: float) -> None:
    colour = plots.GREEN if point.front else plots.GREY if point.verdict == "invalid" else plots.BLUE
    x, y = point.latency_ns * scale, point.score * factor
    bars: dict[str, Any] = {"color": colour, "linewidth": 1.2, "alpha": 0.6, "zorder": 2}
    if point.ci95_ns:
        axes.plot([bound * scale for bound in point.ci95_ns], [y, y], **bars)
    if point.score_ci95:
        axes.plot([x, x], [bound * factor for bound in point.score_ci95], **bars)
    valid = point.verdict == "valid"
    axes.scatter([x], [y], s=area, c=colour if valid else "none", alpha=0.3 if valid else 1.0, linewidths=0, zorder=3)
    edge = "-" if valid else (0, (2.5, 2))
    axes.scatter([x], [y], s=area, facecolors="none", edgecolors=colour, linewidths=1.6, linestyle=edge, zorder=4)
    axes.scatter([x], [y], s=7, c=colour, linewidths=0, zorder=5)


def _names(axes: Axes, points: Sequence[Point], scale: float, factor: float, *, numbers: bool) -> None:
    """Names, or numbers, beside their points, each where it covers no other."""
    plots.layout(axes.get_figure(root=True))  # type: ignore[arg-type]  # it decides where the pixels are
    frame = axes.get_window_extent()
    taken = [_square(*_pixel(axes, point, scale, factor), _radius(point, points)) for point in points]
    for number, point in enumerate(points, 1):
        text = str(number) if numbers else label(point.name, 34) + _MARKS.get(point.verdict, "")
        (x, y), width = _pixel(axes, point, scale, factor), 6.9 * len(text)
        away = _radius(point, points) + 4
        for shift, side in itertools.product((0, 16, -16, 32, -32, 48, -48, 64, -64, 80, -80), (1, -1)):
            left = x + away if side > 0 else x - away - width
            box = (left, y - 7 + shift, left + width, y + 7 + shift)
            inside = box[0] > frame.x0 and box[2] < frame.x1 and box[1] > frame.y0 and box[3] < frame.y1
            if inside and not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        axes.annotate(
            text,
            (point.latency_ns * scale, point.score * factor),
            xytext=(away * side, shift),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=10.5,
            zorder=6,
            arrowprops={"arrowstyle": "-", "color": plots.GREY, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 3}
            if shift
            else None,
        )


def _pixel(axes: Axes, point: Point, scale: float, factor: float) -> tuple[float, float]:
    x, y = axes.transData.transform((point.latency_ns * scale, point.score * factor))
    return float(x), float(y)


def _radius(point: Point, points: Sequence[Point]) -> float:
    return math.sqrt(_area(point, points) / math.pi)


def _square(x: float, y: float, half: float) -> tuple[float, float, float, float]:
    return x - half, y - half, x + half, y + half


def _overlap(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _takeaway(panel: Panel) -> str:
    if panel.emulated:
        return (
            f"{panel.board} is an emulated processor: its times say nothing about a real board, not even which of two "
            "models is faster. No front is marked."
        )
    front = [point for point in panel.points if point.front]
    if not front:
        return "No measurement on this board may be used: all of them are invalid."
    told = sentence([f"{point.name} ({_figures(point, panel.metric)})" for point in front])
    if len(panel.points) == 1:
        lead = "The only model with a latency and a score here"
    else:
        lead = (
            "On the front, beaten by no other model in both" if len(front) > 1 else "Alone on the front, best in both"
        )
    unsure = [point.name for point in front if point.verdict == "unstable"]
    doubt = f" The place of {sentence(unsure)} is uncertain: the measurement is unstable." if unsure else ""
    touching = [
        two.name
        for one, two in itertools.pairwise(panel.points)
        if one.ci95_ns and two.ci95_ns and one.ci95_ns[1] >= two.ci95_ns[0]
    ]
    close = " Where intervals touch, the order may be chance; `edgekit compare` decides." if touching else ""
    return f"{lead}: {told}.{doubt}{close}"


def _figures(point: Point, metric: str) -> str:
    return f"{units.duration(point.latency_ns)}, {words.score(point.score, metric)}, {units.size(point.size_bytes)}"


def _key(panel: Panel) -> tuple[tuple[str, str], ...]:
    found = [("dot green", "on the front")] if any(point.front for point in panel.points) else []
    if any(not point.front and point.verdict != "invalid" for point in panel.points):
        found.append(("dot blue", "measured"))
    if any(point.verdict != "valid" for point in panel.points):
        found.append(("dot hollow", "hollow: unstable (~) or invalid (✕)"))
    return (*found, ("area", "area: size of the .tflite"), ("bar", "bars: 95 % intervals"))


def _table(panel: Panel) -> Table:
    metric = panel.metric
    rows = tuple(
        (
            point.name,
            units.duration(point.latency_ns),
            words.interval(point.ci95_ns),
            words.score(point.score, metric),
            _score_interval(point, metric),
            units.size(point.size_bytes),
            point.verdict,
            "yes" if point.front else "no",
        )
        for point in panel.points
    )
    headers = ("model", "latency", "95 % interval", metric, "95 % interval", "size", "verdict", "on the front")
    return Table(caption=f"Latency and {metric} on {panel.board}", headers=headers, rows=rows, right=(1, 2, 3, 4, 5))


def _score_interval(point: Point, metric: str) -> str:
    return " to ".join(words.score(bound, metric) for bound in point.score_ci95) if point.score_ci95 else words.NOTHING
