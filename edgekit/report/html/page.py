"""The page: which sections there are and what stands in each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgekit.core import units
from edgekit.core.version import VERSION
from edgekit.report import pareto as front
from edgekit.report import words
from edgekit.report.collected import DRAWN, Collected, Held
from edgekit.report.commands import Command, commands
from edgekit.report.html import boards, checks, template
from edgekit.report.html.chart import Chart, Table, sentence
from edgekit.report.html.history import over_time
from edgekit.report.html.ops import ops
from edgekit.report.html.pareto import pareto
from edgekit.report.html.plots import drawn
from edgekit.report.html.processes import processes
from edgekit.report.html.steps import waterfall
from edgekit.report.summary import Answer, answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart with its drawings as markup."""

    chart: Chart
    drawings: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What stands under one heading of a section; ``name`` is unique within it."""

    name: str = ""
    title: str = ""
    verdict: str = ""
    emulated: bool = False
    circumstances: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One heading of the page; ``alarms`` are what must not be overlooked."""

    name: str
    title: str
    lead: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()
    parts: tuple[Part, ...] = ()


def page(collected: Collected) -> str:
    """The report as one HTML file that loads nothing.

    Args:
        collected: what the report is of.
    """
    made = (
        _summary(collected),
        _latency(collected),
        _processes(collected),
        _steps(collected),
        _ops(collected),
        _checks(collected),
        _histories(collected),
        _boards(collected),
        _commands(collected),
    )
    sections = [section for section in made if section.parts or section.answers or section.lead]
    return template.filled(title=_title(collected), version=VERSION, collected=collected, sections=sections)


def _title(collected: Collected) -> str:
    """What is in it: one model, one board, or what both are."""
    models = list(dict.fromkeys(held.model for held in collected.measurements))
    models = models or list(dict.fromkeys(words.model(result.model) for result in collected.artifacts))
    subject = models[0] if len(models) == 1 else words.count(len(models), "model")
    named = collected.boards
    where = f" on {named[0]}" if len(named) == 1 else f" on {words.count(len(named), 'board')}" if named else ""
    return f"edgekit report: {subject}{where}"


def _figure(chart: Chart) -> Figure:
    return Figure(chart=chart, drawings=tuple(map(template.markup, drawn(chart))))


def _summary(collected: Collected) -> Section:
    lead = () if collected.measurements else ("Nothing was measured yet that this report could show.",)
    return Section(
        name="summary",
        title="Summary",
        lead=lead,
        alarms=_alarms(collected),
        answers=answers(collected),
        parts=(Part(notes=collected.left_out),) if collected.left_out else (),
    )


def _alarms(collected: Collected) -> tuple[str, ...]:
    found = []
    for verdict, meaning in (("invalid", "may not be used"), ("unstable", "may change when measured again")):
        names = [f"{held.model} on {held.board}" for held in collected.measurements if held.result.verdict == verdict]
        if names:
            count = f"{len(names)} of {words.count(len(collected.measurements), 'measurement')}"
            found.append(f"{verdict.capitalize()}, {meaning}: {count}: {', '.join(dict.fromkeys(names))}.")
    failed = [f"{result.model} on {result.device}" for result in collected.gates if result.verdict == "failed"]
    if failed:
        found.append(f"A gate failed: {', '.join(failed)}.")
    return tuple(found)


def _latency(collected: Collected) -> Section:
    measurements = collected.measurements
    parts = [
        Part(
            name=f"board-{place}",
            title=f"{panel.board}: latency and {panel.metric}",
            figures=(_figure(pareto(panel, f"pareto-{place}")),),
        )
        for place, panel in enumerate(front.panels(measurements), 1)
    ]
    for place, one in enumerate(parts):
        board = one.title.partition(": latency")[0]
        there = [held for held in measurements if held.board == board]
        parts[place] = _with_circumstances(one, there)
    if measurements:
        parts.append(
            Part(
                name="all",
                title="All measurements",
                tables=(_measurements(collected),),
                notes=_reasons(collected),
            )
        )
    return Section(name="latency", title="Latency and score", parts=tuple(parts))


def _with_circumstances(part: Part, there: Sequence[Held]) -> Part:
    """What the figures of a board depend on, said once for all that share it."""
    threads, processes = (sorted({held.document[name] for held in there}) for name in ("num_threads", "processes"))
    told = (
        "; ".join(dict.fromkeys(front.runtime(held) for held in there)),
        f"{sentence([str(count) for count in threads])} thread{'s' * (threads != [1])}",
        f"{sentence([str(count) for count in processes])} process{'es' * (processes != [1])} each",
    )
    return replace(part, emulated=there[0].emulated, circumstances=", ".join(told))


