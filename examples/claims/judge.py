"""Holds figures against published ones: a limit within a figure's 95 % interval is neither held nor missed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["beaten", "held", "within the interval", "fell short"]
#: a figure is beaten where what came out is better by more than this part of it
_BY = 0.1
Variant = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure of a claim.

    Attributes:
        what: is compared.
        published, here: the figures, for people.
        state: ``beaten`` (by more than a tenth), ``held``, ``fell short``; ``within the interval``: the limit lies in
            the 95 % interval of what came out.
        counts: towards the outcome; the others tell what the same figure is against another model.
        why: it fell short, where that is known.
    """

    what: str
    published: str
    here: str
    state: State
    counts: bool = True
    why: str = ""


def verdict(checks: list[Check]) -> dict[str, Any]:
    """The checks and the outcome that follows from those that count."""
    counted = [check for check in checks if check.counts]
    short = [check.what for check in counted if check.state == "fell short"]
    open_ = [check.what for check in counted if check.state == "within the interval"]
    if short:
        outcome = f"fell short: {_listed(short)}"
    elif open_:
        outcome = f"reproduced, as far as can be told: {_listed(open_)} within the 95 % interval"
    else:
        beaten = [check.what for check in counted if check.state == "beaten"]
        outcome = "reproduced" + (f"; beaten: {_listed(beaten)}" if beaten else "")
    beside = [check.what for check in checks if not check.counts and check.state == "fell short" and check.why]
    if beside:
        outcome += f"; also short: {_listed(beside)}"
    return {"outcome": outcome, "checks": [asdict(check) for check in checks]}


