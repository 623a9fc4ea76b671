"""A gate for GitHub Actions: a summary of the step in Markdown, and annotations.

Source: docs.github.com, "Workflow commands for GitHub Actions"; escaping as in actions/toolkit, ``command.ts``.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.core.errors import EdgekitError
from edgekit.measure.gate import Gate
from edgekit.measure.gate_checks import Check, Outcome
from edgekit.report import words
from edgekit.report.clean import clean, markdown
from edgekit.report.gated import HEADERS, cells, looked_at, why

SIGNS = {"passed": "✅", "failed": "❌", "inconclusive": "❔", "invalid": "⚠️", "skipped": "➖"}
_HEADLINES = {
    "passed": "within its limits",
    "failed": "a regression",
    "inconclusive": "neither shown to be worse nor to be within its limits",
    "invalid": "measured, but not to be used",
}


def step_summary(gate: Gate) -> str:
    """Markdown: the verdict, a table for each board and model with one row a check, and what the figures depend on."""
    nothing = gate.verdict == "passed" and not gate.of("passed")
    headline = "nothing was compared" if nothing else _HEADLINES[gate.verdict]
    if gate.verdict == "invalid" and all(check.name == "board" for check in gate.of("invalid")):
        headline = "a board could not be used"
    lines = [f"### {SIGNS['skipped' if nothing else gate.verdict]} edgekit gate: {headline}", ""]
    for looked in looked_at(gate):
        lines += [f"**{markdown(looked.model)}** on **{markdown(looked.device)}**", ""]
        lines += [f"| | {' | '.join(HEADERS)} |", "|---|---|---:|---:|---:|---:|"]
        lines += [
            f"| {SIGNS[check.outcome]} {check.outcome} | {' | '.join(map(markdown, cells(check)))} |"
            for check in looked.checks
        ]
        lines.append("")
        lines += [f"* {markdown(text)}" for text in map(why, looked.checks) if text]
        lines += ["", f"<sub>{markdown(looked.circumstances)}</sub>", ""] if looked.circumstances else [""]
    return "\n".join(lines)


def refused_summary(error: EdgekitError) -> str:
    """Markdown of a gate that did not come to any board: what is wrong, and what helps."""
    lines = [f"### {SIGNS['invalid']} edgekit gate: nothing was measured", "", markdown(error.message), ""]
    return "\n".join([*lines, markdown(error.hint), ""] if error.hint else lines)


def refused_command(error: EdgekitError) -> str:
    """The annotation of a gate that did not come to any board."""
    return f"::error title={_property('edgekit gate: nothing was measured')}::{_data(error.message)}"


def workflow_commands(gate: Gate, files: Mapping[str, str], *, fail_inconclusive: bool) -> list[str]:
    """An annotation for each check that did not pass, what fails first: GitHub shows ten errors a step.

    Args:
        gate: what was decided.
        files: model name → its file, as a path in the repository.
        fail_inconclusive: what is neither shown to be worse nor to be within the limit is an error; else a warning.
    """
    order: tuple[Outcome, ...] = ("failed", "invalid", "inconclusive", "skipped")
    told = sorted((check for check in gate.checks if check.outcome in order), key=lambda one: order.index(one.outcome))
    return [
        _annotation(check, files.get(check.model), fail_inconclusive)
        for check in told
        if check.outcome != "skipped" or check.name == "baseline"
    ]


def _annotation(check: Check, file: str | None, fail_inconclusive: bool) -> str:
    kind = "error"
    if check.outcome == "skipped":
        kind = "notice"
    elif check.outcome == "inconclusive" and not fail_inconclusive:
        kind = "warning"
    place = f"file={_property(file)}," if file else ""
    title = _property(f"edgekit gate, {check.outcome}: {check.name} of {words.model(check.model)} on {check.device}")
    return f"::{kind} {place}title={title}::{_data(check.sentence)}"


def _data(text: str) -> str:
    return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
