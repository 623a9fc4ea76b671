"""Every process of a measurement, and below it what the board's sensors said meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.core import units
from edgekit.measure import statistics
from edgekit.measure.conditions import throttling, unknown_sensors
from edgekit.measure.samples import Samples
from edgekit.report import words
from edgekit.report.collected import Held
from edgekit.report.html import plots, sensors
from edgekit.report.html.chart import Chart, Table, percent, sentence
from edgekit.report.html.pareto import scaled
from edgekit.report.html.plots import Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from edgekit.runner.protocol import Trial

_BINS = 24
_SHOWN = (1, 95)  # percentiles: a long tail would leave the shapes flat; the table has the 99th
_TALL = 2.5  # so many times the usual reach of a process is drawn
_FEW = 12  # with fewer samples each is a dot


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The place of one process on the axis, in the order in which they ran.

    Attributes:
        name: ``3``; of a repeated one ``3 again``.
        reason: why it does not count; empty where it does.
        trial: None: it did not get that far.
    """

    name: str
    reason: str
    trial: Trial | None


def slots(samples: Samples) -> tuple[Slot, ...]:
    """All timed processes; those that were thrown away stand before the one that took their place."""
    found: list[Slot] = []
    thrown = [one for one in samples.repeated if one.mode == "latency"]
    for index, trial in enumerate(samples.latency):
        found += [
            Slot(name=f"{index + 1}*", reason=one.reason, trial=one.trial) for one in thrown if one.index == index
        ]
        found.append(Slot(name=str(index + 1), reason="", trial=trial))
    left = [one for one in thrown if one.index >= len(samples.latency)]
    return (*found, *(Slot(name=f"{one.index + 1}*", reason=one.reason, trial=one.trial) for one in left))


