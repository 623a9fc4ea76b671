"""The comparison: what pairs of processes say of two models, derived from them and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from edgekit.core.decode import to_json
from edgekit.measure import pace, paired, statistics
from edgekit.measure.cold import start_ns
from edgekit.measure.measurement import Measurement, to_document
from edgekit.measure.pairs import MARGIN, Pairs, Side
from edgekit.measure.reason import Reason
from edgekit.measure.samples import Samples
from edgekit.runner.protocol import Trial

if TYPE_CHECKING:
    from edgekit.core.artifact import Manifest

ComparisonVerdict = Literal["faster", "slower", "equivalent", "inconclusive", "invalid"]

#: findings about one side that cannot make one model look faster than the other, because the processes of both took
#: turns by lot: they widen the interval, and it shows them
CANCELLED = frozenset(
    {
        "busy-before",
        "clock-set",
        "clock-uncontrolled",
        "contended",
        "drift",
        "foreign-load",
        "governor-changed",
        "no-steady-state",
        "outliers",
        "slowed-down",
        "spread",
        "uneven-pace",
        "wide-interval",
    }
)
#: a side is still warming up as a whole, where so large a part of its processes is
_RESTLESS = 0.5
#: so much of the time is worth a word
_MUCH_DISTURBED = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure of both models.

    Attributes:
        name: ``peak_rss_bytes``, ``cold_start_ns``, …: the field of a measurement, or of an artifact.
        baseline, candidate: None: not known; ``missing`` says why.
        ratio: candidate / baseline; of paired figures the middle of the pairs' ratios.
        ci95: of the ratio, where there are pairs enough; None of what is counted rather than timed.
        difference: candidate - baseline, for figures that have no ratio (scores).
        missing: why there is no figure or no interval; else empty.
    """

    name: str
    baseline: float | None
    candidate: float | None
    ratio: float | None = None
    ci95: tuple[float, float] | None = None
    difference: float | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two models on one board: how they compare, and whether that may be believed.

    Attributes:
        device: the board's name.
        verdict: of the candidate: faster or slower by more than the margin; equivalent: within it; inconclusive: too
            close to the margin for what was measured; invalid: not to be used.
        ratio: candidate / baseline, median of the pairs' ratios of median latencies.
        ci95: 95 % interval of it, however often it was looked at.
        pairs: of fresh processes.
        margin: see :func:`edgekit.measure.paired.decide`.
        seed, order: who went first in each pair, and what that was drawn from.
        log_ratios: ln(candidate / baseline) of each pair that counts.
        disturbed: part of the iterations that something else on the board slowed down, 0..1; they are left out where
            enough is left without them. None: the runner does not tell.
        reasons: what speaks against the comparison, and what else should be known; ``baseline: …`` and
            ``candidate: …`` where it is about one side.
        memory: peak resident memory, of processes of its own.
        cold_start: open the library, load, build, first inference; page cache dropped; of processes of its own.
        warm_start: the same of the timed processes.
        p90: of the latency; to be known, never decided by.
        size: of the files.
        score: None where not both have one.
        baseline, candidate: the sides, as any measurement.
    """

    device: str
    verdict: ComparisonVerdict
    ratio: float | None
    ci95: tuple[float, float] | None
    pairs: int
    margin: float
    seed: int
    order: tuple[tuple[Side, Side], ...]
    log_ratios: tuple[float, ...]
    disturbed: float | None = None
    reasons: tuple[Reason, ...]
    memory: Change
    cold_start: Change
    warm_start: Change
    p90: Change
    size: Change
    score: Change | None
    baseline: Measurement
    candidate: Measurement

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every figure that was compared beside the latency."""
        return tuple(
            one
            for one in (self.p90, self.warm_start, self.cold_start, self.memory, self.size, self.score)
            if one is not None
        )


