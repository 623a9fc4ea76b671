"""The gate: from comparisons with a baseline to passed, failed or neither, over several models and boards at once.

A latency fails only where the pairs show, beyond the chance that several tests together leave, that it has grown by
more than the limit: the signed-rank test of :mod:`edgekit.measure.paired` at the limit, Holm's step-down over all of
them (Holm 1979, Scandinavian Journal of Statistics 6). Memory hardly varies: it fails where even the smallest of the
candidate's processes is too far above the largest of the baseline's. Sizes and scores are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from edgekit.core import units
from edgekit.core.decode import to_json
from edgekit.measure import paired
from edgekit.measure.compare import Change, Comparison, to_comparison_document
from edgekit.measure.memory import peak_bytes

Outcome = Literal["passed", "failed", "inconclusive", "invalid", "skipped"]
GateVerdict = Literal["passed", "failed", "inconclusive", "invalid"]

#: chance that a gate fails a model that is within the limit, over all of its latencies
FAMILY_ERROR = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """What a candidate may cost beyond its baseline; None: not looked at.

    Attributes:
        latency, memory, size: growth as a fraction: median latency, peak resident memory, the file.
        max_drop: of the score, in percentage points; for errors (mse, mae) the growth as a percentage.
    """

    latency: float | None = 0.05
    memory: float | None = 0.05
    size: float | None = 0.01
    max_drop: float | None = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure of one model on one board against its limit.

    Attributes:
        name: ``latency``, ``memory``, ``size`` or ``score``.
        device, model: what it is about.
        outcome: ``passed``, ``failed``, ``inconclusive`` (neither is shown), ``invalid`` (must not be used) or
            ``skipped`` (nothing to compare).
        change: both sides' figures.
        limit: the highest ratio, or the largest drop.
        p: chance of such pairs if the latency had grown by no more than the limit, before Holm; None of the others.
        message: one sentence with the figures.
    """

    name: Literal["latency", "memory", "size", "score"]
    device: str
    model: str
    outcome: Outcome
    change: Change
    limit: float
    message: str
    p: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a gate decided, and from what.

    Attributes:
        verdict: ``failed`` where one check failed; else ``invalid`` or ``inconclusive`` where one is.
        checks: by board and model.
        comparisons: that the checks come from.
    """

    verdict: GateVerdict
    limits: GateLimits
    checks: tuple[Check, ...]
    comparisons: tuple[Comparison, ...]

    def of(self, outcome: Outcome) -> tuple[Check, ...]:
        """The checks that came out so."""
        return tuple(check for check in self.checks if check.outcome == outcome)


def judge_gate(comparisons: Sequence[Comparison], limits: GateLimits = GateLimits()) -> Gate:
    """Decides over all comparisons together; the same comparisons give the same gate."""
    checks = [check for comparison in comparisons for check in _checks(comparison, limits)]
    checks = _held_by_holm(checks)
    outcomes = {check.outcome for check in checks}
    order: tuple[GateVerdict, ...] = ("failed", "invalid", "inconclusive")
    verdict: GateVerdict = next((one for one in order if one in outcomes), "passed")
    return Gate(verdict=verdict, limits=limits, checks=tuple(checks), comparisons=tuple(comparisons))


def to_gate_document(gate: Gate) -> dict[str, Any]:
    """The gate in JSON values; what ``edgekit gate --json`` prints."""
    return {
        "verdict": gate.verdict,
        "reasons": [
            f"{check.model} on {check.device}: {check.message}" for check in gate.checks if check.outcome != "passed"
        ],
        "limits": to_json(gate.limits),
        "checks": to_json(gate.checks),
        "comparisons": [to_comparison_document(comparison) for comparison in gate.comparisons],
    }


def _checks(comparison: Comparison, limits: GateLimits) -> Iterator[Check]:
    if limits.latency is not None:
        yield _latency(comparison, limits.latency)
    if limits.memory is not None:
        yield _memory(comparison, limits.memory)
    if limits.size is not None:
        yield _size(comparison, limits.size)
    if limits.max_drop is not None:
        yield _score(comparison, limits.max_drop)


def _latency(comparison: Comparison, limit: float) -> Check:
    change = Change(
        name="median_ns",
        baseline=comparison.baseline.latency.median_ns,
        candidate=comparison.candidate.latency.median_ns,
        ratio=comparison.ratio,
        ci95=comparison.ci95,
    )
    p = paired.chance_of_slower(comparison.log_ratios, 1 + limit)
    outcome: Outcome
    if comparison.verdict == "invalid":
        outcome = "invalid"
        worst = next((str(reason) for reason in comparison.reasons if reason.weight == "invalid"), "")
        message = f"latency: the measurement must not be used ({worst})"
    else:
        # what Holm does not reject below is only passed where the pairs show that it is within the limit
        outcome = "passed" if comparison.ci95 is not None and comparison.ci95[1] <= 1 + limit else "inconclusive"
        message = f"latency {_grown(comparison.ratio)}{_between(comparison)}, the limit is {_percent(limit)}"
    return _check("latency", comparison, outcome, change, 1 + limit, message, p=p)


def _held_by_holm(checks: Sequence[Check]) -> list[Check]:
    """Latencies fail in the order of their chances, each against what the ones before it have left."""
    tested = sorted(
        (index for index, check in enumerate(checks) if check.p is not None and check.outcome != "invalid"),
        key=lambda index: checks[index].p or 0.0,
    )
    held = list(checks)
    for done, index in enumerate(tested):
        if (checks[index].p or 0.0) > FAMILY_ERROR / (len(tested) - done):
            break
        held[index] = replace(checks[index], outcome="failed")
    return held


def _memory(comparison: Comparison, limit: float) -> Check:
    change = comparison.memory
    ranges = [
        [peak for trial in side.samples.memory if (peak := peak_bytes(trial)) is not None]
        for side in (comparison.baseline, comparison.candidate)
    ]
    if change.ratio is None or not all(ranges):
        return _check("memory", comparison, "skipped", change, 1 + limit, f"memory: {change.missing or 'not measured'}")
    surely = min(ranges[1]) / max(ranges[0])
    outcome: Outcome = "failed" if surely > 1 + limit else "inconclusive" if change.ratio > 1 + limit else "passed"
    message = (
        f"memory {_grown(change.ratio)} ({units.size(change.baseline)} → {units.size(change.candidate)}), "
        f"the limit is {_percent(limit)}"
    )
    if comparison.verdict == "invalid" and outcome == "failed":
        outcome, message = "invalid", f"{message}; the measurement must not be used"
    return _check("memory", comparison, outcome, change, 1 + limit, message)


def _size(comparison: Comparison, limit: float) -> Check:
    change = comparison.size
    if change.ratio is None:
        return _check("size", comparison, "skipped", change, 1 + limit, "size: not known")
    message = (
        f"size {_grown(change.ratio)} ({units.size(change.baseline)} → {units.size(change.candidate)}), "
        f"the limit is {_percent(limit)}"
    )
    return _check("size", comparison, "failed" if change.ratio > 1 + limit else "passed", change, 1 + limit, message)


#: where more is better, and percentage points are the unit
_FRACTIONS = ("top-1", "top-5", "auc", "agreement")
_ERRORS = ("mse", "mae")


def _score(comparison: Comparison, max_drop: float) -> Check:
    change = comparison.score
    nothing = Change(name="score", baseline=None, candidate=None)
    if change is None:
        return _check("score", comparison, "skipped", nothing, max_drop, "score: not both models have one")
    if change.difference is None or not change.baseline:
        text = f"score: cannot be compared ({change.missing or 'one is not known'})"
        return _check("score", comparison, "skipped", change, max_drop, text)
    if change.name not in (*_FRACTIONS, *_ERRORS):
        figures = f"{change.baseline:.4g} → {change.candidate:.4g}"
        text = f"score ({change.name}): {figures}; whether more is better is not known"
        return _check("score", comparison, "skipped", change, max_drop, text)
    if change.name in _ERRORS:
        drop, unit = change.difference / change.baseline * 100, "%"
        figures = f"{change.baseline:.4g} → {change.candidate:.4g}"
    else:
        drop, unit = -change.difference * 100, "points"
        figures = f"{change.baseline:.4f} → {change.candidate:.4f}"
    message = f"score ({change.name}) {figures}, {-drop:+.2f} {unit}, {max_drop:g} may be lost"
    # a drop of exactly the limit is allowed, whatever binary fractions make of it
    outcome: Outcome = "failed" if drop > max_drop + 1e-9 else "passed"
    return _check("score", comparison, outcome, change, max_drop, message)


def _check(
    name: Literal["latency", "memory", "size", "score"],
    comparison: Comparison,
    outcome: Outcome,
    change: Change,
    limit: float,
    message: str,
    *,
    p: float | None = None,
) -> Check:
    return Check(
        name=name,
        device=comparison.device,
        model=comparison.candidate.model.name,
        outcome=outcome,
        change=change,
        limit=limit,
        message=message,
        p=p,
    )


def _grown(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{(ratio - 1) * 100:+.1f} %"


def _between(comparison: Comparison) -> str:
    bounds = comparison.ci95
    if bounds is None:
        return f" ({comparison.pairs} pairs are too few for an interval)"
    low, high = ((bound - 1) * 100 for bound in bounds)
    return f" (95 % interval {low:+.1f} to {high:+.1f} %, {comparison.pairs} pairs)"


def _percent(limit: float) -> str:
    return f"+{limit * 100:g} %"
