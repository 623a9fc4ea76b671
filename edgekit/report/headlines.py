"""A kept result in a few words, whatever it is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgekit.core import units
from edgekit.report import words

Document = Mapping[str, Any]


def headline(result: Document) -> str:
    """What a list says of a result; of one with unexpected fields its verdict."""
    show = _HEADLINES.get(result["kind"])
    verdict = str(result.get("verdict") or words.NOTHING)
    if show is None:  # of a kind that a newer edgekit keeps
        return verdict
    try:
        return show(result["document"], verdict)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return verdict


def _measurement(document: Document, verdict: str) -> str:
    threads = words.count(document["num_threads"], "thread")
    return f"{words.margin(document['latency'])}, {threads}, {verdict}"


def _artifact(document: Document, _: str) -> str:
    scored = document.get("score") or {}
    final = words.score(scored.get("final"), scored.get("metric"))
    shown = "no score" if final == words.NOTHING else f"{scored.get('metric')} {final}"
    return f"{document['kind']}, {units.size(document['size_bytes'])}, {shown}"


def _deployment(document: Document, _: str) -> str:
    return f"release {(document.get('release') or {}).get('id') or words.NOTHING}"


def _comparison(document: Document, verdict: str) -> str:
    """``faster: latency × 0.912 (0.905–0.921), 10 pairs``."""
    ratio, bounds, pairs = document.get("ratio"), document.get("ci95"), document.get("pairs")
    text = verdict if ratio is None else f"{verdict}: latency × {ratio:.3f}"
    text += f" ({bounds[0]:.3f}–{bounds[1]:.3f})" if ratio is not None and bounds else ""
    return f"{text}, {words.count(pairs, 'pair')}" if isinstance(pairs, int) else text


def _gate(document: Document, verdict: str) -> str:
    """``failed: latency 1.08 is above 1.05``: the first check that came out as the whole did."""
    told = [str(check["message"]) for check in document.get("checks") or () if check["outcome"] == verdict]
    return f"{verdict}: {told[0]}" if told and verdict != "passed" else verdict


def _profile(document: Document, _: str) -> str:
    """``CONV_2D takes 62 % of 1.24 ms``."""
    op = max(document["ops"], key=lambda one: one["elapsed_ns"])
    text = f"{op['layer'] or op['name']} takes {op['share']:.0%} of {units.duration(document['ops_ns'])}"
    outside = document.get("outside_delegate_share")
    return f"{text}; {outside:.0%} outside the delegate" if outside else text


def _selftest(document: Document, verdict: str) -> str:
    """``passed: finds changes from 1.8 %, 0 of 10 false alarms``."""
    effect = document.get("detectable", document.get("minimum_detectable"))
    rate = document.get("false_alarm_rate")
    parts = [f"finds changes from {effect * 100:.1f} %"] if isinstance(effect, float) else []
    parts += [f"{rate:.1%} false alarms"] if isinstance(rate, (int, float)) else []
    return f"{verdict}: {', '.join(parts)}" if parts else verdict


_HEADLINES: dict[str, Callable[[Document, str], str]] = {
    "measurement": _measurement,
    "artifact": _artifact,
    "deployment": _deployment,
    "comparison": _comparison,
    "gate": _gate,
    "profile": _profile,
    "selftest": _selftest,
}
