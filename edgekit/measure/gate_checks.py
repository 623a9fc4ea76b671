"""The checks of a gate: each figure of a comparison against its limit.

What pairs of processes tell is decided by their interval. Memory hardly varies: it fails where even the smallest of the
candidate's processes is too far above the largest of the baseline's. Sizes and scores are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edgekit.core import units
from edgekit.measure import paired
from edgekit.measure.compare import CANCELLED, Change, Comparison
from edgekit.measure.memory import peak_bytes

Figure = Literal["latency", "memory", "size", "score", "baseline", "board"]
Outcome = Literal["passed", "failed", "inconclusive", "invalid", "skipped"]


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
        name: ``latency``, ``memory``, ``size`` or ``score``; ``baseline``: there is none yet; ``board``: it
            could not be used.
        device, model: what it is about.
        outcome: ``passed``, ``failed``, ``inconclusive`` (neither is shown), ``invalid`` (must not be used) or
            ``skipped`` (nothing to compare).
        change: both sides' figures.
        limit: the highest ratio, or the largest drop.
        p: chance of such pairs if the latency had grown by no more than the limit, before Holm; None of the others.
        message: one sentence with the figures.
        why: of an outcome that the figures alone do not explain; else empty.
    """

    name: Figure
    device: str
    model: str
    outcome: Outcome
    change: Change
    limit: float
    message: str
    why: str = ""
    p: float | None = None

    @property
    def sentence(self) -> str:
        """The figures, and why they did not decide."""
        return f"{self.message}: {self.why}" if self.why else self.message


def checks_of(comparison: Comparison, limits: GateLimits) -> Iterator[Check]:
    """Every figure that has a limit. A latency is never ``failed`` here: that depends on the others."""
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
    why = ""
    message = f"latency {_grown(comparison.ratio)}{_between(comparison)}, the limit is {_percent(limit)}"
    if comparison.verdict == "invalid":
        outcome = "invalid"
        why = next((str(reason) for reason in comparison.reasons if reason.weight == "invalid"), "")
    elif comparison.ci95 is not None and comparison.ci95[1] <= 1 + limit:
        outcome = "passed"
    else:  # what Holm does not reject below is only passed where the pairs show that it is within the limit
        outcome, why = "inconclusive", _why_open(comparison, limit)
    return _check("latency", comparison, outcome, change, 1 + limit, message, why=why, p=p)


def _why_open(comparison: Comparison, limit: float) -> str:
    """Why pairs did not decide, and what was going on meanwhile."""
    if comparison.ci95 is None:
        return f"{comparison.pairs} pairs are too few"
    told = "it may be within the limit or beyond it"
    if comparison.ci95[0] > 1 + limit:
        told = "beyond the limit by itself, but not surely so among this many checks"
    noise = dict.fromkeys(reason.code for reason in comparison.reasons if reason.code in CANCELLED)
    return f"{told}; the board: {', '.join(noise)}" if noise else told


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
    why = "the processes differ too much" if outcome == "inconclusive" else ""
    message = (
        f"memory {_grown(change.ratio)} ({units.size(change.baseline)} → {units.size(change.candidate)}), "
        f"the limit is {_percent(limit)}"
    )
    if comparison.verdict == "invalid" and outcome == "failed":
        outcome, why = "invalid", "the measurement must not be used"
    return _check("memory", comparison, outcome, change, 1 + limit, message, why=why)


def no_baseline(device: str, model: str) -> Check:
    """Says that a model was compared with nothing."""
    told = "nothing to compare with: there was no baseline, and this model is the first one now"
    return _not_compared("baseline", device, model, "skipped", told)


def no_board(device: str, model: str, problem: str) -> Check:
    """Says that a board did not do its part."""
    return _not_compared("board", device, model, "invalid", problem)


def _not_compared(name: Figure, device: str, model: str, outcome: Outcome, told: str) -> Check:
    nothing = Change(name=name, baseline=None, candidate=None, missing=told)
    return Check(name=name, device=device, model=model, outcome=outcome, change=nothing, limit=0.0, message=told)


def _size(comparison: Comparison, limit: float) -> Check:
    change = comparison.size
    if change.ratio is None:
        return _check("size", comparison, "skipped", change, 1 + limit, "size: not known")
    message = (
        f"size {_grown(change.ratio)} ({units.size(change.baseline)} → {units.size(change.candidate)}), "
        f"the limit is {_percent(limit)}"
    )
    # a growth of exactly the limit is allowed, whatever binary fractions make of it
    outcome: Outcome = "failed" if change.ratio > 1 + limit + 1e-9 else "passed"
    return _check("size", comparison, outcome, change, 1 + limit, message)


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
        drop, unit = -change.difference * 100, "pp"
        figures = f"{change.baseline:.4f} → {change.candidate:.4f}"
    message = f"score ({change.name}) {figures}, {-drop:+.2f} {unit}, {max_drop:g} may be lost"
    # a drop of exactly the limit is allowed, whatever binary fractions make of it
    outcome: Outcome = "failed" if drop > max_drop + 1e-9 else "passed"
    return _check("score", comparison, outcome, change, max_drop, message)


def _check(
    name: Figure,
    comparison: Comparison,
    outcome: Outcome,
    change: Change,
    limit: float,
    message: str,
    *,
    why: str = "",
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
        why=why,
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
