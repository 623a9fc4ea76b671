"""benchmark: latency and memory of models on boards, every figure with what it depends on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from edgekit.core.events import ignore
from edgekit.verbs.runtimes import check_runtime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from edgekit.core.artifact import Artifact
    from edgekit.core.errors import EdgekitError
    from edgekit.core.events import EventSink
    from edgekit.measure.measurement import Measurement
    from edgekit.measure.plan import Plan
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.fleet import BoardOutcome, Work
    from edgekit.verbs.measuring import BoardBenchmark

__all__ = ["benchmark", "benchmarking", "check_runtime", "failures", "open_model", "open_runnable"]

T = TypeVar("T")


def benchmark(
    models: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
    *,
    device: str | Sequence[str] = "local",
    num_threads: int | Sequence[int] | None = None,
    plan: str | Plan = "standard",
    runtime: str | Sequence[str] = "auto",
    weight_cache: bool = False,
    reach: Reach | None = None,
    on_event: EventSink = ignore,
    on_measured: Callable[[Measurement], None] = ignore,
) -> tuple[Measurement, ...]:
    """Measures each model with each runtime and thread count on each board.

    Boards are measured side by side; on one board the processes of its models are interleaved.

    Args:
        models: .tflite files or artifacts; .onnx files, which ONNX Runtime runs.
        device: names of boards; ``local`` is this machine.
        num_threads: of the interpreter; default: what the board's profile says.
        plan: ``standard`` (10 processes), ``quick`` (3, indicative), or a :class:`~edgekit.measure.plan.Plan`.
        runtime: ``auto``; or one or several of ``litert``, ``litert-builtin`` (its own kernels instead of XNNPACK's),
            ``native``, ``ai_edge_litert``, ``tflite_runtime``, ``onnxruntime`` and ``benchmark_model``. Of several, one
            that cannot run on a board is left out there; the command's table says why.
        weight_cache: measure LiteRT's library with XNNPACK's weight cache too.
        reach: how to reach the board, where its name does not say it all.
        on_event: hears of the progress.
        on_measured: gets each measurement as soon as its board is done, also where the call fails in the end.

    Returns:
        The measurements, raw samples included, in the order board, model, runtime, threads. Nothing is stored.

    Raises:
        ModelError: a file that is missing or cannot be run.
        DeviceError: a board that cannot be used. With several boards or models, the others were measured.
    """
    from edgekit.verbs.fleet import on_boards

    work = benchmarking(models, num_threads=num_threads, plan=plan, runtime=runtime, weight_cache=weight_cache)

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
    runtime: str | Sequence[str] = "auto",
    weight_cache: bool = False,
) -> Work[BoardBenchmark]:
    """The work of :func:`benchmark` on one board, for :func:`edgekit.verbs.fleet.on_boards`.

    Everything that can be wrong with models and options is found here, once, before any board is bothered.

    Args:
        models, num_threads, plan, runtime, weight_cache: see :func:`benchmark`.

    Raises:
        ModelError, UsageError: see there.
    """
    from edgekit.measure.plan import make_plan
    from edgekit.verbs.boards import reach_board
    from edgekit.verbs.measuring import measure_with
    from edgekit.verbs.ready import is_stateful
    from edgekit.verbs.runtimes import asked_runtimes

    given: list[str | PathLike[str] | Artifact] = _listed(models)
    artifacts = [open_runnable(model) for model in given]
    chosen = make_plan(plan) if isinstance(plan, str) else plan
    runtimes = asked_runtimes(runtime, artifacts)
    for artifact in artifacts:
        is_stateful(artifact)  # a file that cannot be read is found here

    def work(name: str, reach: Reach, on_event: EventSink) -> BoardBenchmark:
        with reach_board(name, reach, on_event) as reached:
            threads = _listed(num_threads) if num_threads is not None else [reached.profile.num_threads]
            return measure_with(reached, artifacts, runtimes, threads, chosen, on_event, weight_cache=weight_cache)

    return work


def open_runnable(model: str | PathLike[str] | Artifact) -> Artifact:
    """A .tflite with its manifest, if it has one, or a .onnx file.

    Raises:
        ModelError: see :func:`open_model`; a .onnx that is damaged or keeps its weights elsewhere.
    """
    from pathlib import Path

    from edgekit.core.artifact import Artifact
    from edgekit.model.onnx import looks_like_onnx, read_onnx

    if isinstance(model, Artifact) or not looks_like_onnx(Path(model)):
        return open_model(model)
    read_onnx(Path(model))
    return Artifact(path=Path(model), manifest=None)


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


def _listed(value: T | Sequence[T]) -> list[T]:
    return list(value) if isinstance(value, (list, tuple)) else [cast("T", value)]
