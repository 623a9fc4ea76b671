"""compare: is one model faster than another on a board, by pairs of fresh processes of both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgekit.core.errors import UsageError
from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from edgekit.core.artifact import Artifact
    from edgekit.core.events import EventSink
    from edgekit.core.notice import Notice
    from edgekit.device.provision import RuntimeName
    from edgekit.measure.compare import Comparison
    from edgekit.measure.pairs import PairPlan
    from edgekit.measure.plan import Plan
    from edgekit.verbs.boards import Board, Reach
    from edgekit.verbs.fleet import BoardOutcome, Work
    from edgekit.verbs.ready import Ready


def compare(
    baseline: str | PathLike[str] | Artifact,
    candidate: str | PathLike[str] | Artifact | None = None,
    *,
    device: str | Sequence[str] = "local",
    num_threads: int | None = None,
    plan: str | Plan | PairPlan = "standard",
    margin: float = 0.02,
    runtime: str | Sequence[str] = "auto",
    reach: Reach | None = None,
    on_event: EventSink = ignore,
    on_compared: Callable[[Comparison], None] = ignore,
) -> tuple[Comparison, ...]:
    """Compares two models on each board; boards are never pooled.

    Args:
        baseline, candidate: .tflite or .onnx files, or artifacts; may be the same one. Without a candidate the
            baseline is compared with itself, on two runtimes.
        device: names of boards, which work side by side.
        num_threads: of the interpreter; default: what the board's profile says.
        plan: ``standard``, ``publish``, a plan for each process, or for the pairs.
        margin: ratios closer to 1 than this count as the same; 0.02 is 2 %.
        runtime: as in :func:`edgekit.verbs.benchmark.benchmark`: one for both sides, or one for each.
        reach: how to reach the board, where its name does not say it all.
        on_event: hears of the progress.
        on_compared: gets each comparison as soon as its board is done, also where the call fails in the end.

    Returns:
        One comparison for each board, in the order of ``device``. Nothing is stored.

    Raises:
        UsageError: a plan that is only indicative, a margin that is none, a runtime that does not take its side's
            files, or one model with one runtime.
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
    candidate: str | PathLike[str] | Artifact | None = None,
    *,
    num_threads: int | None = None,
    plan: str | Plan | PairPlan = "standard",
    margin: float = 0.02,
    runtime: str | Sequence[str] = "auto",
) -> Work[Comparison]:
    """The work of :func:`compare` on one board, for :func:`edgekit.verbs.fleet.on_boards`.

    Everything that can be wrong with models and options is found here, once, before any board is bothered.

    Raises:
        ModelError, UsageError: see :func:`compare`.
    """
    from edgekit.measure.pairs import PairPlan, make_pair_plan
    from edgekit.verbs.benchmark import open_runnable
    from edgekit.verbs.boards import reach_board
    from edgekit.verbs.ready import is_stateful
    from edgekit.verbs.runtimes import runtimes_of_sides

    pair_plan = plan if isinstance(plan, PairPlan) else make_pair_plan(plan, margin=margin)
    one = open_runnable(baseline)
    models = (one, one if candidate is None else open_runnable(candidate))
    runtimes = runtimes_of_sides(runtime, models)
    if candidate is None and runtimes[0] == runtimes[1]:
        raise UsageError(
            f"nothing to compare {one.path} with",
            hint=f"name the other model, or two runtimes: edgekit compare {one.path} --runtime litert,litert-builtin",
        )
    stateful = any(map(is_stateful, models))

    def work(name: str, reach: Reach, on_event: EventSink) -> Comparison:
        with reach_board(name, reach, on_event) as reached:
            boards: dict[RuntimeName, Board] = {}
            for model, asked in zip(models, runtimes, strict=True):
                wanted = asked.brought_for(model)
                boards[wanted] = boards.get(wanted) or reached.prepared(wanted, on_event, stateful=stateful)
            sides = [
                _Side(board=boards[asked.brought_for(model)], model=model, kernels=asked.kernels)
                for model, asked in zip(models, runtimes, strict=True)
            ]
            return _compared(*sides, plan=pair_plan, num_threads=num_threads, on_event=on_event)

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
    sides = [_Side(board=board, model=model) for model in (baseline, candidate)]
    return _compared(*sides, plan=plan, num_threads=num_threads, on_event=on_event)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """A model, and the runtime that it has on the board."""

    board: Board
    model: Artifact
    kernels: Literal["delegate", "builtin"] = "delegate"

    def ready(self, num_threads: int, on_event: EventSink) -> Ready:
        import dataclasses

        from edgekit.verbs.measuring import open_axes
        from edgekit.verbs.ready import check_outputs, make_ready, push_model

        pushed = push_model(self.board, self.model)
        told = check_outputs(self.board, pushed, num_threads=num_threads, kernels=self.kernels, on_event=on_event)
        ready = make_ready(self.board, pushed, num_threads=num_threads, kernels=self.kernels)
        return dataclasses.replace(ready, notices=(*ready.notices, *told, *open_axes(self.model)))


def _compared(
    baseline: _Side, candidate: _Side, *, plan: PairPlan, num_threads: int | None, on_event: EventSink
) -> Comparison:
    """Runs both sides in pairs on the board that is theirs."""
    import dataclasses

    from edgekit.measure.compare import compare_pairs, score_change
    from edgekit.measure.emulated import refuse_emulated_board
    from edgekit.measure.pairs import collect_pairs

    board = baseline.board
    refuse_emulated_board(board.device.name, board.limits.emulated, doing="compare")
    threads = board.profile.num_threads if num_threads is None else num_threads
    first = baseline.ready(threads, on_event)
    ready = [first, first if candidate == baseline else candidate.ready(threads, on_event)]
    ready[1] = dataclasses.replace(ready[1], notices=(*ready[1].notices, *_made_for(baseline.model, candidate.model)))
    pairs = collect_pairs(*ready, plan=plan, read_now=board.read_now, on_event=on_event)
    measured = [one.measurement(samples) for samples, one in zip((pairs.baseline, pairs.candidate), ready, strict=True)]
    score = score_change(baseline.model.manifest, candidate.model.manifest)
    return compare_pairs(pairs, *measured, margin=plan.margin, score=score)


def _made_for(baseline: Artifact, candidate: Artifact) -> tuple[Notice, ...]:
    """Says where two .tflite files cannot stand in for each other: other inputs or outputs, whatever their types."""
    from edgekit.core.notice import Notice
    from edgekit.model.tflite import read_tflite
    from edgekit.verbs.runtimes import is_onnx

    if is_onnx(baseline) or is_onnx(candidate):  # their axes may be in another order
        return ()
    one, other = read_tflite(baseline.path), read_tflite(candidate.path)
    for what in ("inputs", "outputs"):
        shapes = [[list(tensor.shape) for tensor in getattr(model, what)] for model in (one, other)]
        if sorted(map(math.prod, shapes[0])) != sorted(map(math.prod, shapes[1])):
            named = [" and ".join(map(str, shape)) for shape in shapes]
            return (
                Notice(
                    code="made-for-other-data",
                    message=f"the {what} of {candidate.path} are {named[1]}, those of {baseline.path} {named[0]}: "
                    "one cannot stand in for the other",
                    hint="name two versions of one model, if that is what you mean",
                ),
            )
    return ()
