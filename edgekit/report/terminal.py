"""Tables for a terminal of 80 columns, as values; the command line prints them.

Every text goes through :func:`edgekit.report.clean.clean` and into rich's ``Text``, so neither escapes nor rich's own
markup in a board's or a model's name have any effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.core import units
from edgekit.core.artifact import Ablation, Measured, StepRecord
from edgekit.core.decode import to_json
from edgekit.measure.emulated import called, is_emulated
from edgekit.measure.measurement import Measurement, to_document
from edgekit.report import words
from edgekit.report.clean import clean
from edgekit.report.fields import RESULT_FIELDS, Field, at
from edgekit.report.footnotes import footnotes
from edgekit.results.record import StoredResult

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_STYLES = {"valid": "green", "unstable": "yellow", "invalid": "red"}
_TIMES = ("median_ns", "ci95_ns", "cold_start_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One column of a comparison.

    Attributes:
        label: its header, e.g. ``float32``.
        size_bytes: of the .tflite; ``gzip_bytes`` the same file compressed, what a download weighs.
        score: on the evaluation data.
        measurement: on a board; None where there was none.
    """

    label: str
    size_bytes: int | None = None
    gzip_bytes: int | None = None
    score: float | None = None
    measurement: Measurement | None = None


def comparison_table(
    before: Side, after: Side, *, metric: str | None = None, drop: float | None = None
) -> RenderableType:
    """The last screen: the float model against the final one, with verdict and circumstances.

    Args:
        before: the float model.
        after: the final model.
        metric: of both scores.
        drop: percentage points (or percent) lost, as in the score record.
    """
    from rich.console import Group

    documents = [to_document(side.measurement) if side.measurement else {} for side in (before, after)]
    rows: list[tuple[str, ...]] = [
        _pair("size", (before.size_bytes, after.size_bytes), units.size, ("smaller", "larger")),
        _pair("download size (gzip)", (before.gzip_bytes, after.gzip_bytes), units.size, ("smaller", "larger")),
        (
            f"score ({metric})" if metric else "score",
            words.score(before.score, metric),
            words.score(after.score, metric),
            words.drop(drop, metric),
        ),
    ]
    if any(documents):
        medians, intervals, cold = (_both(documents, f"latency.{name}") for name in _TIMES)
        peaks, shares = (_both(documents, f"memory.{name}") for name in ("peak_rss_bytes", "model_bytes"))
        # nothing follows from a ratio on an emulated processor
        emulated = any(map(is_emulated, documents))
        quicker = "emulated" if emulated else words.latency_change(medians, intervals)
        rows += [
            ("latency (median)", *map(units.duration, medians), quicker),
            ("  95 % interval", *map(words.interval, intervals), ""),
            ("cold start", *map(units.duration, cold), quicker)
            if emulated
            else _pair("cold start", cold, units.duration, ("faster", "slower"), about="≈ "),
            _pair("memory (peak)", peaks, units.size, ("less", "more")),
            _pair("  the model's share", shares, units.size, ("less", "more")),
        ]
    known = [row for row in rows if row[1:3] != (words.NOTHING, words.NOTHING)]
    table = rows_table(("", before.label, after.label, "change"), known, right=(1, 2, 3))
    return Group(table, *footnotes([document for document in documents if document]))


def results_table(results: Sequence[StoredResult]) -> RenderableType:
    """Kept results, one row each."""
    return field_table(RESULT_FIELDS, [to_json(result) for result in results])


def steps_table(steps: Sequence[StepRecord], *, metric: str | None = None) -> RenderableType:
    """The steps of a recipe with what each did to size, work, score and, on a board, latency; their notes below."""
    from rich.console import Group

    measured = any(step.measured for step in steps)
    rows = [
        (
            step.name,
            units.size(step.size_bytes),
            units.size(step.gzip_bytes),
            *(() if measured else (units.count(step.parameters_count),)),
            units.count(step.macs),
            words.score(step.score, metric),
            words.drop(step.drop, metric),
            *((_latency(step.measured), _peak(step.measured)) if measured else (_took(step),)),
        )
        for step in steps
    ]
    work, last = (("MACs",), (_latency_header(steps), "memory")) if measured else (("params", "MACs"), ("took",))
    headers = ("step", "size", "gzip", *work, metric or "score", "change", *last)
    notes = [_text(f"{step.name}: {note}") for step in steps for note in step.notes]
    if measured:
        notes.append(_text(_circumstances(steps)))
    return Group(rows_table(headers, rows, right=tuple(range(1, len(headers)))), *notes)


def _took(step: StepRecord) -> str:
    return "cached" if step.cached else units.seconds(step.seconds)


