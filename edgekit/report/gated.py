"""A gate on a terminal: one row a check, why where figures do not say it, and the verdict in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.core import units
from edgekit.measure.compare import Change
from edgekit.measure.gate import Gate
from edgekit.measure.gate_checks import Check
from edgekit.measure.measurement import to_document
from edgekit.report import words
from edgekit.report.clean import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {"passed": "green", "failed": "red", "inconclusive": "yellow", "invalid": "red", "skipped": "dim"}
#: so many models that were not compared are named
_NAMED = 4
HEADERS = ("check", "baseline", "candidate", "change (95 % interval)", "limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A model on a board: its checks, and what they depend on (empty: nothing was measured)."""

    device: str
    model: str
    checks: tuple[Check, ...]
    circumstances: str


def looked_at(gate: Gate) -> tuple[Looked, ...]:
    """The checks by board and model, in the gate's order."""
    about = {
        (one.device, one.candidate.model.name): (
            f"{words.circumstances(to_document(one.candidate))} a side, "
            f"{words.count(one.pairs, 'pair')} in an order drawn by lot (seed {one.seed}); "
            f"baseline {one.baseline.model.sha256[:12]}, candidate {one.candidate.model.sha256[:12]}"
        )
        for one in gate.comparisons
    }
    keys = dict.fromkeys((check.device, check.model) for check in gate.checks)
    return tuple(
        Looked(
            device=device,
            model=words.model(model),
            checks=tuple(check for check in gate.checks if (check.device, check.model) == (device, model)),
            circumstances=about.get((device, model), ""),
        )
        for device, model in keys
    )


def cells(check: Check) -> tuple[str, ...]:
    """A check under :data:`HEADERS`."""
    change, score = check.change, check.name == "score"
    if check.name in ("baseline", "board"):
        return (check.name, *[words.NOTHING] * 4)
    return (
        f"score ({change.name})" if score and change.name != "score" else check.name,
        _value(change, change.baseline),
        _value(change, change.candidate),
        _grown(change),
        f"-{check.limit:g} {'pp' if words.is_fraction(change.name) else '%'}"
        if score
        else f"+{(check.limit - 1) * 100:.3g} %",
    )


def why(check: Check) -> str:
    """What a row cannot say; empty where it says all."""
    if check.outcome == "skipped" or check.name == "board":
        return check.message
    return f"{check.name}: {check.why}" if check.why else ""


def gate_sentence(gate: Gate) -> str:
    """What came of it, in words."""
    failed, left = gate.of("failed"), gate.of("inconclusive")
    missing = [check for check in gate.of("invalid") if check.name == "board"]
    unusable = len(gate.of("invalid")) - len(missing)
    apart = [f"{words.model(check.model)} on {check.device}" for check in missing]
    if len(apart) > _NAMED:
        apart = [f"{words.count(len(apart), 'model')} on {words.count(len({one.device for one in missing}), 'board')}"]
    told = [f"not compared: {clean(', '.join(apart))}"] if missing else []
    if gate.verdict == "failed":
        figures = ", ".join(f"{check.name} of {words.model(check.model)} on {check.device}" for check in failed)
        return "; ".join([f"failed: {clean(figures)}", *told])
    if gate.verdict == "invalid":
        if unusable:
            told.insert(0, f"{words.count(unusable, 'check')} could not be measured so that it may be used")
        return f"invalid: {'; '.join(told)}"
    if gate.verdict == "inconclusive":
        return f"inconclusive: {words.count(len(left), 'check')} neither shown to be worse nor to be within the limit"
    if not gate.of("passed"):
        return "passed: nothing was compared"
    return f"passed: {words.count(len(gate.of('passed')), 'check')}"


def gate_table(gate: Gate) -> RenderableType:
    """A table for each board and model, then the sentence."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    for looked in looked_at(gate):
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for header in ("", *HEADERS):
            table.add_column(header, no_wrap=True)
        for check in looked.checks:
            table.add_row(Text(check.outcome, style=_STYLES[check.outcome]), *map(clean, cells(check)))
        parts += [Text(clean(f"{looked.model} on {looked.device}"), style="bold"), table]
        notes = [*filter(None, map(why, looked.checks)), looked.circumstances]
        parts += [Padding(Text(clean(note), style="dim"), (0, 0, 0, 2)) for note in notes if note]
        parts.append(Text(""))
    return Group(*parts, Text(gate_sentence(gate), style=f"bold {_STYLES[gate.verdict]}"))


def _value(change: Change, value: float | None) -> str:
    if change.name.endswith("_ns"):
        return units.duration(value)
    return units.size(value) if change.name.endswith("_bytes") else words.score(value, change.name)


def _grown(change: Change) -> str:
    if change.ratio is None:
        if change.difference is None:
            return words.NOTHING
        if words.is_fraction(change.name):
            return f"{change.difference * 100:+.2f} pp"
        return f"{change.difference / change.baseline * 100:+.2f} %" if change.baseline else f"{change.difference:+.4g}"
    text = f"{(change.ratio - 1) * 100:+.1f} %"
    if change.ci95 is None:
        return text
    low, high = ((bound - 1) * 100 for bound in change.ci95)
    return f"{text} ({low:+.1f} to {high:+.1f})"
