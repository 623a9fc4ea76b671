"""Measures models on a board that is reached: every model, runtime and thread count, their processes interleaved."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgekit.core.errors import DependencyError, EdgekitError, RuntimeMissingError, TransferError
from edgekit.core.notice import Notice
from edgekit.measure.side_by_side import NotMeasured
from edgekit.verbs.runtimes import AskedRuntime, is_onnx

if TYPE_CHECKING:
    from edgekit.core.artifact import Artifact
    from edgekit.core.events import EventSink
    from edgekit.device.provision import RuntimeName
    from edgekit.measure.cool import ReadNow
    from edgekit.measure.measurement import Measurement
    from edgekit.measure.plan import Plan
    from edgekit.measure.samples import Samples
    from edgekit.verbs.boards import Board, ReachedBoard
    from edgekit.verbs.ready import PushedModel, Ready

#: names XNNPACK's weight cache in a row that has it
WITH_CACHE = " +cache"
_BUILD_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardBenchmark:
    """What came of several models on one board.

    Attributes:
        measurements: in the order model, runtime, threads; without those that failed.
        not_measured: the rows without figures, in the same order.
        errors: of the models that no runtime could measure; with one runtime, of every row without figures.
    """

    measurements: tuple[Measurement, ...]
    not_measured: tuple[NotMeasured, ...] = ()
    errors: tuple[EdgekitError, ...] = ()


class _Key:
    """One line of the table to be; its text goes before the progress of its processes."""

    def __init__(self, model: str, runtime: str, threads: int, *, named: bool) -> None:
        self.model, self.runtime, self.threads = model, runtime, threads
        about = f", {runtime}" if named else ""
        self._text = f"{model}{about}, {threads} thread{'s' * (threads > 1)}:"

    def __str__(self) -> str:
        return self._text


@dataclass(slots=True)
class _Rows:
    """The rows of one board, while they are put together."""

    device: str
    plan: Plan
    on_event: EventSink
    ready: dict[_Key, Ready] = field(default_factory=dict)
    not_measured: list[NotMeasured] = field(default_factory=list)

    def leave_out(self, model: str, runtime: str, threads: int | None, error: EdgekitError) -> None:
        """This one gets no figures."""
        self.not_measured.append(
            NotMeasured(device=self.device, model=model, runtime=runtime, num_threads=threads, error=error)
        )


def measure_on(
    board: Board,
    artifacts: Sequence[Artifact],
    num_threads: Sequence[int],
    plan: Plan,
    on_event: EventSink,
    *,
    at: str | None = None,
) -> list[Measurement]:
    """Measures artifacts on an open board with its one runtime; ``at``: the only one lies there already.

    Raises:
        EdgekitError: of the first model that could not be measured, after the others were.
    """
    rows = _Rows(board.device.name, plan, on_event)
    for artifact in artifacts:
        _add(rows, board, artifact, "", num_threads, at=at)
    found = _collected(rows, read_now=_looking_at(board), one_runtime=True)
    if found.errors:
        raise found.errors[0]
    return list(found.measurements)


def measure_with(
    reached: ReachedBoard,
    artifacts: Sequence[Artifact],
    runtimes: Sequence[AskedRuntime],
    num_threads: Sequence[int],
    plan: Plan,
    on_event: EventSink,
    *,
    weight_cache: bool = False,
) -> BoardBenchmark:
    """Measures each model with each runtime that takes such files, and each thread count.

    What cannot run on the board is a row that says why; it stops no other.

    Args:
        reached: connected and locked.
        artifacts: .tflite and .onnx files.
        runtimes: from :func:`edgekit.verbs.runtimes.asked_runtimes`.
        num_threads: of the interpreters.
        plan: for all of them.
        on_event: hears of the progress.
        weight_cache: add a row with XNNPACK's weight cache to every one that XNNPACK computes in LiteRT's library.

    Raises:
        DeviceError: the board itself cannot be used any more.
    """
    from edgekit.verbs.ready import is_stateful

    rows = _Rows(reached.device.name, plan, on_event)
    boards: dict[tuple[RuntimeName, bool], Board | EdgekitError] = {}
    named = len(runtimes) > 1 or weight_cache
    for artifact in artifacts:
        for asked in runtimes:
            if not asked.runs(artifact):
                continue
            wanted = asked.brought_for(artifact), is_stateful(artifact)
            if wanted not in boards:
                boards[wanted] = _prepared(reached, *wanted, on_event)
            board = boards[wanted]
            if isinstance(board, EdgekitError):
                rows.leave_out(artifact.name, asked.name, None, board)
                continue
            _add(rows, board, artifact, asked.name, num_threads, asked=asked, named=named, weight_cache=weight_cache)
    return _collected(rows, read_now=_looking_at(reached), one_runtime=len(runtimes) == 1)


def _prepared(reached: ReachedBoard, runtime: RuntimeName, stateful: bool, on_event: EventSink) -> Board | EdgekitError:
    try:
        return reached.prepared(runtime, on_event, stateful=stateful)
    except (RuntimeMissingError, DependencyError, TransferError) as error:
        return error


def _add(
    rows: _Rows,
    board: Board,
    artifact: Artifact,
    name: str,
    num_threads: Sequence[int],
    *,
    asked: AskedRuntime | None = None,
    named: bool = False,
    weight_cache: bool = False,
    at: str | None = None,
) -> None:
    """The rows of one model with one runtime; ``at``: it lies there already, and its outputs were checked."""
    from edgekit.verbs.ready import check_outputs, make_ready, push_model

    kernels = asked.kernels if asked else "delegate"
    told = open_axes(artifact)
    try:
        pushed = push_model(board, artifact, at=at)
        if at is None and not rows.plan.indicative:
            told += check_outputs(board, pushed, num_threads=num_threads[0], kernels=kernels, on_event=rows.on_event)
    except EdgekitError as error:
        rows.leave_out(artifact.name, name, None, error)
        return
    cacheable = weight_cache and kernels == "delegate" and board.runtime.library_path is not None
    for threads in num_threads:
        key = _Key(artifact.name, name, threads, named=named)
        ready = make_ready(board, pushed, num_threads=threads, kernels=kernels)
        rows.ready[key] = dataclasses.replace(ready, notices=(*ready.notices, *told))
        if cacheable:
            _add_cached(rows, board, pushed, name, threads)


def _add_cached(rows: _Rows, board: Board, pushed: PushedModel, name: str, threads: int) -> None:
    """The same row with packed weights in a file, which is made now."""
    from edgekit.verbs.ready import make_ready

    ready = make_ready(board, pushed, num_threads=threads, weight_cache=True)
    once = dataclasses.replace(ready.job, mode="smoke", samples=ready.job.samples[:1], rebuild=False)
    key = _Key(pushed.artifact.name, name + WITH_CACHE, threads, named=True)
    try:
        try:
            ready.run(once, _BUILD_LIMIT_S)
        except EdgekitError:  # what an interrupted run left behind
            board.device.workspace.sh('rm -f -- "$1"', ready.job.weight_cache)
            ready.run(once, _BUILD_LIMIT_S)
    except EdgekitError as error:
        rows.leave_out(key.model, key.runtime, threads, error)
        return
    rows.ready[key] = ready


def open_axes(artifact: Artifact) -> tuple[Notice, ...]:
    """Lengths that a .onnx file leaves open are 1 here; one that is no batch deserves a word."""
    from edgekit.model.onnx import read_onnx

    if not is_onnx(artifact):
        return ()
    found = []
    for one in read_onnx(artifact.path).inputs:
        if any(isinstance(length, str) for length in one.shape[1:]):
            shape = ", ".join(map(str, one.shape))
            found.append(
                Notice(
                    code="open-shape",
                    message=f"{artifact.path.name}: the input {one.name} [{shape}] is measured with 1 for each name",
                    hint="export the model with the lengths that you will use",
                )
            )
    return tuple(found)


def _looking_at(board: Board | ReachedBoard) -> ReadNow:
    """Looks at the board's sensors, for the cool gate."""
    from functools import partial

    from edgekit.device.now import read_now

    return partial(read_now, board.device, board.profile)