def forecast_table(forecasts: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What each step of a recipe will buy, from the documents of its forecasts; the reasons below."""
    from rich.console import Group

    rows = [
        (
            one["name"],
            _about(one["size_bytes"]["value"], one["size_bytes"]["error"], units.size),
            _about(one["gzip_bytes"]["value"], one["gzip_bytes"]["error"], units.size),
            _about(one["macs"]["after"], one["macs"]["error"], units.count),
            _effect(one["latency"]),
            _effect(one["memory"]),
        )
        for one in forecasts
    ]
    headers = ("forecast", "size", "gzip", "MACs", "latency", "memory")
    notes = [_text(f"{one['name']}: latency: {one['latency']['because']}") for one in forecasts]
    notes += [_text(f"{one['name']}: {note}") for one in forecasts for note in one["notes"]]
    return Group(rows_table(headers, rows, right=(1, 2, 3, 4, 5)), *notes)


def _about(value: float, error: float, unit: Callable[[float], str]) -> str:
    return unit(value) if error < 0.005 else f"{unit(value)} ±{error:.0%}"


def _effect(effect: Mapping[str, Any]) -> str:
    if effect["kind"] != "ratio":
        return str(effect["kind"])
    low, high = effect["low"], effect["high"]
    if low is None or high is None:
        return f"×{low or high:.2g}"
    return f"×{low:.2g}–{high:.2g}"


def ablation_table(final: StepRecord, ablation: Sequence[Ablation], *, metric: str | None = None) -> RenderableType:
    """What each step paid: the result without it, and what the step made of that."""
    rows = [
        (
            one.without,
            words.change(one.size_bytes, final.size_bytes, "smaller", "larger"),
            words.change(one.gzip_bytes, final.gzip_bytes, "smaller", "larger"),
            words.change(one.macs, final.macs, "fewer", "more"),
            words.drop(None if final.drop is None or one.drop is None else final.drop - one.drop, metric),
            *((_latency_paid(one.measured, final.measured),) if one.measured and final.measured else ()),
        )
        for one in ablation
    ]
    board = (_latency_header([final]),) if final.measured else ()
    headers = ("it paid", "size", "gzip", "MACs", metric or "score", *board)
    return rows_table(headers, rows, right=tuple(range(1, len(headers))))


def _latency_header(steps: Sequence[StepRecord]) -> str:
    return "latency (emulated)" if any(step.measured.emulated for step in steps if step.measured) else "latency"


def _latency_paid(before: Measured, after: Measured) -> str:
    text = words.latency_change((before.latency_ns, after.latency_ns), (before.ci95_ns, after.ci95_ns))
    return "unclear" if text == words.UNCLEAR else text


def _latency(measured: Measured | None) -> str:
    if measured is None:
        return words.NOTHING
    mark = {"valid": "", "unstable": " ~", "invalid": " !"}[measured.verdict]
    return f"{units.duration(measured.latency_ns)}{mark}"


def _peak(measured: Measured | None) -> str:
    return words.NOTHING if measured is None else units.size(measured.peak_rss_bytes)


def _circumstances(steps: Sequence[StepRecord]) -> str:
    """What the latencies of a table depend on."""
    one = next(step.measured for step in steps if step.measured)
    threads = f"{one.num_threads} thread{'s' * (one.num_threads > 1)}"
    marks = {step.measured.verdict for step in steps if step.measured}
    board = called(one.device, one.emulated)
    text = f"latency: median of {one.processes} processes on {board}, {one.runtime}, {threads}; indicative"
    text += "; ~ unstable" if "unstable" in marks else ""
    return text + ("; ! invalid" if "invalid" in marks else "")


def facts_table(facts: Sequence[tuple[str, object]], *, title: str | None = None) -> Table:
    """Names and values, one pair a row; None is shown as unknown."""
    table = _table(title)
    table.show_header = False
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(_text(name), _text("unknown" if value is None else value))
    return table


def rows_table(
    headers: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = (), title: str | None = None
) -> Table:
    """Any rows under headers.

    Args:
        headers: one per column.
        rows: as many values in each as there are headers.
        right: the columns of figures: aligned right and never broken.
        title: over the table.
    """
    table = _table(title)
    for index, header in enumerate(headers):
        _column(table, header, right=index in right)
    for row in rows:
        table.add_row(*map(_text, row))
    return table


def field_table(
    fields: Sequence[Field],
    documents: Sequence[Mapping[str, Any]],
    without: Sequence[str] = (),
    more: Sequence[Mapping[str, str]] = (),
) -> Table:
    """Documents under the fields that are for the terminal.

    Args:
        fields: the list of them.
        documents: one a row.
        without: names of fields that are left out.
        more: further rows, as texts by name of a field.
    """
    chosen = [field for field in fields if "terminal" in field.where and field.name not in without]
    table = _table(None)
    for field in chosen:
        _column(table, field.header, right=field.right)
    for document in documents:
        texts = [_text(field.show(field.get(document))) for field in chosen]
        for field, text in zip(chosen, texts):
            if field.name == "verdict":
                text.stylize(_STYLES.get(str(field.get(document)), ""))
        table.add_row(*texts)
    for row in more:
        table.add_row(*(_text(row.get(field.name, words.NOTHING)) for field in chosen))
    return table


def _pair(
    name: str,
    values: tuple[Any, Any],
    show: Callable[[float | None], str],
    less_more: tuple[str, str],
    about: str = "",
) -> tuple[str, ...]:
    """One row of a comparison; ``about`` goes before a change that has no interval of its own."""
    change = words.change(*values, *less_more)
    return name, *map(show, values), change if change in (words.NOTHING, "same") else about + change


def _both(documents: Sequence[Mapping[str, Any]], path: str) -> tuple[Any, Any]:
    one, two = map(at(path), documents)
    return one, two


def _table(title: str | None) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        title=_text(title) if title else None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )


def _column(table: Table, header: str, *, right: bool) -> None:
    table.add_column(_text(header), justify="right" if right else "left", no_wrap=right, overflow="fold")


def _text(value: object) -> Text:
    from rich.text import Text

    return Text(clean(value))