def _measurements(collected: Collected) -> Table:
    rows, sort = [], []
    several = collected.has_runtimes
    for held in collected.measurements:
        document, latency = held.document, held.document["latency"]
        cells: tuple[tuple[str, Any], ...] = (
            (held.model, held.model),
            (held.board, held.board),
            *([(str(words.runtime_in_short(document)), words.runtime_in_short(document))] if several else ()),
            (str(document["num_threads"]), document["num_threads"]),
            (words.margin(latency), latency["median_ns"]),
            (document["verdict"], document["verdict"]),
            (units.duration(latency["p90_ns"]), latency["p90_ns"]),
            (units.duration(latency["cold_start_ns"]), latency["cold_start_ns"]),
            (units.size(document["memory"]["peak_rss_bytes"]), document["memory"]["peak_rss_bytes"]),
            (units.size(held.size_bytes), held.size_bytes),
            (words.score(held.score.get("final"), held.score.get("metric")), held.score.get("final")),
            (str(document["processes"]), document["processes"]),
            (words.runtime(document), words.runtime(document)),
        )
        rows.append(tuple(text for text, _ in cells))
        sort.append(tuple(-1 if value is None else value for _, value in cells))
    headers = ("threads", "latency ±95 %", "verdict", "p90", "cold start", "memory", "size", "score", "processes")
    return Table(
        caption=f"Every model, board{', runtime' if several else ''} and thread count, with its verdict",
        headers=("model", "board", *(("runtime",) if several else ()), *headers, "ran by"),
        rows=tuple(rows),
        right=tuple(place + several for place in (2, 3, 5, 6, 7, 8, 9, 10)),
        sort=tuple(sort),
    )


def _reasons(collected: Collected) -> tuple[str, ...]:
    """Each reason once, with the measurements that have it."""
    found: dict[str, list[str]] = {}
    for held in collected.measurements:
        name = f"{held.model} ({held.board}, {collected.told_apart(held)})"
        for reason in held.document["reasons"]:
            found.setdefault(str(reason), []).append(name)
    every = len(collected.measurements)
    return tuple(
        f"{'all' if len(names) == every > 1 else ', '.join(names)}: {reason}" for reason, names in found.items()
    )


def _processes(collected: Collected) -> Section:
    parts = []
    for place, held in enumerate(collected.drawn, 1):
        chart = processes(held, f"processes-{place}")
        circumstances = words.circumstances(held.document)
        if chart is None:
            lost = held.missing or "no process measured anything"
            circumstances = f"{circumstances}. Not drawn: {lost}"
        parts.append(
            Part(
                name=str(place),
                title=f"{held.model} on {held.board}, {collected.told_apart(held)}",
                verdict=held.document["verdict"],
                emulated=held.emulated,
                circumstances=circumstances,
                figures=(_figure(chart),) if chart else (),
            )
        )
    lead = (
        "Every measurement runs in several fresh processes; only they are independent, so the result is the median of "
        "their medians, and its interval says how well they agree.",
    )
    return Section(
        name="certainty", title="How certain the latencies are", lead=lead if parts else (), parts=tuple(parts)
    )


def _charts(
    name: str, results: Iterable[Any], chart_of: Callable[[Any, str], Chart | None], title: Callable[[Any], str]
) -> tuple[Part, ...]:
    found = []
    for place, result in enumerate(results, 1):
        chart = chart_of(result, f"{name}-{place}")
        if chart is not None:
            found.append(Part(name=str(place), title=title(result), figures=(_figure(chart),)))
    return tuple(found)


def _steps(collected: Collected) -> Section:
    parts = _charts(
        "steps",
        collected.artifacts[:DRAWN],
        lambda result, name: waterfall(result.document, name),
        lambda result: f"{words.model(result.model)} from {result.document['source']}",
    )
    return Section(name="steps", title="What each step bought", parts=parts)


def _ops(collected: Collected) -> Section:
    parts = _charts(
        "ops",
        collected.profiles[:DRAWN],
        lambda result, name: ops(result, name),
        lambda result: f"{words.model(result.model)} on {result.device}",
    )
    return Section(name="ops", title="Where the time goes", parts=parts)


def _checks(collected: Collected) -> Section:
    parts = [
        Part(name=one.name, title=one.title, figures=tuple(map(_figure, one.charts)), tables=one.tables)
        for one in checks.checks(collected)
    ]
    return Section(name="checks", title="Comparisons and gates", parts=tuple(parts))


def _histories(collected: Collected) -> Section:
    parts = _charts(
        "history",
        collected.histories[:DRAWN],
        over_time,
        lambda points: (
            f"{words.model(points[-1].model)} on {points[-1].series.device}, "
            + (f"{points[-1].series.runtime}, {points[-1].series.delegate}, " if collected.has_runtimes else "")
            + words.count(points[-1].series.num_threads, "thread")
        ),
    )
    return Section(name="history", title="Over time", parts=parts)


def _boards(collected: Collected) -> Section:
    parts = [
        Part(
            name=str(place),
            title=board,
            facts=boards.facts([held for held in collected.measurements if held.board == board]),
        )
        for place, board in enumerate(collected.boards, 1)
    ]
    if collected.deployments:
        parts.append(
            Part(name="deployed", title="What is deployed where", tables=(boards.deployed(collected.deployments),))
        )
    return Section(name="boards", title="Boards", parts=tuple(parts))


def _commands(collected: Collected) -> Section:
    if not collected.results:
        return Section(name="repeat", title="Repeat it")
    return Section(name="repeat", title="Repeat it", parts=(Part(commands=commands(collected)),))
