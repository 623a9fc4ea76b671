"""A profile on a terminal: the ops that take most, the kinds, what the delegate left, and what the times cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.core import units
from edgekit.measure.emulated import called
from edgekit.measure.profile_model import KindTime, ModelProfile, ProfiledFileOp
from edgekit.report import words
from edgekit.report.terminal import facts_table, rows_table

if TYPE_CHECKING:
    from rich.console import RenderableType


def profile_tables(found: ModelProfile, *, top: int) -> list[RenderableType]:
    """What a person sees, from top to bottom."""
    ranked = sorted(found.ops, key=lambda op: -op.elapsed_ns)
    rest = ranked[top:]
    rows = [_op_row(op) for op in ranked[:top]]
    if rest:
        shown = words.count(len(rest), "other op")
        rows.append(
            (shown, "", _elapsed(sum(op.elapsed_ns for op in rest)), _share(sum(op.share for op in rest)), "", "")
        )
    return [
        rows_table(("layer", "op", "time", "share", "MACs/s", ""), rows, right=(2, 3, 4), title=_title(found)),
        rows_table(
            ("kind", "ops", "delegated", "time", "share"), [_kind_row(k) for k in found.kinds], right=(1, 2, 3, 4)
        ),
        facts_table(_facts(found)),
    ]


def _title(found: ModelProfile) -> str:
    what = words.count(found.num_threads, "thread")
    board = called(found.device, found.emulated)
    return f"{words.model(found.model)} on {board}, {found.runtime.name} {found.runtime.version}, {what}"


def _op_row(op: ProfiledFileOp) -> tuple[str, ...]:
    pace = f"{units.count(op.macs_per_s)}" if op.macs_per_s else ""
    return (
        op.layer or words.NOTHING,
        f"{op.name} ({op.index})",
        _elapsed(op.elapsed_ns),
        _share(op.share),
        pace,
        op.hint,
    )


def _kind_row(kind: KindTime) -> tuple[str, ...]:
    took = f"{kind.delegated} of {kind.count}" if kind.delegated else "none"
    return kind.name, str(kind.count), took, _elapsed(kind.elapsed_ns), _share(kind.share)


def _facts(found: ModelProfile) -> list[tuple[str, object]]:
    return [
        ("delegate", _delegate(found)),
        ("one run", f"{units.duration(found.whole_ns)}, {units.duration(found.between_ns)} of it between the ops"),
        ("taking these times", _cost(found)),
        ("counted", f"the quicker {found.runs} of {len(found.whole_us)} runs; the runtime's clock counts whole µs"),
        *(
            [("", "an emulated processor: which op takes how long there says nothing about a real board")]
            if found.emulated
            else []
        ),
    ]


def _delegate(found: ModelProfile) -> str:
    name, total = found.runtime.delegate, len(found.ops)
    if found.outside_delegate_share is None:
        return f"none: the runtime's own kernels ran all {words.count(total, 'op')}"
    if found.delegated_ops == total:
        return f"{name} took all {words.count(total, 'op')}"
    left = dict.fromkeys(op.name for op in found.ops if not op.delegated)
    outside = f"{_share(found.outside_delegate_share)} of the time lies outside: {', '.join(left)}"
    return f"{name} took {found.delegated_ops} of {words.count(total, 'op')}; {outside}"


def _cost(found: ModelProfile) -> str:
    cost = found.cost
    if cost.without_ns is None or cost.ratio is None:
        return "a run is too short to see what they cost"
    times = f"{units.duration(cost.without_ns)} without, {units.duration(cost.with_ns)} with"
    seen = f"{(cost.ratio - 1) * 100:.0f} % more" if cost.ratio >= 1.005 else "no difference beyond the noise"
    return f"{times} ({seen}); no benchmark: `edgekit benchmark` is"


def _elapsed(ns: float) -> str:
    """The runtime's clock counts whole microseconds: less than one is no figure."""
    return units.duration(ns) if ns >= 1000 else "< 1 µs"


def _share(value: float) -> str:
    return f"{value * 100:.1f} %"