def compare_pairs(
    pairs: Pairs,
    baseline: Measurement,
    candidate: Measurement,
    *,
    margin: float = MARGIN,
    score: Change | None = None,
) -> Comparison:
    """Derives a comparison; the same samples give the same one.

    Args:
        pairs: what was measured in turn.
        baseline, candidate: the measurements of its two sides.
        margin: see :func:`edgekit.measure.paired.decide`.
        score: of the two files, where they have scores; see :func:`score_change`.
    """
    found = pairs.log_ratios
    bounds = paired.interval(found)
    disturbed = pairs.disturbed
    reasons = _reasons(baseline, candidate, found, _disturbance(pairs, disturbed))
    invalid = any(reason.weight == "invalid" for reason in reasons)
    return Comparison(
        device=baseline.device,
        verdict="invalid" if invalid else paired.decide(bounds, margin),
        ratio=paired.ratio(found),
        ci95=bounds,
        pairs=len(found),
        margin=margin,
        seed=pairs.seed,
        order=pairs.order,
        log_ratios=found,
        disturbed=disturbed,
        reasons=reasons,
        memory=_counted("peak_rss_bytes", baseline.memory.peak_rss_bytes, candidate.memory.peak_rss_bytes),
        cold_start=_cold(pairs, baseline, candidate),
        warm_start=_timed("warm_start_ns", pairs, start_ns, baseline, candidate),
        p90=_timed("p90_ns", pairs, _p90, baseline, candidate),
        size=_counted("size_bytes", baseline.model.size_bytes, candidate.model.size_bytes),
        score=score,
        baseline=baseline,
        candidate=candidate,
    )


def score_change(baseline: Manifest | None, candidate: Manifest | None) -> Change | None:
    """The scores of two artifacts, where both have one.

    Scores by another metric, or of other rows, are not compared: ``missing`` says so.
    """
    one, other = (manifest.score if manifest else None for manifest in (baseline, candidate))
    if baseline is None or candidate is None or one is None or other is None:
        return None
    missing = ""
    if one.metric != other.metric:
        missing = f"one is {one.metric}, the other {other.metric}"
    elif baseline.data.get("evaluation") != candidate.data.get("evaluation"):
        missing = "they were scored on different rows"
    known = not missing and one.final is not None and other.final is not None
    return Change(
        name=one.metric,
        baseline=one.final,
        candidate=other.final,
        difference=other.final - one.final if known and one.final is not None and other.final is not None else None,
        missing=missing,
    )


def to_comparison_document(comparison: Comparison) -> dict[str, Any]:
    """The comparison in JSON values, without raw samples; what ``edgekit compare --json`` prints."""
    kept = {
        name: to_json(getattr(comparison, name)) for name in Comparison.__slots__ if name not in ("reasons", *_SIDES)
    }
    return {
        **kept,
        "emulated": comparison.baseline.emulated,
        "num_threads": comparison.baseline.num_threads,
        "runtime": to_json(comparison.candidate.runtime),
        "reasons": [str(reason) for reason in comparison.reasons],
        **{side: to_document(getattr(comparison, side)) for side in _SIDES},
    }


_SIDES: tuple[Side, Side] = ("baseline", "candidate")


def _counted(name: str, baseline: float | None, candidate: float | None, *, missing: str = "") -> Change:
    """A figure without an interval."""
    ratio = candidate / baseline if baseline and candidate is not None else None
    return Change(
        name=name,
        baseline=baseline,
        candidate=candidate,
        ratio=ratio,
        difference=candidate - baseline if baseline is not None and candidate is not None else None,
        missing=missing if ratio is not None else "the board does not tell",
    )


def _timed(
    name: str, pairs: Pairs, figure: Callable[[Trial], float | None], baseline: Measurement, candidate: Measurement
) -> Change:
    """A figure that each timed process has: by pairs, as the latency."""
    sides = [[figure(trial) for trial in samples.latency] for samples in (pairs.baseline, pairs.candidate)]
    known = [(a, b) for a, b in zip(*sides, strict=True) if a and b]
    ratios = paired.log_ratios([a for a, _ in known], [b for _, b in known])
    shown = [getattr(side.latency, name) for side in (baseline, candidate)]
    bounds = paired.interval(ratios)
    told = next((reason for side in (baseline, candidate) if (reason := side.latency.missing.get(name))), "")
    return Change(
        name=name,
        baseline=shown[0],
        candidate=shown[1],
        ratio=paired.ratio(ratios),
        ci95=bounds,
        missing=told or ("" if bounds else f"an interval needs {paired.FEWEST} pairs, there are {len(ratios)}"),
    )