def _collected(rows: _Rows, *, read_now: ReadNow, one_runtime: bool) -> BoardBenchmark:
    """Runs what is ready, and puts figures and failures in order."""
    from edgekit.measure.collect import Collected, collect_many

    collected: Collected[_Key] = Collected()
    if rows.ready:
        collected = collect_many(
            {key: (one.run, one.job) for key, one in rows.ready.items()},
            plan=rows.plan,
            limits={key: one.limits for key, one in rows.ready.items()},
            read_now=read_now,
            on_event=rows.on_event,
        )
    samples, notices = _with_cold_starts(rows, collected.samples)
    for key, error in collected.errors.items():
        rows.leave_out(key.model, key.runtime, key.threads, error)
    measurements = tuple(
        one.measurement(samples[key], notices=notices.get(key, ())) for key, one in rows.ready.items() if key in samples
    )
    measured = set() if one_runtime else {key.model for key in samples}
    errors = tuple(row.error for row in rows.not_measured if row.model not in measured)
    return BoardBenchmark(measurements=measurements, not_measured=tuple(rows.not_measured), errors=errors)


def _with_cold_starts(
    rows: _Rows, samples: dict[_Key, Samples]
) -> tuple[dict[_Key, Samples], dict[_Key, tuple[Notice, ...]]]:
    """Cold starts come last, because they empty the page cache; benchmark_model makes none."""
    from edgekit.measure.cold import collect_cold

    can = {key: (one.run, one.job) for key, one in rows.ready.items() if key in samples and one.starts_cold}
    cold = collect_cold(can, plan=rows.plan, on_event=rows.on_event)
    found = {key: dataclasses.replace(one, cold=cold.trials.get(key, ())) for key, one in samples.items()}
    notices: dict[_Key, tuple[Notice, ...]] = {
        key: (Notice(code="no-cold-start", message=f"no cold start: {error.message}", hint=error.hint or ""),)
        for key, error in cold.problems.items()
    }
    return found, notices
