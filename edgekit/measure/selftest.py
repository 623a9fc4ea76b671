"""The self-test of a board: the same model on both sides, how often they are told apart, and what would be."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgekit.core.decode import to_json
from edgekit.measure import pace, paired
from edgekit.measure.compare import CANCELLED
from edgekit.measure.measurement import Measurement, to_document
from edgekit.measure.pairs import MARGIN, PairPlan
from edgekit.measure.reason import Reason

#: comparisons that are made of the processes, each from a place and with an order drawn by lot
WINDOWS = 1000
#: of a board that passes
MAX_FALSE_ALARMS = 0.01
MAX_DETECTABLE = 0.10
#: a change is detectable that is found so often
FOUND = 0.95
_EFFECTS = (0.025, 0.03, 0.035, 0.04, 0.05, 0.06, 0.08, 0.10, 0.15, 0.20, 0.30, 0.50, 1.0)


SelfTestVerdict = Literal["passed", "failed", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """What a board's comparisons are worth.

    Attributes:
        device: the board's name.
        verdict: ``passed``; ``failed``, with ``reasons``; ``inconclusive``: there were too few processes to tell.
        false_alarm_rate: how often one model is called faster or slower than itself; of ``windows`` comparisons. None:
            there are none.
        equivalent_rate: how often it is called equivalent to itself; otherwise it stays open. None: there are none.
        detectable: smallest slow-down that is found in at least 95 % of the windows, as a fraction; None: none up to
            100 % is. The slow-downs are computed: the times of one side are multiplied.
        spread: of the log ratios of neighbouring processes, as a standard deviation.
        processes: of one model, one after the other.
        margin: of the comparisons.
        seed: of places and orders.
        measurement: the processes, as any measurement.
    """

    device: str
    verdict: SelfTestVerdict
    reasons: tuple[Reason, ...]
    false_alarm_rate: float | None
    equivalent_rate: float | None
    detectable: float | None
    spread: float | None
    windows: int
    processes: int
    margin: float
    seed: int
    measurement: Measurement


def self_test(measurement: Measurement, *, margin: float = MARGIN, seed: int = 0, windows: int = WINDOWS) -> SelfTest:
    """What the processes of one model say of the board that they ran on; the same samples say the same.

    Each window is what ``compare`` would have done from there on: 10 to 20 pairs of neighbouring processes, called
    A and B by lot. Windows overlap, so the rates are estimates; their processes are all the board showed.

    Args:
        measurement: of one model, with at least 20 processes.
        margin: of the comparisons.
        seed: of places and orders.
        windows: how many comparisons.
    """
    medians = pace.medians(measurement.samples.latency)
    drawn = _draw(medians, windows, seed)
    words = [_compare(values, margin) for values in drawn]
    false = sum(word in ("faster", "slower") for word in words) / len(words) if words else None
    same = sum(word == "equivalent" for word in words) / len(words) if words else None
    detectable = next((effect for effect in _EFFECTS if drawn and _found(drawn, effect, margin) >= FOUND), None)
    neighbours = paired.log_ratios(medians[0:-1:2], medians[1::2])
    reasons = tuple(_reasons(measurement, len(words), false, detectable))
    return SelfTest(
        device=measurement.device,
        verdict=_verdict(reasons),
        reasons=reasons,
        false_alarm_rate=false,
        equivalent_rate=same,
        detectable=detectable,
        spread=paired.spread(neighbours),
        windows=len(words),
        processes=len(medians),
        margin=margin,
        seed=seed,
        measurement=measurement,
    )


def to_selftest_document(test: SelfTest) -> dict[str, Any]:
    """The self-test in JSON values, without raw samples; what ``edgekit devices selftest --json`` prints."""
    kept = {name: to_json(getattr(test, name)) for name in SelfTest.__slots__ if name not in ("reasons", "measurement")}
    return {
        **kept,
        "emulated": test.measurement.emulated,
        "model": to_json(test.measurement.model),
        "num_threads": test.measurement.num_threads,
        "runtime": to_json(test.measurement.runtime),
        "reasons": [str(reason) for reason in test.reasons],
        "measurement": to_document(test.measurement),
    }


def _draw(medians: Sequence[float], windows: int, seed: int) -> list[tuple[float, ...]]:
    """Log ratios of as many pairs as fit, 20 at most: from a place drawn by lot, in an order drawn by lot."""
    lot = random.Random(seed)  # noqa: S311 - an order, no secret
    pairs = min(paired.LOOKS[-1], len(medians) // 2)
    if pairs < paired.LOOKS[0]:
        return []
    found = []
    for _ in range(windows):
        start = lot.randrange(len(medians) - 2 * pairs + 1)
        order = PairPlan(seed=lot.randrange(2**31)).order()[:pairs]
        sides: dict[str, list[float]] = {"baseline": [], "candidate": []}
        for index, pair in enumerate(order):
            for place, side in enumerate(pair):
                sides[side].append(medians[start + 2 * index + place])
        found.append(paired.log_ratios(sides["baseline"], sides["candidate"]))
    return found


def _compare(values: Sequence[float], margin: float, shift: float = 0.0) -> paired.Decision:
    """As pairs are looked at while they are collected; ``shift`` is added to every log ratio."""
    word: paired.Decision = "inconclusive"
    for look in paired.LOOKS:
        if look > len(values):
            break
        word = paired.decide(paired.interval([value + shift for value in values[:look]]), margin)
        if word != "inconclusive":
            break
    return word


def _found(drawn: Sequence[Sequence[float]], effect: float, margin: float) -> float:
    shift = math.log1p(effect)
    return sum(_compare(values, margin, shift) == "slower" for values in drawn) / len(drawn)


def _verdict(reasons: Sequence[Reason]) -> SelfTestVerdict:
    if any(reason.weight == "invalid" for reason in reasons):
        return "failed"
    return "inconclusive" if any(reason.weight == "unstable" for reason in reasons) else "passed"


def _reasons(measurement: Measurement, windows: int, false: float | None, detectable: float | None) -> list[Reason]:
    found = []
    if not windows:
        least = 2 * paired.LOOKS[0]
        message = f"{measurement.processes} processes, a comparison needs {least}; give it more time (--max-time)"
        # a test that was cut short says nothing of the board
        found.append(Reason(code="too-few-processes", weight="unstable", message=message))
    if false is not None and false > MAX_FALSE_ALARMS:
        message = (
            f"{false * 100:.1f} % of A/A comparisons say faster or slower, the limit is {MAX_FALSE_ALARMS * 100:g} %"
        )
        found.append(Reason(code="false-alarms", weight="invalid", message=message))
    if windows and (detectable is None or detectable > MAX_DETECTABLE):
        seen = "no slow-down up to 100 %" if detectable is None else f"slow-downs from {detectable * 100:g} % on"
        message = (
            f"finds {seen} reliably, {MAX_DETECTABLE * 100:g} % is asked for; give the board some rest, or more cooling"
        )
        found.append(Reason(code="blunt", weight="invalid", message=message))
    for reason in measurement.reasons:
        # what pairs cancel has shown in the figures above; the rest speaks against the board itself
        if reason.code == "indicative":  # shorter processes than a comparison's only make the figures worse
            continue
        harmless = reason.weight == "note" or reason.code in CANCELLED
        found.append(Reason(code=reason.code, weight="note" if harmless else "invalid", message=reason.message))
    return found