def _cold(pairs: Pairs, baseline: Measurement, candidate: Measurement) -> Change:
    sides = (baseline.latency, candidate.latency)
    missing = pairs.cold_problem
    if not missing and any(side.cold_start_cache == "warm" for side in sides):
        missing = "no process started cold"
    if missing:
        return Change(name="cold_start_ns", baseline=None, candidate=None, missing=missing)
    kept = next((side.cold_start_note for side in sides if side.cold_start_note), "")
    return _counted("cold_start_ns", *(side.cold_start_ns for side in sides), missing=kept or "too few for an interval")


def _p90(trial: Trial) -> float | None:
    return statistics.percentile([trial.latency_ns], 90).value if trial.batch == 1 else None


# ---------------------------------------------------------------------------------------- may it be believed?


def _disturbance(pairs: Pairs, share: float | None) -> tuple[Reason, ...]:
    """That something slowed the cores down, and what became of it."""
    if share is None or share < _MUCH_DISTURBED:
        return ()
    done = "left out" if pairs.calm else "not left out, there was too little else"
    text = (
        f"during {share * 100:.0f} % of the time a fixed piece of work took more than {pace.DISTURBED:g} times as long "
        f"as at best: something else slowed the cores down; {done}"
    )
    return (Reason(code="disturbed", weight="note", message=text),)


def _reasons(
    baseline: Measurement, candidate: Measurement, found: Sequence[float], more: Sequence[Reason]
) -> tuple[Reason, ...]:
    reasons = [*more, *_between(baseline, candidate, found)]
    for side, measurement in zip(_SIDES, (baseline, candidate), strict=True):
        restless = _is_restless(measurement.samples)
        reasons += (_weighed(side, reason, restless=restless) for reason in measurement.reasons)
    order = ("invalid", "unstable", "note")
    return tuple(sorted(_once(reasons), key=lambda reason: order.index(reason.weight)))


def _weighed(side: Side, reason: Reason, *, restless: bool) -> Reason:
    """A finding about one side as one about the comparison: pairs cancel what both sides suffer from alike."""
    cancelled = reason.code in CANCELLED and not (reason.code == "no-steady-state" and restless)
    weight: Literal["invalid", "note"] = "note" if cancelled or reason.weight == "note" else "invalid"
    return replace(reason, weight=weight, message=f"{side}: {reason.message}")


def _is_restless(samples: Samples) -> bool:
    moving = sum(not trial.steady for trial in samples.latency)
    return moving > _RESTLESS * len(samples.latency)


def _between(baseline: Measurement, candidate: Measurement, found: Sequence[float]) -> Iterator[Reason]:
    """What is wrong with the two together."""
    used = [
        (one.runtime.name, one.runtime.version, one.runtime.delegate) if one.runtime else None
        for one in (baseline, candidate)
    ]
    if used[0] != used[1]:
        names = " and ".join(" ".join(one) if one else "none" for one in used)
        yield Reason(code="runtimes-differ", weight="note", message=f"the sides ran on {names}")
    boots = {
        conditions.boot_id
        for one in (baseline, candidate)
        for trial in one.samples.latency
        for conditions in (trial.before, trial.after)
        if conditions.boot_id
    }
    if len(boots) > 1:
        yield Reason(code="rebooted", weight="invalid", message="the board was restarted in between")
    if len(found) < paired.FEWEST:
        yield Reason(
            code="too-few-pairs", weight="note", message=f"{len(found)}; an interval needs {paired.FEWEST} at least"
        )


def _once(reasons: Sequence[Reason]) -> list[Reason]:
    """What holds of both sides alike is said once."""
    found: dict[tuple[str, str], Reason] = {}
    for reason in reasons:
        side, colon, text = reason.message.partition(": ")
        key = (reason.code, text if colon and side in _SIDES else reason.message)
        same = found.get(key)
        if same is None:
            found[key] = reason
        elif same.message != reason.message:
            found[key] = replace(reason, message=f"both sides: {text}")
    return list(found.values())
