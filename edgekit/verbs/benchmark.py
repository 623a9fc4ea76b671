"""benchmark: latency and memory of models on boards, every figure with what it depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from edgekit.core.artifact import Artifact
    from edgekit.core.errors import EdgekitError
    from edgekit.core.events import EventSink
    from edgekit.device.provision import RuntimeName
    from edgekit.measure.measurement import Measurement
    from edgekit.measure.plan import Plan
    from edgekit.verbs.boards import Board, Reach
    from edgekit.verbs.fleet import BoardOutcome, Work
    from edgekit.verbs.ready import Ready

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardBenchmark:
    """What came of several models on one board.

    Attributes:
        measurements: in the order model, threads; without those that failed.
        errors: one for each model and thread count that could not be measured.
    """

    measurements: tuple[Measurement, ...]
    errors: tuple[EdgekitError, ...]


def benchmark(
    models: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
    *,
    device: str | Sequence[str] = "local",
    num_threads: int | Sequence[int] | None = None,
    plan: str | Plan = "standard",
    runtime: str = "auto",
    reach: Reach | None = None,
    on_event: EventSink = ignore,
    on_measured: Callable[[Measurement], None] = ignore,
) -> tuple[Measurement, ...]:
    """Measures each model with each thread count on each board.

    Boards are measured side by side; on one board the processes of its models are interleaved.

    Args:
        models: .tflite files or artifacts.
        device: names of boards; ``local`` is this machine.
        num_threads: of the interpreter; default: what the board's profile says.
        plan: ``standard`` (10 processes), ``quick`` (3, indicative), or a :class:`~edgekit.measure.plan.Plan`.
        runtime: ``auto``, ``litert``, ``ai_edge_litert`` or ``tflite_runtime``.
        reach: how to reach the board, where its name does not say it all.
        on_event: hears of the progress.
        on_measured: gets each measurement as soon as its board is done, also where the call fails in the end.

    Returns:
        The measurements, raw samples included, in the order board, model, threads. Nothing is stored.

    Raises:
        ModelError: a file that is missing or cannot be run.
        DeviceError: a board that cannot be used. With several boards or models, the others were measured.
    """
    from edgekit.verbs.fleet import on_boards

    work = benchmarking(models, num_threads=num_threads, plan=plan, runtime=runtime)

    def hand_over(outcome: BoardOutcome[BoardBenchmark]) -> None:
        for measurement in outcome.result.measurements if outcome.result else ():
            on_measured(measurement)

    names = [device] if isinstance(device, str) else list(device)
    outcomes = on_boards(names, work, on_event, reach=reach, on_outcome=hand_over)
    for outcome in outcomes:
        for error in failures(outcome):
            raise error
    return tuple(measurement for one in outcomes if one.result for measurement in one.result.measurements)


def failures(outcome: BoardOutcome[BoardBenchmark]) -> tuple[EdgekitError, ...]:
    """What went wrong on one board: the board itself, or some of the models."""
    if outcome.error is not None:
        return (outcome.error,)
    return outcome.result.errors if outcome.result is not None else ()


def benchmarking(
    models: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
    *,
    num_threads: int | Sequence[int] | None = None,
    plan: str | Plan = "standard",
    runtime: str = "auto",
) -> Work[BoardBenchmark]:
    """The work of :func:`benchmark` on one board, for :func:`edgekit.verbs.fleet.on_boards`.

    Everything that can be wrong with models and options is found here, once, before any board is bothered.

    Args:
        models, num_threads, plan, runtime: see :func:`benchmark`.

    Raises:
        ModelError, UsageError: see there.
    """
    from edgekit.measure.plan import make_plan
    from edgekit.verbs.boards import open_board
    from edgekit.verbs.ready import is_stateful

    given: list[str | PathLike[str] | Artifact] = _listed(models)
    artifacts = [open_model(model) for model in given]
    chosen = make_plan(plan) if isinstance(plan, str) else plan
    name_of_runtime = check_runtime(runtime)
    stateful = any(map(is_stateful, artifacts))

    def work(name: str, reach: Reach, on_event: EventSink) -> BoardBenchmark:
        with open_board(name, reach, name_of_runtime, on_event, stateful=stateful) as board:
            threads = _listed(num_threads) if num_threads is not None else [board.profile.num_threads]
            return measure_each(board, artifacts, threads, chosen, on_event)

    return work


def measure_on(
    board: Board,
    artifacts: Sequence[Artifact],
    num_threads: Sequence[int],
    plan: Plan,
    on_event: EventSink,
    *,
    at: str | None = None,
) -> list[Measurement]:
    """Measures artifacts on an open board; ``at``: the only one lies there already.

    Raises:
        EdgekitError: of the first model that could not be measured, after the others were.
    """
    found = measure_each(board, artifacts, num_threads, plan, on_event, at=at)
    if found.errors:
        raise found.errors[0]
    return list(found.measurements)


def measure_each(
    board: Board,
    artifacts: Sequence[Artifact],
    num_threads: Sequence[int],
    plan: Plan,
    on_event: EventSink,
    *,
    at: str | None = None,
) -> BoardBenchmark:
    """As :func:`measure_on`, but one that fails stops no other, and no other's measurement is lost."""
    from edgekit.core.errors import EdgekitError
    from edgekit.measure.collect import Collected, collect_many
    from edgekit.measure.measurement import measurement_from
    from edgekit.verbs.ready import make_ready, push_model

    ready: dict[_Key, Ready] = {}
    errors: list[EdgekitError] = []
    for artifact in artifacts:
        try:
            pushed = push_model(board, artifact, at=at)
        except EdgekitError as error:
            errors.append(error)
            continue
        for threads in num_threads:
            key = _Key(f"{artifact.name}, {threads} thread{'s' * (threads > 1)}:")
            ready[key] = make_ready(board, pushed, num_threads=threads)
    collected: Collected[_Key] = Collected()
    if ready:
        collected = collect_many(
            {key: (one.run, one.job) for key, one in ready.items()},
            plan=plan,
            limits={key: one.limits for key, one in ready.items()},
            on_event=on_event,
        )
    return BoardBenchmark(
        measurements=tuple(
            measurement_from(
                collected.samples[key],
                device=board.device.name,
                model=one.model,
                limits=one.limits,
                notices=one.notices,
            )
            for key, one in ready.items()
            if key in collected.samples
        ),
        errors=(*errors, *collected.errors.values()),
    )


