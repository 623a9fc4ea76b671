"""A diagnosis on a terminal: one table of layers, what to do, and the recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.core import units

if TYPE_CHECKING:
    from edgekit.optimize.diagnose.evidence import Evidence
    from edgekit.optimize.diagnose.layers import LayerShare
    from edgekit.optimize.diagnose.spectrum import LayerSpectrum
    from edgekit.verbs.diagnose import Diagnosis

_MOST_ROWS = 24
_NOTHING = "–"


def document(found: Diagnosis) -> dict[str, Any]:
    """The diagnosis as JSON values."""
    from edgekit.core.decode import to_json

    return dict(to_json(found))


def renderables(found: Diagnosis) -> list[Any]:
    """What a person sees, from top to bottom."""
    from edgekit.report.terminal import facts_table

    parts: list[Any] = [facts_table(_facts(found)), _layers(found), facts_table(_legend(found))]
    parts += ["", "What to do", ""]
    for number, point in enumerate(found.points, 1):
        parts += _item(f"{number}.", point.text, point.reason)
    if found.left_out:
        parts += ["", "Left out", ""]
        for item in found.left_out:
            hint = f" ({item.hint})" if item.hint else ""
            parts += _item("-", f"{item.part}: {item.reason}{hint}", "")
    return parts


def recipe_part(found: Diagnosis) -> list[Any]:
    """The recipe as it would stand in a file, and how to use it."""
    if found.recipe_text is None:
        return []
    lines = [line for line in found.recipe_text.splitlines() if not line.startswith("#")]
    return ["", "The recipe (--recipe-out FILE.toml writes it)", "", *(f"  {line}" if line else "" for line in lines)]


def _facts(found: Diagnosis) -> list[tuple[str, object]]:
    parameters = "" if found.parameters is None else f"{found.parameters:,} parameters, "
    macs = "" if found.macs is None else f"{found.macs:,} MACs, "
    what = "" if found.format == "tflite" else " as a float32 .tflite"
    rows: list[tuple[str, object]] = [
        ("model", found.path),
        ("whole", f"{parameters}{macs}{units.size(found.evidence.size_bytes)}{what}"),
    ]
    if found.profile is not None:
        from edgekit.core.decode import to_json
        from edgekit.report import words

        used = to_json(found.profile)
        threads = words.count(found.profile.num_threads, "thread")
        rows.append(("time on", f"{words.device(used)}, {words.runtime(used)}, {threads}"))
        rows.append(("one run", _run(found)))
    return rows


def _run(found: Diagnosis) -> str:
    assert found.profile is not None
    between = found.profile.whole_ns - found.profile.ops_ns
    return (
        f"{units.duration(found.profile.whole_ns)} with the profiler on: {units.duration(found.profile.ops_ns)} "
        f"in ops, {units.duration(between)} between them"
    )


def _layers(found: Diagnosis) -> Any:
    from edgekit.report.terminal import rows_table

    evidence = found.evidence
    whole = _Whole.of(evidence.shares)
    spectra = {item.layer: item for item in evidence.spectra if item.law is not None}
    cuts = {name: cut for cut in evidence.cuts for name in cut.layers}
    noise = {item.layer: item for item in evidence.quantization}
    columns: list[tuple[str, Callable[[LayerShare], str]]] = [
        ("layer", lambda share: share.name),
        ("kind", lambda share: share.kind or share.type),
        ("MACs", lambda share: _percent(share.macs, whole.macs)),
        ("bytes", lambda share: _percent(share.bytes, whole.bytes)),
    ]
    if evidence.timed:
        columns.append((evidence.basis, lambda share: _time(share, whole)))
    sums = len(columns) - 2
    if spectra:
        columns.append(("alpha", lambda share: _alpha(spectra.get(share.name))))
    if cuts:
        columns.append(("cut", lambda share: _cut(cuts.get(share.name))))
    if noise:
        columns.append(("int8", lambda share: _int8(noise.get(share.name))))
    shown, rest = _chosen(evidence)
    rows = [tuple(show(share) for _, show in columns) for share in shown]
    if rest:
        part = _Whole.of(rest)
        texts = [_percent(part.macs, whole.macs), _percent(part.bytes, whole.bytes), _percent(part.ns, whole.ns)][:sums]
        rows.append((f"{len(rest)} smaller", "", *texts, *("" for _ in columns[2 + sums :])))
    headers = tuple(name for name, _ in columns)
    return rows_table(headers, rows, right=tuple(range(2, len(columns))))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Whole:
    """Sums over layers."""

    macs: int
    bytes: int
    ns: float

    @classmethod
    def of(cls, shares: Sequence[LayerShare]) -> _Whole:
        return cls(
            macs=sum(share.macs or 0 for share in shares),
            bytes=sum(share.bytes for share in shares),
            ns=sum(share.elapsed_ns or 0.0 for share in shares),
        )


def _chosen(evidence: Evidence) -> tuple[list[LayerShare], list[LayerShare]]:
    """Layers that have ops of their own: the heaviest in the model's order, and the others."""
    own = [share for share in evidence.shares if share.ops]
    if len(own) <= _MOST_ROWS:
        return own, []
    whole = _Whole.of(own)

    def weight(place: int) -> float:
        share = own[place]
        parts = ((share.macs, whole.macs), (share.bytes, whole.bytes), (share.elapsed_ns, whole.ns))
        return max((value or 0) / total if total else 0.0 for value, total in parts)

    heavy = set(sorted(range(len(own)), key=weight, reverse=True)[: _MOST_ROWS - 1])
    return [own[i] for i in sorted(heavy)], [own[i] for i in range(len(own)) if i not in heavy]


