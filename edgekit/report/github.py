"""A gate for GitHub Actions: a summary of the step in Markdown, and annotations.

Source: docs.github.com, "Workflow commands for GitHub Actions"; escaping as in actions/toolkit, ``command.ts``.
"""

from __future__ import annotations

from edgekit.measure.gate import Check, Gate
from edgekit.measure.measurement import to_document
from edgekit.report import words
from edgekit.report.clean import clean, markdown

SIGNS = {"passed": "✅", "failed": "❌", "inconclusive": "❔", "invalid": "⚠️", "skipped": "➖"}
_HEADLINES = {
    "passed": "within its limits",
    "failed": "a regression",
    "inconclusive": "neither shown to be worse nor to be within its limits",
    "invalid": "measured, but not to be used",
}


def step_summary(gate: Gate) -> str:
    """Markdown: the verdict, one row a check, and what the figures depend on."""
    lines = [f"### {SIGNS[gate.verdict]} edgekit gate: {_HEADLINES[gate.verdict]}", ""]
    lines += ["| | board | model | check |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {SIGNS[check.outcome]} | {markdown(check.device)} | {markdown(words.model(check.model))} "
        f"| {markdown(check.message)} |"
        for check in gate.checks
    ]
    lines.append("")
    lines += [
        f"<sub>{markdown(words.model(one.candidate.model.name))} on {markdown(one.device)}: "
        f"{markdown(words.circumstances(to_document(one.candidate)))} a side, {one.pairs} pairs in an order drawn by "
        f"lot (seed {one.seed}); baseline {one.baseline.model.sha256[:12]}, "
        f"candidate {one.candidate.model.sha256[:12]}</sub>  "
        for one in gate.comparisons
    ]
    return "\n".join(lines) + "\n"


def workflow_commands(gate: Gate, *, fail_inconclusive: bool = True) -> list[str]:
    """An annotation for each check that did not pass; skipped ones are only in the summary."""
    told = [check for check in gate.checks if check.outcome not in ("passed", "skipped")]
    return [_annotation(check, fail_inconclusive) for check in told]


def _annotation(check: Check, fail_inconclusive: bool) -> str:
    warns = check.outcome == "inconclusive" and not fail_inconclusive
    title = _property(f"edgekit gate: {check.name} of {words.model(check.model)} on {check.device}")
    return f"::{'warning' if warns else 'error'} title={title}::{_data(check.message)}"


def _data(text: str) -> str:
    return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
