"""gate: may a candidate take the place of its baseline? Both run anew, in turn, on the same boards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core.errors import (
    AuthenticationError,
    BusyError,
    EdgekitError,
    HostKeyError,
    MeasurementError,
    UnreachableError,
)
from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from edgekit.core.artifact import Artifact
    from edgekit.core.events import EventSink
    from edgekit.measure.compare import Change, Comparison
    from edgekit.measure.gate import Gate
    from edgekit.measure.gate_checks import GateLimits
    from edgekit.measure.pairs import PairPlan
    from edgekit.measure.plan import Plan
    from edgekit.verbs.boards import Board, Reach
    from edgekit.verbs.fleet import BoardOutcome, Work

    Scoring = Callable[[Artifact, Artifact, EventSink], Change]

#: what has lost the board itself: the next model there would only wait for the same end
_LOST = (AuthenticationError, BusyError, HostKeyError, UnreachableError)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardGate:
    """What came of the models of a gate on one board.

    Attributes:
        comparisons: of those that were compared, in the order of the candidates.
        errors: candidate → why it was not compared.
    """

    comparisons: tuple[Comparison, ...]
    errors: Mapping[str, EdgekitError] = field(default_factory=dict)


def gate(
    candidates: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
    *,
    baseline: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
    device: str | Sequence[str] = "local",
    limits: GateLimits | None = None,
    data: str | None = None,
    scale: str | float | None = None,
    mean: str | float | Sequence[float] | None = None,
    std: str | float | Sequence[float] | None = None,
    preprocess: str | None = None,
    metric: str = "auto",
    num_threads: int | None = None,
    plan: str | Plan | PairPlan = "standard",
    runtime: str = "auto",
    reach: Reach | None = None,
    on_event: EventSink = ignore,
    on_compared: Callable[[Comparison], None] = ignore,
) -> Gate:
    """Compares each candidate with its baseline on each board, and decides over all of them together.

    Args:
        candidates: .tflite files or artifacts.
        baseline: as many, in the same order; or a folder that has a file of the same name for each; or
            ``device:current``: the release that is current on each board.
        device: names of boards, which work side by side.
        limits: what may grow by how much; None: 5 % latency, 5 % memory, 1 % size, 1 point of the score.
        data: rows to score both models on; None: the scores that stand in their manifests.
        scale, mean, std, preprocess, metric: of these rows; see :func:`edgekit.evaluate`.
        num_threads, plan, runtime, reach: see :func:`edgekit.compare`; ``quick`` is refused.
        on_event: hears of the progress.
        on_compared: gets each comparison as soon as its board is done, also where the call fails in the end.

    Returns:
        The verdict and what it rests on. Nothing is stored.

    Raises:
        UsageError: candidates and baselines do not go together, or a plan that is only indicative.
        MeasurementError: an emulated board, or one that failed its self-test; nothing was run on it.
        ModelError, DataError, DeviceError: see :func:`edgekit.compare` and :func:`edgekit.evaluate`. With several
            models or boards, the others were compared.
    """
    from edgekit.measure.gate import judge_gate
    from edgekit.measure.gate_checks import GateLimits
    from edgekit.verbs.baselines import pair_up
    from edgekit.verbs.fleet import on_boards

    bounds = limits or GateLimits()
    names = [device] if isinstance(device, str) else list(device)
    preprocessing = {"scale": scale, "mean": mean, "std": std, "preprocess": preprocess}
    work = gating(
        pair_up(candidates, baseline),
        boards=len(names),
        limits=bounds,
        score=None if data is None else scoring(data, preprocessing, metric=metric),
        num_threads=num_threads,
        plan=plan,
        runtime=runtime,
        on_event=on_event,
    )

    def hand_over(outcome: BoardOutcome[BoardGate]) -> None:
        for comparison in outcome.result.comparisons if outcome.result else ():
            on_compared(comparison)

    outcomes = on_boards(names, work, on_event, reach=reach, on_outcome=hand_over)
    for outcome in outcomes:
        for error in failures(outcome):
            raise error
    return judge_gate([one for outcome in outcomes if outcome.result for one in outcome.result.comparisons], bounds)


def failures(outcome: BoardOutcome[BoardGate]) -> tuple[EdgekitError, ...]:
    """What went wrong on one board: the board itself, or some of the models."""
    if outcome.error is not None:
        return (outcome.error,)
    return tuple(dict.fromkeys(outcome.result.errors.values())) if outcome.result is not None else ()


def gating(
    pairs: Sequence[tuple[Artifact, Artifact | None]],
    *,
    boards: int,
    limits: GateLimits,
    score: Scoring | None = None,
    num_threads: int | None = None,
    plan: str | Plan | PairPlan = "standard",
    runtime: str = "auto",
    on_event: EventSink = ignore,
    on_compared: Callable[[Comparison], None] = ignore,
) -> Work[BoardGate]:
    """The work of :func:`gate` on one board, for :func:`edgekit.verbs.fleet.on_boards`.

    What can be scored before any board is bothered, is. A model that cannot be compared stops no other.

    Args:
        pairs: from :func:`edgekit.verbs.baselines.pair_up`.
        boards: how many there are: the more is tested, the less chance may leave to each test.
        score: from :func:`scoring`; None: the scores that stand in the manifests.
        limits, num_threads, plan, runtime, on_event: see :func:`gate`.
        on_compared: gets each comparison as soon as it is there, in the thread of its board; so it is known also where
            the board's work is ended from outside.

    Raises:
        UsageError, DataError, ModelError: see :func:`gate`.
    """
    import dataclasses
    import tempfile

    from edgekit.verbs.baselines import current_release
    from edgekit.verbs.benchmark import check_runtime
    from edgekit.verbs.boards import open_board
    from edgekit.verbs.compare import compare_on
    from edgekit.verbs.ready import is_stateful
    from edgekit.verbs.selftest import flagged

    name_of_runtime = check_runtime(runtime)
    pair_plan = gate_plan(plan, limits=limits, tests=boards * len(pairs))
    stateful = any(is_stateful(one) for pair in pairs for one in pair if one is not None)
    scores = [score(old, new, on_event) if score and old else None for new, old in pairs]

    def one(board: Board, index: int, folder: Path, on_event: EventSink) -> Comparison:
        new, old = pairs[index]
        held = old or current_release(board, new, folder)
        found = compare_on(board, held, new, plan=pair_plan, num_threads=num_threads, on_event=on_event)
        if score is not None:
            found = dataclasses.replace(found, score=scores[index] or score(held, new, on_event))
        return found

    def work(name: str, reach: Reach, on_event: EventSink) -> BoardGate:
        if flag := flagged(name):
            raise MeasurementError(f"{flag.message}; a gate does not rest on such a board", hint=flag.hint)
        found: list[Comparison] = []
        errors: dict[str, EdgekitError] = {}
        with (
            tempfile.TemporaryDirectory(prefix="edgekit-", ignore_cleanup_errors=True) as folder,
            open_board(name, reach, name_of_runtime, on_event, stateful=stateful) as board,
        ):
            for index, (new, _) in enumerate(pairs):
                try:
                    found.append(one(board, index, Path(folder), on_event))
                except EdgekitError as error:
                    errors[new.name] = error
                    if isinstance(error, _LOST):
                        errors |= {other.name: error for other, _ in pairs[index:]}
                        break
                else:
                    on_compared(found[-1])
        return BoardGate(comparisons=tuple(found), errors=errors)

    return work


def gate_plan(plan: str | Plan | PairPlan, *, limits: GateLimits, tests: int) -> PairPlan:
    """Pairs that go on until they decide at the gate's own limit, beside the gate's other tests.

    Args:
        plan: ``standard``, ``publish``, a plan for each process, or for the pairs.
        limits: of the gate.
        tests: latencies that it looks at, all boards together.

    Raises:
        UsageError: a plan that is only indicative.
    """
    import dataclasses
    from functools import partial

    from edgekit.measure.gate import settled
    from edgekit.measure.pairs import PairPlan, make_pair_plan

    chosen = plan if isinstance(plan, PairPlan) else make_pair_plan(plan)
    if limits.latency is None:
        return dataclasses.replace(chosen, settled=lambda _: True)
    return dataclasses.replace(chosen, settled=partial(settled, limit=limits.latency, tests=tests))


def scoring(data: str, preprocessing: dict[str, str | float | Sequence[float] | None], *, metric: str) -> Scoring:
    """Scores both models on the same rows, with LiteRT on this machine.

    Args:
        data: the rows.
        preprocessing: scale, mean, std, preprocess.
        metric: see :func:`edgekit.evaluate`.
    """
    from edgekit.measure.compare import Change

    def score(baseline: Artifact, candidate: Artifact, on_event: EventSink) -> Change:
        from edgekit.core.events import task
        from edgekit.verbs.evaluate import evaluate

        values = []
        for model in (baseline, candidate):
            with task(f"score {model.name}", on_event):
                values.append(evaluate(model.path, data=data, metric=metric, **preprocessing))  # type: ignore[arg-type]  # checked there
        one, other = values
        return Change(
            name=one.metric,
            baseline=one.value,
            candidate=other.value,
            difference=None if one.value is None or other.value is None else other.value - one.value,
            missing="" if one.value is not None and other.value is not None else "the rows have no labels",
        )

    return score
