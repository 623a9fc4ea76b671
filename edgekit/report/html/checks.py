"""Comparisons, gates and self-tests: ratios with their intervals, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.report import words
from edgekit.report.collected import Collected
from edgekit.report.headlines import headline
from edgekit.report.html import plots
from edgekit.report.html.chart import Chart, Table, label, percent
from edgekit.report.html.plots import Sheet
from edgekit.results.record import StoredResult

_COLOURS = {"faster": plots.GREEN, "equivalent": plots.GREEN, "slower": plots.ORANGE, "inconclusive": plots.BLUE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One kind of decision; ``name`` is unique among them."""

    name: str
    title: str
    charts: tuple[Chart, ...]
    tables: tuple[Table, ...]


def checks(collected: Collected) -> tuple[Check, ...]:
    """Every kind of decision that the store has."""
    found = []
    known = [result for result in collected.comparisons if _number(result.document.get("ratio"))]
    if collected.comparisons:
        chart = (ratios(known),) if known else ()
        others = [result for result in collected.comparisons if result not in known]
        without = (_decisions("Comparisons without a ratio", others),) if others else ()
        found.append(Check(name="compared", title="Compared in pairs", charts=chart, tables=without))
    for name, title, results in (("gates", "Gates", collected.gates), ("selftests", "Self-tests", collected.selftests)):
        if results:
            tables = (_decisions(title, results), *_looked_at(results))
            found.append(Check(name=name, title=title, charts=(), tables=tables))
    return tuple(found)


def ratios(results: Sequence[StoredResult]) -> Chart:
    """Latency of candidates over that of their baselines, with the margin within which they count as alike.

    Args:
        results: comparisons that have a ratio, at least one.
    """

    def draw(sheet: Sheet) -> None:
        (axes,) = sheet.rows([34 * len(results) + 20])
        for row, result in enumerate(results):
            document = result.document
            colour = _COLOURS.get(str(result.verdict), plots.GREY)
            margin = _number(document.get("margin"))
            if margin:
                axes.fill_between(
                    [1 - margin, 1 + margin], row - 0.5, row + 0.5, color=plots.BAND, linewidth=0, zorder=0
                )
            if document.get("ci95"):
                axes.plot(document["ci95"], [row, row], color=colour, linewidth=2, zorder=2)
            mark = "o" if result.verdict in _COLOURS else "x"
            axes.scatter([document["ratio"]], [row], s=42, c=colour, marker=mark, linewidths=1.4, zorder=3)
            axes.annotate(
                label(result.verdict, 14),
                (document["ratio"], row),
                xytext=(0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=10,
            )
        axes.axvline(1, color=plots.QUIET, linewidth=1)
        axes.set_yticks(range(len(results)), [_pair(result, 16 if sheet.narrow else 30) for result in results])
        axes.set_ylim(len(results) - 0.4, -0.7)
        axes.tick_params(axis="y", length=0, labelcolor=plots.INK)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.12)
        axes.set_xlabel("latency, candidate / baseline (left is quicker)")

    return Chart(
        name="ratios",
        title="Candidates against their baselines",
        takeaway=" ".join(map(_told, results)),
        description="One row for each comparison: the ratio of latencies of pairs of fresh processes, with its 95 % "
        "interval. Left of 1 the candidate is quicker; within the band it counts as equivalent.",
        draw=draw,
        table=_table(results),
        key=(("bar", "95 % interval"), ("band", "margin: counts as equivalent")),
        notes=tuple(
            f"{_pair(result, 60)}: {reason}" for result in results for reason in result.document.get("reasons") or ()
        ),
    )


def _told(result: StoredResult) -> str:
    document = result.document
    bounds = document.get("ci95")
    change = document["ratio"] - 1
    sure = f", 95 % interval {bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else ""
    names = f"{words.model(result.model)} against {words.model(_side(document, 'baseline'))} on {result.device}"
    word = "less" if change < 0 else "more"
    pairs = f"{document.get('pairs')} pairs"
    if _whole(document):
        pairs += f", {words.circumstances(document['candidate'])} a side"
    how = f"ratio {document['ratio']:.3f}{sure}, {pairs}"
    return f"{names}: {result.verdict}; it takes {percent(abs(change))} {word} time ({how})."


def _table(results: Sequence[StoredResult]) -> Table:
    rows = tuple(
        (
            words.model(result.model),
            words.model(_side(result.document, "baseline")),
            str(result.device),
            f"{result.document['ratio']:.3f}",
            " to ".join(f"{bound:.3f}" for bound in result.document.get("ci95") or ()) or words.NOTHING,
            str(result.document.get("pairs")),
            str(result.verdict),
            _changed(result.document, "cold_start"),
            _changed(result.document, "memory"),
            _changed(result.document, "size"),
            words.circumstances(result.document["candidate"]) if _whole(result.document) else words.NOTHING,
        )
        for result in results
    )
    headers = ("candidate", "baseline", "board", "latency ×", "95 % interval", "pairs", "verdict", "cold start ×")
    return Table(
        caption="Comparisons in pairs",
        headers=(*headers, "memory ×", "size ×", "circumstances"),
        rows=rows,
        right=(3, 4, 5, 7, 8, 9),
    )


def _changed(document: Mapping[str, Any], name: str) -> str:
    change = document.get(name)
    ratio = _number(change.get("ratio")) if isinstance(change, Mapping) else None
    return words.NOTHING if ratio is None else f"{ratio:.3f}"


def _decisions(caption: str, results: Sequence[StoredResult]) -> Table:
    rows = tuple(
        (
            words.model(result.model),
            str(result.device),
            str(result.verdict),
            headline({"kind": result.kind, "verdict": result.verdict, "document": result.document}),
            "; ".join(map(str, result.document.get("reasons") or ())) or words.NOTHING,
            result.created[:16].replace("T", " "),
        )
        for result in results
    )
    return Table(caption=caption, headers=("model", "board", "verdict", "in short", "reasons", "when (UTC)"), rows=rows)


def _looked_at(results: Sequence[StoredResult]) -> tuple[Table, ...]:
    """Each figure that a gate held against its limit."""
    rows = tuple(
        tuple(str(one.get(name) or words.NOTHING) for name in ("model", "device", "name", "outcome", "message"))
        for result in results
        for one in result.document.get("checks") or ()
        if isinstance(one, Mapping)
    )
    headers = ("model", "board", "figure", "outcome", "because")
    return (Table(caption="Figures that gates looked at", headers=headers, rows=rows),) if rows else ()


def _pair(result: StoredResult, limit: int) -> str:
    candidate, baseline = words.model(result.model), words.model(_side(result.document, "baseline"))
    return f"{label(candidate, limit)}\n/ {label(baseline, limit)}" if limit < 60 else f"{candidate} / {baseline}"


def _side(document: Mapping[str, Any], side: str) -> object:
    found = document.get(side)
    model = found.get("model") if isinstance(found, Mapping) else None
    return model.get("name") if isinstance(model, Mapping) else None


def _whole(document: Mapping[str, Any]) -> bool:
    return isinstance(document.get("candidate"), Mapping) and "runtime" in document["candidate"]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