def processes(held: Held, name: str) -> Chart | None:
    """The chart of one measurement; None where there is nothing to draw.

    Args:
        held: a kept measurement.
        name: of the chart.
    """
    if held.samples is None:
        return None
    places = slots(held.samples)
    medians = [statistics.median_of(place.trial.latency_ns) for place in places if place.trial]
    if not [median for median in medians if median is not None]:
        return None
    scale, unit = scaled([median for median in medians if median is not None])
    latency = held.document["latency"]
    told = sensors.told(places)

    def draw(sheet: Sheet) -> None:
        first, *others = sheet.rows([190, *(62 for _ in told)])
        if latency["ci95_ns"]:
            low, high = (bound * scale for bound in latency["ci95_ns"])
            first.axhspan(low, high, color=plots.BAND, linewidth=0, zorder=0)
        if latency["median_ns"]:
            first.axhline(latency["median_ns"] * scale, color=plots.BLUE, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for place, slot in enumerate(places):
            _strip(first, place, slot, scale)
        _leave_long_tails(first, places, scale)
        first.set_ylabel(f"latency, {unit}")
        for axes, sensor in zip(others, told):
            sensor.draw(axes, places)
            axes.set_ylabel(sensor.unit)
            axes.set_title(sensor.title, fontsize=10.5, pad=3)
        last = [first, *others][-1]
        every = max(1, len(places) // (8 if sheet.narrow else 20))
        last.set_xticks(range(0, len(places), every), [place.name for place in places[::every]])
        last.set_xlim(-0.6, len(places) - 0.4)
        last.set_xlabel("process, in the order they ran")
        for axes in (first, *others):
            axes.grid(visible=False, axis="x")

    return Chart(
        name=name,
        title=f"Processes of {held.model} on {held.board}",
        takeaway=_takeaway(held, places),
        description="One shape for each fresh process: where its single inferences lie (first to 95th percentile), the "
        "dot is its median. The dashed line is the result, the band its 95 % interval. "
        + (
            f"Below: {sentence([sensor.title for sensor in told])}."
            if told
            else "No sensor of this board tells anything."
        ),
        draw=draw,
        table=_table(held, places),
        key=_key(places, told),
        notes=(*_notes(held.samples), *_tails(places)),
    )


def _strip(axes: Axes, place: int, slot: Slot, scale: float) -> None:
    import numpy

    colour = plots.GREY if slot.reason else plots.BLUE
    if slot.trial is None or not slot.trial.latency_ns:
        axes.annotate("✕", (place, 0.04), xycoords=("data", "axes fraction"), ha="center", color=plots.GREY)
        return
    values = numpy.asarray(slot.trial.latency_ns, dtype=float) * scale
    if len(values) < _FEW:
        axes.scatter([place] * len(values), values, s=9, c=colour, alpha=0.5, linewidths=0)
    else:
        low, high = numpy.percentile(values, _SHOWN)
        inner = values[(values >= low) & (values <= high)]
        counts, edges = numpy.histogram(inner, bins=max(6, min(_BINS, round(len(inner) ** 0.5))))
        widths = numpy.append(counts, 0) / max(counts.max(), 1) * 0.42
        outline = numpy.concatenate([place - widths, (place + widths)[::-1]])
        axes.fill(outline, numpy.concatenate([edges, edges[::-1]]), color=colour, alpha=0.35, linewidth=0, zorder=2)
        axes.plot([place, place], [low, high], color=colour, linewidth=0.9, zorder=2)
    axes.scatter(
        [place], [numpy.median(values)], s=22, c=colour, linewidths=0, zorder=4, marker="x" if slot.reason else "o"
    )


def _long_tails(places: Sequence[Slot]) -> tuple[float, float, tuple[int, ...]]:
    """From where to where to draw, in ns, so that no tail leaves all else flat, and whose tails go on beyond that."""
    import numpy

    series = {place: slot.trial.latency_ns for place, slot in enumerate(places) if slot.trial and slot.trial.latency_ns}
    spans = {place: numpy.percentile(values, (_SHOWN[0], 50, _SHOWN[1])) for place, values in series.items()}
    low = min(float(span[0]) for span in spans.values())
    usual = max(float(numpy.median([span[2] for span in spans.values()])), *(float(span[1]) for span in spans.values()))
    most = low + _TALL * (usual - low)
    return low - 0.1 * (most - low), most, tuple(place for place, span in spans.items() if span[2] > most)


def _leave_long_tails(axes: Axes, places: Sequence[Slot], scale: float) -> None:
    low, most, cut = _long_tails(places)
    if cut:
        axes.set_ylim(low * scale, most * scale)
    for place in cut:
        axes.annotate("▲", (place, 1.0), xycoords=("data", "axes fraction"), ha="center", va="top", color=plots.BLUE)


def _takeaway(held: Held, places: Sequence[Slot]) -> str:
    document = held.document
    counted = [place for place in places if not place.reason]
    spread = document.get("spread") or {}
    told = f"The medians of {words.count(len(counted), 'process')} "
    told += (
        f"scatter by {percent(spread['cv'])}"
        if spread.get("cv") is not None
        else "are too few to tell how they scatter"
    )
    if spread.get("half_width") is not None:
        told += f"; the result is known to ±{percent(spread['half_width'])}"
    thrown = len(places) - len(counted)
    repeated = f" {words.count(thrown, 'process')} did not count and ran again." if thrown else ""
    reasons = "; ".join(document["reasons"])
    because = f" because: {reasons}" if reasons else ""
    verdict = {
        "valid": f" {reasons[0].upper() + reasons[1:]}." if reasons else "",
        "unstable": f" The measurement is unstable{because}.",
        "invalid": f" The measurement is invalid and may not be used{because}.",
    }
    return f"{told}.{repeated}{verdict.get(document['verdict'], '')}"


def _key(places: Sequence[Slot], told: Sequence[sensors.Sensor]) -> tuple[tuple[str, str], ...]:
    found = [("dot blue", "median of a process"), ("violin", "its inferences"), ("band", "95 % interval of the result")]
    if any(place.reason for place in places):
        found.append(("cross grey", "repeated (*), does not count"))
    return (*found, *(mark for sensor in told for mark in sensor.key))


def _notes(samples: Samples) -> tuple[str, ...]:
    silent = unknown_sensors(samples.latency)
    found = [f"This board does not tell: {', '.join(silent)}."] if silent else []
    if samples.latency and not any(throttling(trial) for trial in samples.latency) and "throttle bits" not in silent:
        found.append("No throttle bit was set before, during or after any process.")
    return tuple(found)


def _tails(places: Sequence[Slot]) -> tuple[str, ...]:
    cut = [places[place].name for place in _long_tails(places)[2]]
    which = f"process {cut[0]}" if len(cut) == 1 else f"processes {sentence(cut)}" if cut else ""
    return (
        (f"▲: the inferences of {which} go on beyond the picture; the table has their 99th percentile.",) if cut else ()
    )


def _table(held: Held, places: Sequence[Slot]) -> Table:
    import numpy

    called = f"{held.model} on {held.board}, {words.circumstances(held.document)}"
    rows = []
    for place in places:
        trial = place.trial
        if trial is None or not trial.latency_ns:
            rows.append((place.name, *(words.NOTHING for _ in range(8)), place.reason))
            continue
        low, middle, high = numpy.percentile(trial.latency_ns, (1, 50, 99))
        rows.append(
            (
                place.name,
                str(len(trial.latency_ns) * trial.batch),
                units.duration(middle),
                units.duration(low),
                units.duration(high),
                sensors.temperatures(trial),
                sensors.clock(trial),
                throttling(trial) or ("none" if trial.before.throttle_bits is not None else words.NOTHING),
                sensors.calibration(trial),
                place.reason or "yes",
            )
        )
    headers = ("process", "inferences", "median", "1 %", "99 %", "before, hottest, after", "clock", "throttling")
    return Table(
        caption=f"Processes of {called}",
        headers=(*headers, "fixed work before, after", "in the result"),
        rows=tuple(rows),
        right=(1, 2, 3, 4),
    )