def _listed(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def int8(found: Mapping[str, Variant]) -> list[Check]:
    """Size, speed and score of plain int8."""
    before, after = found["float32"], found["int8"]
    return [
        _smaller("size", before, after, "size_bytes", 4.8, _QUARTER),
        _smaller("size of a gzip download", before, after, "gzip_bytes", 4.8, counts=False),
        _faster("speed", before, after, 2.0),
        _lost("score", after, 0.3),
    ]


_QUARTER = (
    "int8 stores one byte where float stores four, so 4× is the most that the conversion gives; more must come from "
    "something else, such as optimizer state in the file before"
)


def pruning(found: Mapping[str, Variant]) -> list[Check]:
    """Memory and speed of both kinds of pruning, against float (as published) and against int8 alone."""
    checks: list[Check] = []
    for label in ("prune-int8", "filters-int8"):
        float32, int8_alone, small = found["float32"], found["int8"], found[label]
        why = _ZEROS if label == "prune-int8" else ""
        checks += [
            _less_memory(f"memory of the model with {label}", "model", float32, small),
            _less_memory(f"memory of the process with {label}", "peak", float32, small, why=_RUNTIME),
            _faster(f"speed of {label}", float32, small, 1.3),
            _lost(f"score of {label}", small, 0.0, counts=False),
            _less_memory(f"memory of the model with {label} beyond int8", "model", int8_alone, small, False, why),
            _faster(f"speed of {label} beyond int8", int8_alone, small, 1.3, counts=False, why=why),
        ]
    return checks


_RUNTIME = "a good part of the process is the runtime itself, whatever the model"
_ZEROS = "int8 kernels compute with the zeros as with any value: what there is, int8 alone brought"


def li(found: Mapping[str, Variant]) -> list[Check]:
    """MACs, parameters and score of the float model; those of int8 beside them."""
    before, after, small = found["float32"], found["filters, float32"], found["filters, int8"]
    return [
        _removed("MACs", before, after, "macs", 0.34),
        _removed("parameters", before, after, "parameters", 0.64),
        _lost("score", after, 0.0),
        _faster("speed", before, after, 1.0, counts=False),
        _lost("score, with int8", small, 0.0, counts=False),
    ]


def distillation(found: Mapping[str, Variant]) -> list[Check]:
    """Parameters and score of the student; of int8; of students that had no teacher."""
    before, after = found["float32"], found["student, float32"]
    kept, new = found["same filters, no teacher, float32"], found["same width, new weights, no teacher, float32"]
    small = found["student, int8"]
    return [
        _smaller("parameters", before, after, "parameters", 5.0),
        _smaller("size", before, after, "size_bytes", 5.0),
        _lost("score", after, 1.0),
        _faster("speed", before, after, 1.0, counts=False),
        _smaller("size, with int8", before, small, "size_bytes", 5.0, counts=False),
        _lost("score, with int8", small, 1.0, counts=False),
        _lost("score, same filters and no teacher", kept, 1.0, counts=False),
        _lost("score, new weights and no teacher", new, 1.0, counts=False),
    ]


def speech(found: Mapping[str, Variant]) -> list[Check]:
    """Size and score of the keyword spotter in int8."""
    before, after = found["float32"], found["int8"]
    return [
        _smaller("size", before, after, "size_bytes", 2.0),
        _lost("score", after, 0.0),
        _faster("speed", before, after, 1.0, counts=False),
    ]


def _state(low: float, high: float, least: float) -> State:
    """Of a figure of which more is better, with its interval."""
    if low > (1 + _BY) * least:
        return "beaten"
    return "held" if low >= least else "fell short" if high < least else "within the interval"


def _smaller(
    what: str, before: Variant, after: Variant, key: str, times: float, why: str = "", *, counts: bool = True
) -> Check:
    ratio = before[key] / after[key]
    return Check(
        what=what,
        published=f"{times:g}× smaller",
        here=f"{ratio:.2f}× smaller",
        state=_state(ratio, ratio, times),
        counts=counts,
        why=why if ratio < times else "",
    )


def _removed(what: str, before: Variant, after: Variant, key: str, share: float) -> Check:
    """The published figure is a whole percentage, so this one is rounded to that."""
    removed = 1 - after[key] / before[key]
    return Check(
        what=what,
        published=f"−{share:.0%}",
        here=f"−{removed:.1%}",
        state=_state(round(removed, 2), round(removed, 2), share),
    )


def _faster(what: str, before: Variant, after: Variant, times: float, counts: bool = True, why: str = "") -> Check:
    """The ratio of the medians; its interval from the outer ends of both intervals, which is wider than 95 %."""
    ratio = before["latency_ns"] / after["latency_ns"]
    old, new = before["latency_ci95_ns"], after["latency_ci95_ns"]
    low, high = old[0] / new[1], old[1] / new[0]
    state = _state(low, high, times)
    published = {1.0: "not given; faster at all", 1.3: "+30 %, 1.3×"}.get(times, f"{times:g}×")
    unstable = {before["verdict"], after["verdict"]} - {"valid"}
    if state == "beaten" and (unstable or times == 1.0):  # indicative, or nothing was published
        state = "held"
    here = f"{ratio:.2f}× ({low:.2f} to {high:.2f})" + (f", {' and '.join(sorted(unstable))}" if unstable else "")
    return Check(
        what=what, published=published, here=here, state=state, counts=counts, why=why if state == "fell short" else ""
    )


def _less_memory(what: str, kind: str, before: Variant, after: Variant, counts: bool = True, why: str = "") -> Check:
    saved = 1 - after[f"{kind}_rss_bytes"] / before[f"{kind}_rss_bytes"]
    state = _state(saved, saved, 0.4)
    return Check(
        what=what,
        published="−40%",
        here=f"{-saved:+.0%}".replace("-", "−"),
        state=state,
        counts=counts,
        why=why if state == "fell short" else "",
    )


def _lost(what: str, after: Variant, limit: float, *, counts: bool = True) -> Check:
    """Points lost against float on the same rows; the interval of the difference decides."""
    low, high = after["drop_ci95"]
    state: State = "held" if high <= limit else "fell short" if low > limit else "within the interval"
    if limit > 0 and high < (1 - _BY) * limit:  # where nothing was to be lost, a gain is of the further training
        state = "beaten"
    here = f"{after['drop']:.2f} points lost ({low:.2f} to {high:.2f})".replace("-", "−")
    published = f"at most {limit:g} lost" if limit else "nothing lost"
    return Check(what=what, published=published, here=here, state=state, counts=counts)
