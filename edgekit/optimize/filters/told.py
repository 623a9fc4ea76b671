"""The account of a cut in records and in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgekit.core.notice import Notice
from edgekit.optimize.filters.choose import Choice, prunable
from edgekit.optimize.filters.graph import Dependencies
from edgekit.optimize.filters.records import FiltersPruned, GroupCut, LeftWhole


def cuts(before: Dependencies, after: Dependencies, used: Mapping[str, str]) -> tuple[GroupCut, ...]:
    """The groups that lost channels."""
    sizes = {group.name: group.channels.size for group in after.groups}
    return tuple(
        GroupCut(
            name=group.name,
            layers=group.layers,
            unit=group.unit,
            before=group.channels.size,
            after=sizes[group.name],
            criterion=used[group.name],
        )
        for group in before.groups
        if sizes[group.name] < group.channels.size
    )


def left(before: Dependencies, after: Dependencies, choice: Choice) -> tuple[LeftWhole, ...]:
    """The groups that did not, and why."""
    sizes = {group.name: group.channels.size for group in after.groups}
    may = {group.name for group in prunable(before, choice.skip)}
    found = []
    for group in before.groups:
        if sizes[group.name] < group.channels.size:
            continue
        reason = group.frozen
        if reason is None:
            reason = "its channels rank among the best" if group.name in may else "skipped, as asked for"
            if group.name in may and choice.scope == "per-layer":
                reason = f"{choice.ratio:.0%} of {group.channels.size} {group.unit}, rounded, is none"
        found.append(
            LeftWhole(
                name=group.name, layers=group.layers, unit=group.unit, channels=group.channels.size, reason=reason
            )
        )
    return tuple(found)


def with_notes(record: FiltersPruned) -> FiltersPruned:
    """The record with its sentences."""
    if not record.groups:
        notice = Notice(
            code="nothing-removed",
            message="no filter was removed: the ratio is 0, or too small for the few filters of these layers",
            hint="use a larger --ratio",
        )
        return replace(record, notes=(*record.notes, *_whole(record)), notices=(*record.notices, notice))
    return replace(record, notes=(_buys(record), _checked(record), *record.notes, *_tuned(record), *_whole(record)))


def _buys(record: FiltersPruned) -> str:
    gone = sum(group.before - group.after for group in record.groups)
    all_of = sum(group.before for group in record.groups) + sum(group.channels for group in record.left)
    before, after = record.parameters_before, record.parameters
    weights = f"{before:,} → {after:,} weights ({_less(before, after)})"
    macs = ""
    if record.macs_before and record.macs is not None:
        macs = f", {_short(record.macs_before)} → {_short(record.macs)} MACs ({_less(record.macs_before, record.macs)})"
    return (
        f"{gone} of {all_of} channels in {len(record.groups)} groups of layers are gone: {weights}{macs}. Shapes are "
        "smaller, so file, memory and latency fall in every runtime and after int8 too; latency falls by less than the "
        "share of MACs (a MobileNetV2 on x86: 49% fewer MACs, 29% less time in float and 25% in int8; 72% fewer, "
        "62% and 51%)"
    )


def _checked(record: FiltersPruned) -> str:
    worst = max(record.exactness, key=lambda item: item.masked / item.scale)
    return (
        "the cut is exact: with the same channels set to zero the big model gives the same outputs (largest "
        f"difference {worst.masked:.1e} of {worst.scale:.2g}, {worst.rows} random rows), and rebuilt whole it differs "
        f"by {max(item.rebuilt for item in record.exactness):.1e}"
    )


def _tuned(record: FiltersPruned) -> tuple[str, ...]:
    if not record.statistics_rows:
        return ()
    when = "after every cut and every training" if record.losses else "after the cut"
    return (f"BatchNormalization statistics computed anew {when}, from {record.statistics_rows} rows",)


def _whole(record: FiltersPruned) -> tuple[str, ...]:
    if not record.left:
        return ()
    return (f"left whole: {'; '.join(f'{group.name} ({group.reason})' for group in record.left)}",)


def _less(before: int, after: int) -> str:
    return f"{1 - after / max(1, before):.0%} less"


def _short(number: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
