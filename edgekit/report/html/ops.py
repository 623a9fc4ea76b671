"""Time per op of a profiled model: the longest ones as bars, by who ran them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.core import units
from edgekit.report import words
from edgekit.report.html import plots
from edgekit.report.html.chart import Chart, Table, label
from edgekit.report.html.pareto import scaled
from edgekit.report.html.plots import Sheet
from edgekit.results.record import StoredResult

_SHOWN = 12

_Op = Mapping[str, Any]


def ops(result: StoredResult, name: str) -> Chart | None:
    """The chart of one profile; None where it has no op with a time.

    Args:
        result: of kind ``profile``.
        name: of the chart.
    """
    document = result.document
    timed = [op for op in document.get("ops") or () if isinstance(op, Mapping) and op.get("elapsed_ns")]
    if not timed:
        return None
    ranked = sorted(timed, key=lambda op: -float(op["elapsed_ns"]))
    shown = ranked[:_SHOWN]
    scale, unit = scaled([float(op["elapsed_ns"]) for op in shown])
    whole = sum(float(op["elapsed_ns"]) for op in timed)

    def draw(sheet: Sheet) -> None:
        (axes,) = sheet.rows([24 * len(shown) + 20])
        for row, op in enumerate(shown):
            time = float(op["elapsed_ns"])
            colour = plots.ORANGE if op.get("delegated") is False else plots.BLUE
            axes.barh(row, time * scale, height=0.62, color=colour, linewidth=0)
            axes.annotate(
                f"{units.duration(time)} · {time / whole:.0%}".replace("%", " %"),
                (time * scale, row),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=10,
            )
        axes.set_yticks(range(len(shown)), [label(_called(op), 18 if sheet.narrow else 34) for op in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, float(shown[0]["elapsed_ns"]) * scale * (1.6 if sheet.narrow else 1.25))
        axes.tick_params(axis="y", length=0, labelcolor=plots.INK)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"time in one inference, {unit}")

    outside = any(op.get("delegated") is False for op in timed)
    return Chart(
        name=name,
        title=f"Time per op of {words.model(result.model)} on {result.device}",
        takeaway=_takeaway(result, ranked, whole, outside),
        description=f"The {len(shown)} ops that take longest, one bar each, with their share of the time of all "
        f"{len(timed)} ops.",
        draw=draw,
        table=_table(result, ranked, whole),
        key=(("block blue", "in the delegate"), ("block orange", "outside the delegate")) if outside else (),
        notes=("Measured with the runtime's profiler, which slows it down: not to be mixed with the latencies above.",),
    )


def _takeaway(result: StoredResult, ranked: Sequence[_Op], whole: float, outside: bool) -> str:
    half, total = 0, 0.0
    while total < whole / 2:
        total += float(ranked[half]["elapsed_ns"])
        half += 1
    told = f"{_called(ranked[0])} takes {float(ranked[0]['elapsed_ns']) / whole:.0%} of the time; "
    told += f"half of it is in {half} of {words.count(len(ranked), 'op')}."
    if outside:
        left = sum(float(op["elapsed_ns"]) for op in ranked if op.get("delegated") is False)
        told += f" {left / whole:.0%} is outside the delegate."
    document = result.document
    runtime = words.runtime(document) if isinstance(document.get("runtime"), Mapping) else "unknown runtime"
    threads = words.count(int(document.get("num_threads") or 1), "thread")
    board = (
        f" {result.device} is emulated: the times say nothing about a real board." if document.get("emulated") else ""
    )
    runs = f", {words.count(document['runs'], 'run')}" if isinstance(document.get("runs"), int) else ""
    return f"{told.replace('%', ' %')} {runtime}, {threads}{runs}.{board}"


def _table(result: StoredResult, ranked: Sequence[_Op], whole: float) -> Table:
    rows = tuple(
        (
            _called(op),
            str(op.get("name") or words.NOTHING),
            units.duration(float(op["elapsed_ns"])),
            f"{float(op['elapsed_ns']) / whole * 100:.1f} %",
            {True: "yes", False: "no"}.get(op.get("delegated"), words.NOTHING),  # type: ignore[arg-type]  # any JSON value
            units.count(op["macs"]) if op.get("macs") else words.NOTHING,
            str(op.get("hint") or words.NOTHING),
        )
        for op in ranked
    )
    caption = f"Ops of {words.model(result.model)} on {result.device}"
    return Table(
        caption=caption,
        headers=("layer", "op", "time", "share", "delegated", "MACs", "hint"),
        rows=rows,
        right=(2, 3, 5),
    )


def _called(op: _Op) -> str:
    return str(op.get("layer") or op.get("name") or "op")
