"""gate: may a candidate take the place of its baseline? Both run anew, in turn, on the same boards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.fleet import Work

    Scoring = Callable[[Artifact, Artifact, EventSink], Change]


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

    Returns:
        The verdict and what it rests on. Nothing is stored.

    Raises:
        UsageError: candidates and baselines do not go together, or a plan that is only indicative.
        MeasurementError: an emulated board, or one that failed its self-test; nothing was run on it.
        ModelError, DataError, DeviceError: see :func:`edgekit.compare` and :func:`edgekit.evaluate`.
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
    outcomes = on_boards(names, work, on_event, reach=reach)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return judge_gate([one for outcome in outcomes if outcome.result for one in outcome.result], bounds)


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
) -> Work[tuple[Comparison, ...]]:
    """The work of :func:`gate` on one board, for :func:`edgekit.verbs.fleet.on_boards`.

    What can be scored before any board is bothered, is.

    Args:
        pairs: from :func:`edgekit.verbs.baselines.pair_up`.
        boards: how many there are: the more is tested, the less chance may leave to each test.
        score: from :func:`scoring`; None: the scores that stand in the manifests.
        limits, num_threads, plan, runtime, on_event: see :func:`gate`.

    Raises:
        UsageError, DataError, ModelError: see :func:`gate`.
    """
    import dataclasses
    import tempfile

    from edgekit.core.errors import MeasurementError
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

    def work(name: str, reach: Reach, on_event: EventSink) -> tuple[Comparison, ...]:
        if flag := flagged(name):
            raise MeasurementError(f"{flag.message}; a gate does not rest on such a board", hint=flag.hint)
        found = []
        with (
            tempfile.TemporaryDirectory(prefix="edgekit-", ignore_cleanup_errors=True) as folder,
            open_board(name, reach, name_of_runtime, on_event, stateful=stateful) as board,
        ):
            released = [old or current_release(board, new, Path(folder)) for new, old in pairs]
            for (new, _), old, scored in zip(pairs, released, scores, strict=True):
                one = compare_on(board, old, new, plan=pair_plan, num_threads=num_threads, on_event=on_event)
                if score is not None:
                    one = dataclasses.replace(one, score=scored or score(old, new, on_event))
                found.append(one)
        return tuple(found)

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