def _percent(value: float | None, total: float) -> str:
    if not value or not total:
        return _NOTHING
    return f"{value / total:.1%}" if value / total >= 0.0005 else "<0.1%"


def _time(share: LayerShare, whole: _Whole) -> str:
    left = "*" if share.delegated is False else ""
    return f"{left}{_percent(share.elapsed_ns, whole.ns)}"


def _alpha(item: LayerSpectrum | None) -> str:
    if item is None or item.law is None:
        return _NOTHING
    mark = {"unclear": "? ", "like random": "random "}.get(item.verdict, "")
    return f"{mark}{item.law.alpha:.1f}"


def _cut(cut: Any) -> str:
    if cut is None or not cut.drops:
        return _NOTHING
    return "0.0 pp" if abs(cut.drops[0]) < 0.05 else f"{-cut.drops[0]:+.1f} pp"


def _int8(item: Any) -> str:
    return _NOTHING if item is None or item.snr_db is None else f"{item.snr_db:.0f} dB"


def _legend(found: Diagnosis) -> list[tuple[str, object]]:
    """What the columns mean, and what became of the layers that are not in the table."""
    evidence = found.evidence
    rows: list[tuple[str, object]] = []
    if evidence.timed:
        rows.append(("time", "of the ops; whole microseconds are counted, so ops below about 5 µs are rough"))
        left = dict.fromkeys(share.name for share in evidence.shares if share.delegated is False)
        if left:
            rows.append(("*", f"not taken by XNNPACK, the runtime has its own kernel: {', '.join(left)}"))
    if any(item.law is not None for item in evidence.spectra):
        about = "of the weight spectrum: 2 to 6 well trained, above under-trained, below over-trained"
        marks = {item.verdict for item in evidence.spectra}
        about += "; ? the tail is too short to be sure" if "unclear" in marks else ""
        about += "; random: nothing that a random matrix would not have" if "like random" in marks else ""
        rows.append(("alpha", about))
    if evidence.cuts:
        ratio = evidence.cuts[0].ratios[0] if evidence.cuts[0].ratios else 0
        rows.append(("cut", f"change of the score with {ratio:.0%} of its filters gone, before any fine-tuning"))
    if evidence.quantization:
        rows.append(("int8", "signal to noise at the output with only this layer in int8; 20 dB is 10 % of noise"))
    folded = [
        f"{pair[0]} of {pair[1]} {what}"
        for pair, what in (
            (evidence.fusion.batch_norms, "BatchNormalization"),
            (evidence.fusion.activations, "activations"),
        )
        if pair is not None and pair[1]
    ]
    if folded:
        rows.append(("folded", ", ".join(folded)))
    if evidence.fusion.training_only:
        rows.append(("gone", f"{', '.join(evidence.fusion.training_only)}: for training alone"))
    return rows


def _item(mark: str, text: str, reason: str) -> list[Any]:
    """A paragraph with a mark before it and the reason below."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=3, justify="right")
    grid.add_column()
    body = Text(text)
    if reason:
        body.append(f"\nwhy: {reason}", style="dim")
    grid.add_row(mark, body)
    return [Padding(grid, (0, 0, 0, 0))]
