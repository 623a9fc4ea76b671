"""One model on one board over time, with what breaks the row and where its level changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from edgekit.core import units
from edgekit.report import words
from edgekit.report.html import plots
from edgekit.report.html.chart import Chart, Table, percent
from edgekit.report.html.pareto import scaled
from edgekit.report.html.plots import Sheet
from edgekit.results.history import HistoryPoint

_COLOURS = {"valid": plots.BLUE, "unstable": plots.ORANGE}


def over_time(points: Sequence[HistoryPoint], name: str) -> Chart | None:
    """The chart of one row; None where fewer than two points have a latency.

    Args:
        points: of one series, oldest first.
        name: of the chart.
    """
    known = [point for point in points if point.median_ns]
    if len(known) < 2:
        return None
    series = points[0].series
    model = words.model(points[-1].model)
    scale, unit = scaled([point.median_ns or 0 for point in known])

    def draw(sheet: Sheet) -> None:
        (axes,) = sheet.rows([170])
        for place, point in enumerate(known):
            colour = _COLOURS.get(str(point.verdict), plots.GREY)
            middle = (point.median_ns or 0) * scale
            if point.ci95_ns:
                axes.plot([place, place], [bound * scale for bound in point.ci95_ns], color=colour, linewidth=1.6)
            mark = {"valid": "o", "unstable": "D"}.get(str(point.verdict), "x")
            axes.scatter([place], [middle], s=30, c=colour, marker=mark, linewidths=1.2, zorder=3)
            if place and not point.breaks:
                before = (known[place - 1].median_ns or 0) * scale
                axes.plot([place - 1, place], [before, middle], color=plots.QUIET, linewidth=0.8, zorder=1)
            elif place:
                axes.axvline(place - 0.5, color=plots.PURPLE, linewidth=1, linestyle=(0, (2, 2)))
            if point.change:
                axes.annotate(
                    f"{point.change.ratio - 1:+.1%}".replace("-", "−").replace("%", " %"),
                    (place, middle),
                    xytext=(0, 12),
                    textcoords="offset points",
                    ha="center",
                    fontsize=10,
                )
        every = max(1, len(known) // (4 if sheet.narrow else 9))
        axes.set_xticks(range(0, len(known), every), [_when(point, known) for point in known[::every]])
        axes.set_xlim(-0.5, len(known) - 0.5)
        axes.margins(y=0.25)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel(f"latency, {unit}")

    return Chart(
        name=name,
        title=f"{model} on {series.device} over time",
        takeaway=_takeaway(known),
        description="One mark for each kept measurement, oldest on the left, evenly spaced; bars are 95 % intervals. "
        "Only neighbours that were measured under the same circumstances are joined by a line.",
        draw=draw,
        table=_table(known, model),
        key=_key(known),
        notes=tuple(f"{point.id[:8]}: {point.missing}" for point in known if point.missing),
    )


def _takeaway(points: Sequence[HistoryPoint]) -> str:
    first, last = points[0], points[-1]
    series = first.series
    runs = f"{words.count(len(points), 'measurement')} from {first.created[:10]} to {last.created[:10]}"
    told = (
        f"{runs}; {series.runtime}, {series.delegate}, {words.count(series.num_threads, 'thread')}, {series.plan} plan."
    )
    for point in points:
        told += "".join(f" {point.created[:10]}: {reason}." for reason in point.breaks)
        if point.change:
            change = f"{percent(abs(point.change.ratio - 1))} {'slower' if point.change.ratio > 1 else 'quicker'}"
            told += f" {point.created[:10]}: {change} from here on, cause {point.change.cause} ({point.change.caveat})."
    if not any(point.change or point.breaks for point in points):
        told += " No change of level was found."
    return told


def _key(points: Sequence[HistoryPoint]) -> tuple[tuple[str, str], ...]:
    verdicts = {point.verdict for point in points}
    found = [("dot blue", "valid")] if "valid" in verdicts else []
    found += [("diamond orange", "unstable")] if "unstable" in verdicts else []
    found += [("cross grey", "invalid")] if "invalid" in verdicts else []
    if any(point.breaks for point in points):
        found.append(("rule purple", "something else changed: not comparable across"))
    return (*found, ("bar", "95 % interval"))


def _table(points: Sequence[HistoryPoint], model: str) -> Table:
    rows = tuple(
        (
            point.created[:16].replace("T", " "),
            units.duration(point.median_ns),
            words.interval(point.ci95_ns),
            str(point.verdict),
            point.model_sha256[:8],
            point.edgekit,
            "; ".join((*point.breaks, *_changed(point))) or words.NOTHING,
            point.id[:8],
        )
        for point in points
    )
    headers = ("when (UTC)", "latency", "95 % interval", "verdict", "SHA-256", "edgekit", "what changed", "result")
    series = points[0].series
    threads = words.count(series.num_threads, "thread")
    caption = f"History of {model} on {series.device}, {threads}, {series.runtime}, {series.plan} plan"
    return Table(caption=caption, headers=headers, rows=rows, right=(1, 2))


def _changed(point: HistoryPoint) -> tuple[str, ...]:
    if point.change is None:
        return ()
    return (f"latency ×{point.change.ratio:.3f}, p {point.change.p:.2g}, {point.change.caveat}",)


def _when(point: HistoryPoint, points: Sequence[HistoryPoint]) -> str:
    """The day; the time where all are of one day."""
    one_day = len({other.created[:10] for other in points}) == 1
    moment = datetime.fromisoformat(point.created)
    return moment.strftime("%H:%M" if one_day else "%d %b\n%Y")
