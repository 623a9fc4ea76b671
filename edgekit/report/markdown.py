"""The report as text for a pull request: decisions first, a compact table, everything else folded."""

from __future__ import annotations

from collections.abc import Iterable

from edgekit.core import units
from edgekit.core.version import VERSION
from edgekit.report import words
from edgekit.report.clean import markdown
from edgekit.report.collected import Collected
from edgekit.report.commands import commands
from edgekit.report.headlines import headline
from edgekit.report.summary import answers
from edgekit.results.record import StoredResult

_SIGNS = {
    **dict.fromkeys(("valid", "passed", "faster", "equivalent"), "✅"),
    **dict.fromkeys(("unstable", "inconclusive"), "⚠️"),
    **dict.fromkeys(("invalid", "failed", "slower"), "❌"),
}


def pull_request(collected: Collected) -> str:
    """The report in GitHub's Markdown.

    Args:
        collected: what the report is of.
    """
    blocks = ["## edgekit report", *_decisions(collected), *_summary(collected)]
    if collected.measurements:
        blocks.append(_measurements(collected))
        blocks.append(_folded("What the figures depend on, and the verdicts' reasons", _circumstances(collected)))
    blocks += [f"- {markdown(text)}" for text in collected.left_out]
    if collected.results:
        blocks.append(_folded("Repeat it", [_fenced(command.text for command in commands(collected))]))
    blocks.append(f"<sub>edgekit {VERSION}, {collected.created[:16].replace('T', ' ')} UTC</sub>")
    return "\n\n".join(blocks) + "\n"


def _decisions(collected: Collected) -> list[str]:
    """Gates, comparisons and self-tests, one line each."""
    rows = (*collected.gates, *collected.comparisons, *collected.selftests)
    return ["\n".join(f"- {_decision(result)}" for result in rows)] if rows else []


def _decision(result: StoredResult) -> str:
    short = headline({"kind": result.kind, "verdict": result.verdict, "document": result.document})
    subject = f"{words.model(result.model)} on {result.device}"
    return f"{_SIGNS.get(str(result.verdict), '•')} {result.kind}: **{markdown(subject)}**: {markdown(short)}"


def _summary(collected: Collected) -> list[str]:
    found = [
        f"{_SIGNS.get(one.verdict, '•')} **{markdown(one.model)} on {markdown(one.board)}: {markdown(one.headline)}**, "
        f"{one.verdict.upper()}. {markdown(one.about)} {markdown(one.cost)}".rstrip()
        for one in answers(collected)
    ]
    return found or ["Nothing was measured yet that this report could show."]


def _measurements(collected: Collected) -> str:
    several = collected.has_runtimes
    headers = ("threads", "latency ±95 %", "memory", "size", "score", "verdict")
    headers = ("board", "model", *(("runtime",) if several else ()), *headers)
    rows = [
        (
            held.board,
            held.model,
            *((str(words.runtime_in_short(held.document)),) if several else ()),
            str(held.document["num_threads"]),
            words.margin(held.document["latency"]),
            units.size(held.document["memory"]["peak_rss_bytes"]),
            units.size(held.size_bytes),
            words.score(held.score.get("final"), held.score.get("metric")),
            f"{_SIGNS.get(held.document['verdict'], '•')} {held.document['verdict']}",
        )
        for held in collected.measurements
    ]
    lines = [headers, tuple("--:" if 2 <= place - several <= 6 else "---" for place in range(len(headers)))]
    lines += [tuple(map(markdown, row)) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _circumstances(collected: Collected) -> list[str]:
    lines = []
    for held in collected.measurements:
        about = f"{held.model} on {held.board}: {words.circumstances(held.document)}"
        reasons = "; ".join(held.document["reasons"])
        lines.append(f"- {markdown(about)}{f': {markdown(reasons)}' if reasons else ''}")
    return ["\n".join(lines)]


def _folded(title: str, blocks: Iterable[str]) -> str:
    inner = "\n\n".join(blocks)
    return f"<details><summary>{markdown(title)}</summary>\n\n{inner}\n\n</details>"


def _fenced(lines: Iterable[str]) -> str:
    """A block of code that no line of it can end."""
    from edgekit.report.clean import clean

    text = "\n".join(map(clean, lines))
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}sh\n{text}\n{fence}"