def check_runtime(name: str) -> RuntimeName:
    """The runtime's name, if there is one of that name.

    Raises:
        UsageError: there is none.
    """
    from typing import get_args

    from edgekit.core.errors import UsageError
    from edgekit.core.suggest import unknown
    from edgekit.device import provision

    known = get_args(provision.RuntimeName)
    if name not in known:
        message, hint = unknown("runtime", name, known)
        raise UsageError(message, hint=hint)
    return cast("RuntimeName", name)


def open_model(model: str | PathLike[str] | Artifact) -> Artifact:
    """A .tflite with its manifest, if it has one.

    Raises:
        ModelError: no such file, not a .tflite, or a manifest of another file.
    """
    from pathlib import Path

    from edgekit.core.artifact import Artifact, open_artifact
    from edgekit.core.errors import ModelError
    from edgekit.model.format import detect_format

    if isinstance(model, Artifact):
        return model
    fmt = detect_format(Path(model))
    if fmt.name != "tflite":
        raise ModelError(
            f"{model} is a {fmt.library} model; boards run .tflite files",
            hint=f"edgekit optimize {model} --data DATA -o model.tflite",
        )
    return open_artifact(Path(model))


class _Key:
    """One line of the table to be; its text goes before the progress of its processes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def _listed(value: T | Sequence[T]) -> list[T]:
    return list(value) if isinstance(value, (list, tuple)) else [cast("T", value)]
