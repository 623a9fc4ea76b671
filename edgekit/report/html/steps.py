"""What each step of a recipe bought: a waterfall of size, download, latency where it was measured, and score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.core import units
from edgekit.report import words
from edgekit.report.html import plots
from edgekit.report.html.chart import Chart, Table, label
from edgekit.report.html.pareto import scaled
from edgekit.report.html.plots import Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Step = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A figure that steps are to bring down.

    Attributes:
        title: over its panel, with the unit.
        values: after each step, in that unit; None where it is not known.
        show: a value of it for people.
    """

    title: str
    values: tuple[float | None, ...]
    show: Callable[[float], str]


def waterfall(manifest: Mapping[str, Any], name: str) -> Chart | None:
    """The chart of one artifact; None where there are fewer than two steps.

    Args:
        manifest: of the artifact, in JSON values.
        name: of the chart.
    """
    steps: Sequence[_Step] = manifest.get("steps") or ()
    if len(steps) < 2:
        return None
    metric = (manifest.get("score") or {}).get("metric")
    costs = _costs(steps)
    scored = any(step.get("score") is not None for step in steps)

    def draw(sheet: Sheet) -> None:
        panels = sheet.panels(len(costs) + scored, 30 * len(steps) + 24)
        for axes, cost in zip(panels, costs):
            _fall(axes, cost)
        if scored:
            _scores(panels[-1], steps, metric)
        for place, axes in enumerate(panels):
            names = [label(step["name"], 18) for step in steps]
            left = sheet.narrow or place % 2 == 0
            axes.set_yticks(range(len(steps)), names if left else [""] * len(steps))
            axes.set_ylim(len(steps) - 0.45, -0.55)
            axes.tick_params(axis="y", length=0, labelcolor=plots.INK)
            axes.grid(visible=False, axis="y")
            axes.locator_params(axis="x", nbins=4)

    return Chart(
        name=name,
        title=f"What each step bought: {words.model(manifest['name'])}",
        takeaway=_takeaway(manifest, steps, metric),
        description="A waterfall: the first bar is the float model, each further bar what a step took away or added, "
        "the label what was left after it. Scores are dots with their 95 % intervals.",
        draw=draw,
        table=_table(manifest, steps, metric),
        key=(
            ("block blue", "left after the first step"),
            ("block green", "taken away"),
            ("block orange", "added"),
            *((("dot blue", "score, with its 95 % interval"),) if scored else ()),
        ),
        notes=_notes(steps),
    )


def _costs(steps: Sequence[_Step]) -> tuple[Cost, ...]:
    def kilobytes(key: str, title: str) -> Cost:
        return Cost(title=title, values=tuple(step[key] / 1e3 for step in steps), show=lambda kb: units.size(kb * 1e3))

    found = [kilobytes("size_bytes", "size, kB"), kilobytes("gzip_bytes", "compressed, kB")]
    latencies = [(step.get("measured") or {}).get("latency_ns") for step in steps]
    if known := [latency for latency in latencies if latency]:
        factor, unit = scaled(known)
        values = tuple(latency * factor if latency else None for latency in latencies)
        found.append(Cost(title=f"latency, {unit}", values=values, show=lambda value: units.duration(value / factor)))
    return tuple(found)


