"""The answer in words: on each board which model is the quickest, how certain that is, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.core import units
from edgekit.report import words
from edgekit.report.collected import Collected, Held
from edgekit.report.pareto import runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a reader wants to know of one board.

    Attributes:
        headline: the figure alone, with its margin: ``45.2 µs ±0.8 %``.
        about: model and what it does, in words.
        certain: how certain the figure is, in words.
        cost: what it cost against the float model; empty where nothing is known.
        circumstances: what the figure depends on.
    """

    board: str
    emulated: bool
    model: str
    verdict: str
    headline: str
    about: str
    certain: str
    cost: str
    circumstances: str


def answers(collected: Collected) -> tuple[Answer, ...]:
    """One for each board, real ones first."""
    found = []
    for board in collected.boards:
        there = [held for held in collected.measurements if held.board == board]
        best = _best(there)
        found.append(
            Answer(
                board=board,
                emulated=best.emulated,
                model=best.model,
                verdict=best.document["verdict"],
                headline=words.margin(best.document["latency"]),
                about=_about(best, there),
                certain=_certain(best),
                cost=_cost(best, there, collected),
                circumstances=words.circumstances(best.document),
            )
        )
    return tuple(found)


def _best(there: Sequence[Held]) -> Held:
    """The quickest of the best verdict that this board has: an unstable figure never wins over a valid one."""
    order = {"valid": 0, "unstable": 1}
    return min(
        there,
        key=lambda held: (
            order.get(held.document["verdict"], 2),
            held.document["latency"]["median_ns"] or float("inf"),
        ),
    )


def _about(best: Held, there: Sequence[Held]) -> str:
    if best.emulated:
        return f"{best.model} runs on {best.board}. The times of an emulated processor say nothing about a real board."
    verdict = best.document["verdict"]
    if verdict == "invalid":
        return f"No figure of this board may be used: every measurement is invalid. Shown is {best.model}."
    sole = f"{best.model} takes {units.duration(best.document['latency']['median_ns'])} for one inference"
    among = _among(best, there)
    tail = (best.document["latency"].get("p90_ns"), best.document["latency"].get("cold_start_ns"))
    more = ""
    if tail[0]:
        more += f" Nine of ten take less than {units.duration(tail[0])}."
    if tail[1]:
        more += f" A cold start takes {units.duration(tail[1])}."
    return f"{sole}{among if verdict == 'valid' else ''}.{more}"


def _among(best: Held, there: Sequence[Held]) -> str:
    """Its place among what may be relied on, and how many others only seem to be quicker."""
    valid = [held for held in there if held.document["verdict"] == "valid"]
    told = "" if len(valid) < 2 else f"; of the {len(valid)} valid measurements of this board it is the quickest"
    median = best.document["latency"]["median_ns"]
    seem = [
        held.model for held in there if held not in valid and (held.document["latency"]["median_ns"] or median) < median
    ]
    if seem:
        names = ", ".join(dict.fromkeys(seem))
        told += f". What seems quicker, {names}, is not valid: measure it again"
    return told


def _certain(best: Held) -> str:
    document = best.document
    latency, reasons = document["latency"], "; ".join(document["reasons"])
    bounds = latency["ci95_ns"]
    if document["verdict"] == "invalid":
        return f"Invalid: {reasons or 'no reason was kept'}."
    known = (
        f"The 95 % interval is {words.interval(bounds)}, from {words.count(document['processes'], 'fresh process')}."
        if bounds
        else "Too few processes for an interval."
    )
    if document["verdict"] == "unstable":
        return f"{known} But the measurement is unstable, so do not rely on it: {reasons or 'no reason was kept'}."
    return f"{known}{f' {reasons[0].upper()}{reasons[1:]}.' if reasons else ''}"


def _cost(best: Held, there: Sequence[Held], collected: Collected) -> str:
    told = []
    if best.size_bytes is not None:
        told.append(f"The file has {units.size(best.size_bytes)}{_smaller(best)}.")
    if peak := best.document["memory"].get("peak_rss_bytes"):
        told.append(f"A process with it takes {units.size(peak)} of memory at most.")
    score = best.score
    if score.get("final") is not None:
        told.append(_score(score))
    if (against := _against_float(best, there, collected)) and not best.emulated:
        told.append(against)
    return " ".join(told)


def _smaller(best: Held) -> str:
    steps = (best.manifest or {}).get("steps") or ()
    if not steps or best.document["model"].get("kind") == "float32":
        return ""
    change = words.change(steps[0]["size_bytes"], best.size_bytes, "smaller", "larger")
    return "" if change in ("same", words.NOTHING) else f", {change} than the float model"


def _score(score: Mapping[str, Any]) -> str:
    metric = score["metric"]
    told = f"Its {metric} is {words.score(score['final'], metric)} on {score['count']} rows"
    if score.get("drop") is None:
        return f"{told}."
    bounds = score.get("drop_ci95")
    chance = f", 95 % interval {words.drop(bounds[1], metric)} to {words.drop(bounds[0], metric)}" if bounds else ""
    return f"{told}: {words.drop(score['drop'], metric)} against the float model{chance}."


def _against_float(best: Held, there: Sequence[Held], collected: Collected) -> str:
    """How much quicker than float: only from pairs is that a comparison."""
    source = best.document["model"].get("source_sha256")
    alike = [
        held
        for held in there
        if held.document["model"].get("kind") == "float32"
        and held.document["model"].get("source_sha256") == source is not None
        and held.document["num_threads"] == best.document["num_threads"]
        and runtime(held) == runtime(best)
        and held.result.id != best.result.id
    ]
    if not alike:
        return ""
    before = alike[0]
    for result in collected.comparisons:
        shas = {_sha(result.document.get("baseline")), result.model_sha256}
        if result.device == best.result.device and shas == {before.result.model_sha256, best.result.model_sha256}:
            ratio = result.document.get("ratio")
            shown = f" (latency × {ratio:.3f})" if isinstance(ratio, float) else ""
            return f"Compared in pairs with {before.model}: {result.verdict}{shown}."
    if before.document["verdict"] != "valid" or best.document["verdict"] != "valid":
        return f"How it compares with {before.model} cannot be told: not both measurements are valid."
    latencies = (before.document["latency"], best.document["latency"])
    change = words.latency_change([one["median_ns"] for one in latencies], [one["ci95_ns"] for one in latencies])
    return f"Against {before.model}: {change} (measured one after the other; `edgekit compare` measures in pairs)."


def _sha(side: object) -> str:
    model = side.get("model") if isinstance(side, Mapping) else None
    return str(model.get("sha256")) if isinstance(model, Mapping) else ""
