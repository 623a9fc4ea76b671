"""The Pareto front of latency and score on one board: which models no other one beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgekit.report import words
from edgekit.report.collected import Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured and scored model.

    Attributes:
        name: the model's, with the thread count where several were measured.
        latency_ns, ci95_ns: median and its 95 % interval.
        score, score_ci95: in the metric's own unit.
        verdict: of the measurement; an invalid one is never on the front.
        front: no other point is at least as good in both and better in one.
    """

    name: str
    latency_ns: int
    ci95_ns: tuple[int, int] | None
    score: float
    score_ci95: tuple[float, float] | None
    size_bytes: int | None
    verdict: str
    front: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The points of one board that have one metric.

    Attributes:
        points: quickest first.
        emulated: no front is marked: its times order nothing.
        lacking: models of this board without a score or a latency.
    """

    board: str
    metric: str
    emulated: bool
    points: tuple[Point, ...]
    lacking: tuple[str, ...]


def panels(held: Sequence[Held]) -> tuple[Panel, ...]:
    """One panel for each board and metric, in the order of the measurements."""
    groups: dict[tuple[str, str], list[Held]] = {}
    lacking: dict[str, list[str]] = {}
    for one in held:
        if one.score.get("final") is None or one.document["latency"]["median_ns"] is None:
            lacking.setdefault(one.board, []).append(one.model)
        else:
            groups.setdefault((one.board, str(one.score["metric"])), []).append(one)
    return tuple(
        Panel(
            board=board,
            metric=metric,
            emulated=group[0].emulated,
            points=_front(_points(group), higher=words.is_fraction(metric), marked=not group[0].emulated),
            lacking=tuple(dict.fromkeys(lacking.get(board, ()))),
        )
        for (board, metric), group in groups.items()
    )


def names(held: Sequence[Held]) -> list[str]:
    """What tells measurements of one board apart: the model, and threads, runtime and delegate where they differ."""
    found = []
    for one in held:
        parts = [one.model]
        if len({other.document["num_threads"] for other in held}) > 1:
            parts.append(words.count(one.document["num_threads"], "thread"))
        if len({runtime(other) for other in held}) > 1:
            parts.append(runtime(one))
        found.append(", ".join(parts))
    return found


def runtime(held: Held) -> str:
    """``LiteRT C API 2.3.0, XNNPACK``: what was asked to run, whatever share of the ops the delegate took."""
    used = held.document["runtime"] or {}
    return f"{used.get('name')} {used.get('version')}, {used.get('delegate')}" if used else "unknown runtime"


def _points(group: Sequence[Held]) -> list[Point]:
    found = []
    for name, one in zip(names(group), group):
        latency, bounds = one.document["latency"], one.score.get("ci95")
        found.append(
            Point(
                name=name,
                latency_ns=latency["median_ns"],
                ci95_ns=tuple(latency["ci95_ns"]) if latency["ci95_ns"] else None,
                score=float(one.score["final"]),
                score_ci95=tuple(bounds) if bounds else None,
                size_bytes=one.size_bytes,
                verdict=one.document["verdict"],
            )
        )
    return sorted(found, key=lambda point: point.latency_ns)


def _front(points: Sequence[Point], *, higher: bool, marked: bool) -> tuple[Point, ...]:
    sign = 1 if higher else -1
    usable = [point for point in points if point.verdict != "invalid"]

    def beaten(point: Point) -> bool:
        return any(
            other.latency_ns <= point.latency_ns
            and sign * other.score >= sign * point.score
            and (other.latency_ns, sign * other.score) != (point.latency_ns, sign * point.score)
            for other in usable
        )

    return tuple(replace(point, front=marked and point in usable and not beaten(point)) for point in points)