def _fall(axes: Axes, cost: Cost) -> None:
    before: float | None = None
    top = max(value for value in cost.values if value is not None)
    for row, value in enumerate(cost.values):
        if value is None:
            axes.annotate(
                "not measured", (0, row), xytext=(4, 0), textcoords="offset points", va="center", color=plots.QUIET
            )
            continue
        left, width = (0.0, value) if before is None else (min(before, value), abs(before - value))
        colour = plots.BLUE if before is None else plots.GREEN if value <= before else plots.ORANGE
        axes.barh(row, width, left=left, height=0.56, color=colour, linewidth=0)
        if before is not None:
            axes.plot([before, before], [row - 0.72, row + 0.28], color=plots.QUIET, linewidth=0.8)
            if width < top * 0.004:
                axes.plot([value, value], [row - 0.28, row + 0.28], color=plots.QUIET, linewidth=1.6)
        after = "" if before is None or not before else f" ({value / before - 1:+.0%})"
        axes.annotate(
            cost.show(value) + _signed(after),
            (max(value, before or 0), row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
        )
        before = value
    axes.set_xlim(0, top * 1.6)
    axes.set_title(cost.title, fontsize=10.5)


def _signed(change: str) -> str:
    """With a real minus, and no sign of nothing."""
    return change.replace("+0%", "0%").replace("-0%", "0%").replace("-", "−").replace("%", " %")


def _scores(axes: Axes, steps: Sequence[_Step], metric: str | None) -> None:
    factor = 100.0 if words.is_fraction(metric) else 1.0
    for row, step in enumerate(steps):
        if step.get("score") is None:
            axes.annotate("not scored", (0.02, row), xycoords=("axes fraction", "data"), va="center", color=plots.QUIET)
            continue
        value = step["score"] * factor
        if step.get("score_ci95"):
            axes.plot([bound * factor for bound in step["score_ci95"]], [row, row], color=plots.BLUE, linewidth=1.6)
        axes.scatter([value], [row], s=34, c=plots.BLUE, linewidths=0, zorder=3)
        axes.annotate(
            words.score(step["score"], metric),
            (value, row),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=10,
            color=plots.INK,
        )
    axes.margins(x=0.3)
    axes.set_title(f"{metric or 'score'}{', %' if factor == 100 else ''}", fontsize=10.5)


def _takeaway(manifest: Mapping[str, Any], steps: Sequence[_Step], metric: str | None) -> str:
    first, last = steps[0], steps[-1]
    size = words.change(first["size_bytes"], last["size_bytes"], "smaller", "larger")
    gzip = words.change(first["gzip_bytes"], last["gzip_bytes"], "smaller", "larger")
    told = f"From {units.size(first['size_bytes'])} to {units.size(last['size_bytes'])} ({size}), compressed {gzip}"
    score = manifest.get("score") or {}
    if score.get("final") is None:
        return f"{told}; not scored: there were no evaluation rows."
    told += (
        f"; {metric} {words.score(score['final'], metric)}, {words.drop(score['drop'], metric)} against the float model"
    )
    bounds = score.get("drop_ci95")
    if bounds and bounds[0] <= 0 <= bounds[1]:
        told += ", which may be chance"
    return f"{told} ({score['count']} evaluation rows)."


def _table(manifest: Mapping[str, Any], steps: Sequence[_Step], metric: str | None) -> Table:
    measured = any(step.get("measured") for step in steps)
    rows = [
        (
            str(step["name"]),
            units.size(step["size_bytes"]),
            units.size(step["gzip_bytes"]),
            units.count(step.get("macs")),
            words.score(step.get("score"), metric),
            words.drop(step.get("drop"), metric),
            *((_measured(step.get("measured")),) if measured else ()),
        )
        for step in steps
    ]
    headers = ("step", "size", "compressed", "MACs", metric or "score", "change", *(("latency",) if measured else ()))
    caption = f"Steps of {words.model(manifest['name'])}"
    return Table(caption=caption, headers=headers, rows=tuple(rows), right=(1, 2, 3, 4, 5))


def _measured(measured: Mapping[str, Any] | None) -> str:
    """A latency with all that it depends on."""
    if not measured:
        return words.NOTHING
    from edgekit.measure.emulated import called

    return ", ".join(
        (
            f"{units.duration(measured['latency_ns'])} ({words.interval(measured['ci95_ns'])})",
            called(measured["device"], bool(measured.get("emulated"))),
            str(measured["runtime"]),
            words.count(measured["num_threads"], "thread"),
            words.count(measured["processes"], "process"),
            measured["verdict"],
        )
    )


def _notes(steps: Sequence[_Step]) -> tuple[str, ...]:
    found = [f"{step['name']}: {note}" for step in steps for note in step.get("notes") or ()]
    measured = [step["measured"] for step in steps if step.get("measured")]
    if measured:
        found.append(
            f"Latency after each step: {_measured(measured[-1])} in the end; indicative, not measured in pairs."
        )
    return tuple(found)
