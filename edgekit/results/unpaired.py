"""Two kept measurements that never ran as pairs: is one faster, by the test and with the caveat of histories?"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgekit.core.errors import UsageError
from edgekit.results.changes import LEAST_A_SIDE, mann_whitney, step_at
from edgekit.results.history import CAVEAT, HistoryPoint, breaks_between, point_of

if TYPE_CHECKING:
    from edgekit.results.record import StoredResult
    from edgekit.results.store import Store

#: differences of circumstances that leave nothing to compare
_FORBIDDEN = ("new OS build",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaired:
    """What two kept measurements say of each other.

    Attributes:
        verdict: of the candidate; inconclusive where the rule of :func:`edgekit.results.changes.steps` sees no step.
        ratio: candidate / baseline, of the medians of process medians.
        p: of the two-sided Mann-Whitney test over process medians; None where a side has too few of them.
        reasons: why it stays open, and what else differs between the two.
        caveat: to be shown with it.
    """

    verdict: Literal["faster", "slower", "inconclusive"]
    ratio: float
    p: float | None
    reasons: tuple[str, ...]
    baseline: HistoryPoint
    candidate: HistoryPoint
    caveat: str = CAVEAT


def compare_kept(store: Store, baseline: str, candidate: str) -> Unpaired:
    """Compares two kept measurements of one board, measured by one plan on one build of its system.

    Args:
        store: where they are.
        baseline, candidate: their ids, or unambiguous beginnings.

    Raises:
        UsageError: no such results, not measurements, or of circumstances that must not be compared.
        StoreError: the store cannot be read.
    """
    rows = [_measurement(store, one) for one in (baseline, candidate)]
    old, new = (point_of(store, row) for row in rows)
    if old.id == new.id:
        raise UsageError(f"{old.id} is one measurement: there is nothing to compare it with")
    apart = _circumstances(old, new)
    between = breaks_between(*rows)
    apart += [text for text in between if text.startswith(_FORBIDDEN)]
    if apart:
        raise UsageError(
            f"{old.id[:8]} and {new.id[:8]} cannot be compared: {'; '.join(apart)}",
            hint="run both in pairs: edgekit compare A.tflite B.tflite --device NAME",
        )
    for point in (old, new):
        if not point.process_medians_ns:
            raise UsageError(f"{point.id} cannot be compared: {point.missing or 'it has no processes'}")
    return _judged(old, new, [text for text in between if not text.startswith(_FORBIDDEN)])


def _measurement(store: Store, prefix: str) -> StoredResult:
    row = store.get(prefix)
    if row.kind != "measurement":
        sides = (row.document.get(name) for name in ("baseline", "candidate"))
        known = [str(side["id"])[:8] for side in sides if isinstance(side, dict) and side.get("id")]
        hint = f"its two sides are {' and '.join(known)}" if known else "edgekit results list --kind measurement"
        raise UsageError(f"{row.id} is a {row.kind}, and measurements are compared", hint=hint)
    return row


def _circumstances(old: HistoryPoint, new: HistoryPoint) -> list[str]:
    """What must be the same, and is not."""
    found = [
        f"{what} {before or 'own'} and {after or 'own'}"
        for what, before, after in (
            ("the boards", old.series.device, new.series.device),
            ("the labs", old.series.lab, new.series.lab),
            ("the plans", old.series.plan, new.series.plan),
        )
        if before != after
    ]
    return [*found, *(["the board is emulated"] if old.series.device.endswith("(emulated)") else [])]


def _judged(old: HistoryPoint, new: HistoryPoint, between: list[str]) -> Unpaired:
    sides = [old.process_medians_ns, new.process_medians_ns]
    ratio = statistics.median(sides[1]) / statistics.median(sides[0])
    few = min(map(len, sides)) < LEAST_A_SIDE
    step = None if few else step_at(sides, 1)
    reasons = [
        f"other {what}: {before or 'unknown'} → {after or 'unknown'}"
        for what, before, after in (
            ("runtime", old.series.runtime, new.series.runtime),
            ("delegate", old.series.delegate, new.series.delegate),
            ("number of threads", old.series.num_threads, new.series.num_threads),
        )
        if before != after
    ]
    if few:
        counts = " and ".join(str(len(side)) for side in sides)
        reasons.insert(0, f"{counts} processes are too few: {LEAST_A_SIDE} a side are needed")
    elif step is None:
        reasons.insert(0, "no more than what sessions on one board differ by anyhow")
    verdict: Literal["faster", "slower", "inconclusive"] = "inconclusive"
    if step is not None:
        verdict = "slower" if step.ratio > 1 else "faster"
    return Unpaired(
        verdict=verdict,
        ratio=ratio,
        p=None if few else mann_whitney(*sides),
        reasons=(*reasons, *between),
        baseline=old,
        candidate=new,
    )
