"""The table of a benchmark: models, runtimes, boards and thread counts side by side, and the answer they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.core import units
from edgekit.measure.measurement import Measurement, to_document
from edgekit.measure.side_by_side import Fastest, NotMeasured, fastest
from edgekit.report import words
from edgekit.report.clean import clean
from edgekit.report.fields import MEASUREMENT_FIELDS
from edgekit.report.footnotes import footnotes
from edgekit.report.terminal import field_table

if TYPE_CHECKING:
    from rich.console import RenderableType

_WIDTH = 80
#: what gives way where a table of several runtimes would be wider than a terminal, in this order
_GIVE_WAY = ("cpu_median_ns", "cold_start_ns")
_FOLDS_AT = 10  # names of boards and models are broken from here on
_CANNOT = "cannot run"
_PAGE_CACHE = {
    "dropped": "nothing of their files in the page cache",
    "partly": "only part of the page cache dropped: {note}",
    "kept": "their files still in the page cache: {note}",
    "warm": "with files in the page cache (no process started cold)",
}


def benchmark_table(measurements: Sequence[Measurement], not_measured: Sequence[NotMeasured] = ()) -> RenderableType:
    """One row for each model, board, runtime and thread count; circumstances, verdicts and the fastest below.

    Args:
        measurements: the rows with figures.
        not_measured: the rows without, which say why.
    """
    from rich.console import Group
    from rich.text import Text

    documents = [to_document(measurement) for measurement in measurements]
    rows = [_row(one) for one in not_measured]
    # one real board is named by the line below; an emulated one in the row, beside its figures
    one_board = len({*(one.device for one in measurements), *(one.device for one in not_measured)}) == 1
    without = {"device"} if one_board and not any(one.emulated for one in measurements) else set()
    runtimes = {words.runtime_in_short(document) for document in documents} | {row["runtime_in_short"] for row in rows}
    if len(runtimes) < 2:
        without.add("runtime_in_short")
    if not any(one.latency.cpu_median_ns for one in measurements):
        without.add("cpu_median_ns")
    for name in _GIVE_WAY:
        if _width(documents, rows, without) > _WIDTH:
            without.add(name)
    table = field_table(MEASUREMENT_FIELDS, documents, tuple(without), rows)
    said = [*footnotes(documents), *([Text(line) for line in _starts(documents)]), *map(Text, _reasons(not_measured))]
    boards = dict.fromkeys(one.device for one in measurements)
    for board in boards:
        found = fastest([one for one in measurements if one.device == board])
        if found is not None:
            said.append(Text(clean(fastest_line(found)), style="bold"))
    return Group(table, *said)


def fastest_line(found: Fastest) -> str:
    """The answer in a sentence; a claim only where the intervals allow it."""
    if found.best is None and not found.close:
        valid = found.rows - found.unjudged
        return f"fastest on {found.device}: cannot be told: {valid or 'none'} of {found.rows} rows is valid"
    if found.best is None:
        names = " and ".join(map(_named, found.close[:3])) + (" and others" if len(found.close) > 3 else "")
        text = f"fastest on {found.device}: cannot be told: the 95 % intervals of {names} overlap"
    else:
        text = f"fastest on {found.device}: {_named(found.best)}: {units.duration(found.best.latency.median_ns)}"
    doubts = []
    measured = found.close or ((found.best,) if found.best else ())
    if any(one.plan.indicative for one in measured):
        doubts.append("indicative")
    if found.unjudged:
        doubts.append(f"without {words.count(found.unjudged, 'row')} that may not be compared")
    return text + (f" ({', '.join(doubts)})" if doubts else "")


def _named(one: Measurement) -> str:
    document = to_document(one)
    threads = words.count(one.num_threads, "thread")
    return f"{words.model(one.model.name)}, {words.runtime_in_short(document)}, {threads}"


def _row(one: NotMeasured) -> dict[str, str]:
    return {
        "device": one.device,
        "model": words.model(one.model),
        "runtime_in_short": one.runtime,
        "num_threads": words.NOTHING if one.num_threads is None else str(one.num_threads),
        "verdict": _CANNOT,
    }


def _reasons(rows: Sequence[NotMeasured]) -> list[str]:
    """Why rows have no figures; the same reason once."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in rows:
        about = f"{words.model(one.model)} with {one.runtime}" if one.runtime else words.model(one.model)
        found.setdefault((one.error.message, one.error.hint or ""), []).append(about)
    lines = []
    for (message, hint), those in found.items():
        names = ", ".join(dict.fromkeys(those))
        lines.append(clean(f"{_CANNOT.upper()}  {names}: {message}"))
        if hint:
            lines.append(clean(f"  {hint}"))
    return lines


def _starts(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the cold starts found, in one line for all that are alike."""
    found: dict[str, list[str]] = {}
    for document in documents:
        latency = document["latency"]
        text = _PAGE_CACHE[latency["cold_start_cache"]].format(note=latency["cold_start_note"])
        found.setdefault(text, []).append(words.model(document["model"]["name"]))
    if set(found) <= {_PAGE_CACHE["warm"]}:
        return []
    lines = []
    for text, models in found.items():
        about = f"{', '.join(dict.fromkeys(models))}: " if len(found) > 1 else ""
        lines.append(clean(f"{about}cold starts: {text}"))
    return lines


def _width(documents: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, str]], without: set[str]) -> int:
    """Columns of a terminal that a table takes where no cell is broken; long names of models are."""
    total = 1
    for field in MEASUREMENT_FIELDS:
        if "terminal" not in field.where or field.name in without:
            continue
        cells = [field.show(field.get(document)) for document in documents] + [row.get(field.name, "–") for row in rows]
        widest = max(map(len, (field.header, *map(str, cells))))
        total += 2 + (min(widest, _FOLDS_AT) if field.name in ("model", "device") else widest)
    return total
