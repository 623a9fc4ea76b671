"""compare: is one model faster than another on a board, by pairs of fresh processes of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from edgekit.core.artifact import Artifact
    from edgekit.core.events import EventSink
    from edgekit.measure.compare import Comparison
    from edgekit.measure.pairs import PairPlan
    from edgekit.measure.plan import Plan
    from edgekit.verbs.boards import Board, Reach
    from edgekit.verbs.fleet import BoardOutcome, Work


def compare(
    baseline: str | PathLike[str] | Artifact,
    candidate: str | PathLike[str] | Artifact,
    *,
    device: str | Sequence[str] = "local",
    num_threads: int | None = None,
    plan: str | Plan | PairPlan = "standard",
    margin: float = 0.02,
    runtime: str = "auto",
    reach: Reach | None = None,
    on_event: EventSink = ignore,
    on_compared: Callable[[Comparison], None] = ignore,
) -> tuple[Comparison, ...]:
    """Compares two models on each board; boards are never pooled.

    Args:
        baseline, candidate: .tflite files or artifacts; may be the same one.
        device: names of boards, which work side by side.
        num_threads: of the interpreter; default: what the board's profile says.
        plan: ``standard``, ``publish``, a plan for each process, or for the pairs.
        margin: ratios closer to 1 than this count as the same; 0.02 is 2 %.
        runtime: as in :func:`edgekit.verbs.benchmark.benchmark`.
        reach: how to reach the board, where its name does not say it all.
        on_event: hears of the progress.
        on_compared: gets each comparison as soon as its board is done, also where the call fails in the end.

    Returns:
        One comparison for each board, in the order of ``device``. Nothing is stored.

    Raises:
        UsageError: a plan that is only indicative, or a margin that is none.
        ModelError: a file that is missing or cannot be run.
        MeasurementError: an emulated board.
        DeviceError: a board that cannot be used. With several boards, the others were measured.
    """
    from edgekit.verbs.fleet import on_boards

    work = comparing(baseline, candidate, num_threads=num_threads, plan=plan, margin=margin, runtime=runtime)

    def hand_over(outcome: BoardOutcome[Comparison]) -> None:
        if outcome.result is not None:
            on_compared(outcome.result)

    names = [device] if isinstance(device, str) else list(device)
    outcomes = on_boards(names, work, on_event, reach=reach, on_outcome=hand_over)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return tuple(outcome.result for outcome in outcomes if outcome.result is not None)


def comparing(
    baseline: str | PathLike[str] | Artifact,
    candidate: str | PathLike[str] | Artifact,
    *,
    num_threads: int | None = None,
    plan: str | Plan | PairPlan = "standard",
    margin: float = 0.02,
    runtime: str = "auto",
) -> Work[Comparison]:
    """The work of :func:`compare` on one board, for :func:`edgekit.verbs.fleet.on_boards`.

    Everything that can be wrong with models and options is found here, once, before any board is bothered.

    Raises:
        ModelError, UsageError: see :func:`compare`.
    """
    from edgekit.measure.pairs import PairPlan, make_pair_plan
    from edgekit.verbs.benchmark import check_runtime, open_model
    from edgekit.verbs.boards import open_board
    from edgekit.verbs.ready import is_stateful

    pair_plan = plan if isinstance(plan, PairPlan) else make_pair_plan(plan, margin=margin)
    name_of_runtime = check_runtime(runtime)
    sides = (open_model(baseline), open_model(candidate))
    stateful = any(map(is_stateful, sides))

    def work(name: str, reach: Reach, on_event: EventSink) -> Comparison:
        with open_board(name, reach, name_of_runtime, on_event, stateful=stateful) as board:
            return compare_on(board, *sides, plan=pair_plan, num_threads=num_threads, on_event=on_event)

    return work


def compare_on(
    board: Board,
    baseline: Artifact,
    candidate: Artifact,
    *,
    plan: PairPlan,
    num_threads: int | None = None,
    on_event: EventSink = ignore,
) -> Comparison:
    """Compares two models on an open board.

    Args:
        board: open and locked.
        baseline, candidate: may be the same.
        plan: how many pairs, the margin, and what each process does.
        num_threads: of the interpreter; default: what the board's profile says.
        on_event: hears of the progress.

    Raises:
        MeasurementError: the board is emulated; nothing was run.
        ModelError: the board's runtime cannot use one of the models.
        DeviceError: transfer failed, no space, a process that keeps crashing.
    """
    from edgekit.measure.compare import compare_pairs, score_change
    from edgekit.measure.emulated import refuse_emulated_board
    from edgekit.measure.pairs import collect_pairs
    from edgekit.verbs.ready import make_ready, push_model

    refuse_emulated_board(board.device.name, board.limits.emulated, doing="compare")
    threads = board.profile.num_threads if num_threads is None else num_threads
    ready = [make_ready(board, push_model(board, one), num_threads=threads) for one in (baseline, candidate)]
    pairs = collect_pairs(*ready, plan=plan, read_now=board.read_now, on_event=on_event)
    sides = [one.measurement(samples) for samples, one in zip((pairs.baseline, pairs.candidate), ready, strict=True)]
    return compare_pairs(pairs, *sides, margin=plan.margin, score=score_change(baseline.manifest, candidate.manifest))
