"""A gate on a terminal: one row a check, and the verdict in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.measure.gate import Gate
from edgekit.report import words
from edgekit.report.clean import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {"passed": "green", "failed": "red", "inconclusive": "yellow", "invalid": "red", "skipped": "dim"}


def gate_sentence(gate: Gate) -> str:
    """What came of it, in words."""
    failed, unusable, left = gate.of("failed"), gate.of("invalid"), gate.of("inconclusive")
    if gate.verdict == "failed":
        figures = ", ".join(f"{check.name} of {clean(words.model(check.model))} on {check.device}" for check in failed)
        return f"failed: {figures}"
    if gate.verdict == "invalid":
        return f"invalid: {words.count(len(unusable), 'check')} could not be measured so that it may be used"
    if gate.verdict == "inconclusive":
        return f"inconclusive: {words.count(len(left), 'check')} neither shown to be worse nor to be within the limit"
    return f"passed: {words.count(len(gate.of('passed')), 'check')}"


def gate_table(gate: Gate) -> RenderableType:
    """Every check with its figures, then the sentence and what it depends on."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from edgekit.measure.measurement import to_document

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    several = len({check.device for check in gate.checks}) > 1 or len({check.model for check in gate.checks}) > 1
    table.add_column("", no_wrap=True)
    if several:
        table.add_column("board", no_wrap=True)
        table.add_column("model")
    table.add_column("check")
    for check in gate.checks:
        where = [clean(check.device), clean(words.model(check.model))] if several else []
        table.add_row(Text(check.outcome, style=_STYLES[check.outcome]), *where, Text(clean(check.message)))
    sentence = Text(gate_sentence(gate), style=f"bold {_STYLES[gate.verdict]}")
    about = [
        Text(
            clean(
                f"{words.model(one.candidate.model.name)} on {words.device(to_document(one.candidate))}: "
                f"{words.circumstances(to_document(one.candidate))} a side; seed {one.seed}"
            ),
            style="dim",
        )
        for one in gate.comparisons
    ]
    return Group(table, sentence, *about)
