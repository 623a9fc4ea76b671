"""The gate: from comparisons with a baseline to passed, failed or neither, over several models and boards at once.

A latency fails only where the pairs show, beyond the chance that several tests together leave, that it has grown by
more than the limit: the signed-rank test of :mod:`edgekit.measure.paired` at the limit, Holm's step-down over all of
them (Holm 1979, Scandinavian Journal of Statistics 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from edgekit.core.decode import to_json
from edgekit.measure import paired
from edgekit.measure.compare import Comparison, to_comparison_document
from edgekit.measure.gate_checks import Check, GateLimits, Outcome, checks_of

GateVerdict = Literal["passed", "failed", "inconclusive", "invalid"]

#: chance that a gate fails a model that is within the limit, over all of its latencies
FAMILY_ERROR = 0.025


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

    def about(self, comparison: Comparison) -> Gate:
        """The part that is about one model on one board; decided among all, as the whole."""
        own = (comparison.device, comparison.candidate.model.name)
        checks = tuple(check for check in self.checks if (check.device, check.model) == own)
        return replace(self, verdict=_verdict(checks), checks=checks, comparisons=(comparison,))


def settled(log_ratios: Sequence[float], *, limit: float, tests: int) -> bool:
    """Whether a latency need not be looked at any longer: it is within the limit, or it fails beside all others.

    The more latencies a gate tests, the less chance may leave to each of them: ten pairs alone are never enough for
    more than twelve, however much slower a candidate is.

    Args:
        log_ratios: of the pairs so far.
        limit: growth as a fraction.
        tests: latencies of the gate, all boards together.
    """
    bounds = paired.interval(log_ratios)
    p = paired.chance_of_slower(log_ratios, 1 + limit)
    return bounds is not None and (bounds[1] <= 1 + limit or (p is not None and p <= FAMILY_ERROR / tests))


def judge_gate(comparisons: Sequence[Comparison], limits: GateLimits, *, also: Sequence[Check] = ()) -> Gate:
    """Decides over all comparisons together; the same comparisons give the same gate.

    Args:
        comparisons: of each candidate with its baseline on each board.
        limits: what a candidate may cost.
        also: what was not compared.
    """
    checks = [check for comparison in comparisons for check in checks_of(comparison, limits)]
    checks = [*held_by_holm(checks), *also]
    return Gate(verdict=_verdict(checks), limits=limits, checks=tuple(checks), comparisons=tuple(comparisons))


def to_gate_document(gate: Gate) -> dict[str, Any]:
    """The gate in JSON values; what ``edgekit gate --json`` prints."""
    return {
        "verdict": gate.verdict,
        "reasons": [
            f"{check.model} on {check.device}: {check.sentence}" for check in gate.checks if check.outcome != "passed"
        ],
        "limits": to_json(gate.limits),
        "checks": to_json(gate.checks),
        "comparisons": [to_comparison_document(comparison) for comparison in gate.comparisons],
    }


def _verdict(checks: Sequence[Check]) -> GateVerdict:
    outcomes = {check.outcome for check in checks}
    order: tuple[GateVerdict, ...] = ("failed", "invalid", "inconclusive")
    return next((one for one in order if one in outcomes), "passed")


def held_by_holm(checks: Sequence[Check]) -> list[Check]:
    """Latencies fail in the order of their chances, each against what the ones before it have left."""
    tested = sorted(
        (index for index, check in enumerate(checks) if check.p is not None and check.outcome != "invalid"),
        key=lambda index: checks[index].p or 0.0,
    )
    held = list(checks)
    for done, index in enumerate(tested):
        if (checks[index].p or 0.0) > FAMILY_ERROR / (len(tested) - done):
            break
        held[index] = replace(checks[index], outcome="failed", why="")
    return held
