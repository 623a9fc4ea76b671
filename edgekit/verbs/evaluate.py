"""evaluate: the score of any model file on a dataset, on this machine or on a board."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from edgekit.core.events import ignore
from edgekit.optimize.score import Evaluation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike
    from pathlib import Path

    from edgekit.core.artifact import Artifact
    from edgekit.core.events import EventSink
    from edgekit.core.notice import Notice
    from edgekit.data.spec import DataSpec
    from edgekit.optimize.elsewhere import Outgoing
    from edgekit.runner.protocol import RuntimeUsed
    from edgekit.verbs.boards import Board, Reach

BOARD_ROWS = 200
_CHUNK_BYTES = 16 << 20  # inputs and outputs together: what a small board has room for in memory and on disk
_START_S, _SAMPLE_S = 300.0, 30.0  # more than the slowest board needs for a start, and for a sample


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardEvaluation(Evaluation):
    """How a model did on a board. The agreement is with the outputs of this machine for the same rows.

    Attributes:
        device: name of the board; ``emulated``: its processor is a program.
        runtime: what ran the model there.
        here: the score on this machine, on the same rows; None for ``agreement``.
        seconds: wall time on the board.
        notices: what the user should know about the board.
    """

    device: str
    emulated: bool
    runtime: RuntimeUsed
    here: float | None
    notices: tuple[Notice, ...]


def evaluate(
    model: str | PathLike[str],
    *,
    data: str,
    scale: str | float | None = None,
    mean: str | float | Sequence[float] | None = None,
    std: str | float | Sequence[float] | None = None,
    preprocess: str | None = None,
    metric: str = "auto",
    limit: int | None = None,
    device: str | None = None,
    runtime: str = "auto",
    reach: Reach | None = None,
    trust_model: bool = False,
    custom: Sequence[str] = (),
    use_cache: bool = True,
    on_event: EventSink = ignore,
) -> Evaluation:
    """Runs rows through a model and scores the outputs, with LiteRT on this machine or with what a board runs.

    Args:
        model: a ``.tflite``, or a Keras model or SavedModel (converted to float32 first).
        data: the rows; a source with parts is scored on its test part.
        scale, mean, std, preprocess, metric: see :func:`edgekit.optimize`.
        limit: score only so many rows, evenly spread; None: all, on a board 200.
        device: name of the board; None: this machine.
        runtime, reach: of the board; see :func:`edgekit.benchmark`.
        trust_model, custom, use_cache: for Keras models and SavedModels.
        on_event: hears of the progress.

    Returns:
        The score; with a ``device`` a :class:`BoardEvaluation`.

    Raises:
        ModelError, DataError, UsageError: see :func:`edgekit.optimize.score.score_tflite`.
        DeviceError: a board that cannot be used.
    """
    from pathlib import Path

    from edgekit.core.errors import UsageError
    from edgekit.data.split import in_part
    from edgekit.model.format import detect_format
    from edgekit.optimize.elsewhere import spread
    from edgekit.optimize.pipeline import float32
    from edgekit.optimize.score import score_tflite
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.datasets import dataset

    if limit is not None and limit < 1:
        raise UsageError(f"cannot score {limit} rows", hint="--limit takes a number from 1 up")
    way = reach or Reach()
    if device is not None:
        way.target(device)  # a misspelt name is found before any work
    path = Path(model)
    is_tflite = detect_format(path).name == "tflite"
    spec = in_part(dataset(data, scale=scale, mean=mean, std=std, preprocess=preprocess), "evaluation")
    count = None
    if limit is not None or device is not None:
        spec, count = spread(spec, limit or BOARD_ROWS)
    if not is_tflite:
        path = float32(path, trust=trust_model, custom=tuple(custom), reuse=use_cache, on_event=on_event)
    if device is None:
        found = score_tflite(path, spec, metric=metric, on_event=on_event)
    else:
        found = _on_board(path, spec, device, metric=metric, runtime=runtime, reach=way, on_event=on_event)
    if count is None or found.count == count:
        return found
    return replace(found, notes=(f"{found.count:,} of {count:,} rows, evenly spread", *found.notes))


def _on_board(
    model: Path, spec: DataSpec, device: str, *, metric: str, runtime: str, reach: Reach, on_event: EventSink
) -> BoardEvaluation:
    """Runs the rows here first: what is wrong with them or with the model is found before the board is bothered."""
    import tempfile
    from pathlib import Path
    from time import perf_counter

    from edgekit.core.events import task
    from edgekit.optimize.elsewhere import score_outputs, send_rows
    from edgekit.verbs.benchmark import check_runtime, is_stateful, open_model
    from edgekit.verbs.boards import open_board
    from edgekit.verbs.deploy import check_ops

    chosen = check_runtime(runtime)
    artifact = open_model(model)
    stateful = is_stateful(artifact)
    with tempfile.TemporaryDirectory(prefix="edgekit-", ignore_cleanup_errors=True) as folder:
        with task("run on this machine", on_event):
            sent = send_rows(model, spec, Path(folder), metric=metric)
        with open_board(device, reach, chosen, on_event, stateful=stateful) as board:
            check_ops(artifact, board)
            with task(f"run on {device}", on_event):
                begin = perf_counter()
                used = _run_there(board, artifact, sent, stateful=stateful, on_event=on_event)
                seconds = perf_counter() - begin
            notices, emulated = board.notices, board.limits.emulated
        with task("score", on_event):
            found = replace(score_outputs(model, spec, sent, metric=metric), seconds=seconds)
    return BoardEvaluation(
        **{field.name: getattr(found, field.name) for field in fields(found)},
        device=device,
        emulated=emulated,
        runtime=used,
        here=sent.here.value,
        notices=notices,
    )


def _run_there(board: Board, artifact: Artifact, sent: Outgoing, *, stateful: bool, on_event: EventSink) -> RuntimeUsed:
    """Fills ``sent.outputs``; chunk by chunk, each in one process on the board.

    Raises:
        DeviceError: see :func:`edgekit.device.run.run_job`; or the board's outputs have other sizes than ours.
    """
    from edgekit.core.errors import DeviceError
    from edgekit.core.events import Event
    from edgekit.core.hashing import sha256_file
    from edgekit.device.run import new_job, run_job

    workspace, name = board.device.workspace, board.device.name
    digest = sha256_file(artifact.path)
    path = workspace.push_file(artifact.path, f"models/{digest[:12]}/model.tflite").path
    done, used = 0, None
    with sent.outputs.open("wb") as outputs:
        for content, count in _chunks(sent):
            with _pushed(board, content) as there:
                job = new_job(
                    board.runtime,
                    mode="smoke",
                    model_path=path,
                    model_sha256=digest,
                    samples=_places(there, sent.input_bytes, count),
                    num_threads=board.profile.num_threads,
                )
                job = replace(job, rebuild=stateful)
                trial = run_job(board.device, board.runtime, job, _START_S + count * _SAMPLE_S)
            tensors = [_raw(text, name) for sample in trial.outputs for text in sample]
            if [len(raw) for raw in tensors] != list(sent.output_bytes) * count:
                raise DeviceError(
                    f"{name}: the outputs for {count} samples have other sizes there than on this machine",
                    hint="use the runtime that edgekit brings: --runtime litert",
                )
            outputs.writelines(tensors)
            done, used = done + count, trial.runtime
            on_event(
                Event(
                    state="progress",
                    task=f"run on {name}",
                    message=f"{done} of {sent.samples} samples",
                    fraction=done / sent.samples,
                )
            )
    assert used is not None
    return used


def _chunks(sent: Outgoing) -> Iterator[tuple[bytes, int]]:
    """The rows in pieces of bounded size, each with its number of samples."""
    size = sum(sent.input_bytes)
    most = max(1, _CHUNK_BYTES // max(1, size + sum(sent.output_bytes)))
    with sent.inputs.open("rb") as stream:
        for start in range(0, sent.samples, most):
            count = min(most, sent.samples - start)
            yield stream.read(size * count), count


@contextmanager
def _pushed(board: Board, content: bytes) -> Iterator[str]:
    """A content on the board for as long as the block takes; its path there."""
    import hashlib

    from edgekit.core.errors import DeviceError

    there = board.device.workspace.push_bytes(content, f"rows/{hashlib.sha256(content).hexdigest()[:24]}.raw").path
    try:
        yield there
    finally:
        with suppress(DeviceError):  # whatever went wrong before is what counts
            board.device.transport.run(["rm", "-f", "--", there], timeout_s=30)


def _places(there: str, sizes: Sequence[int], count: int) -> tuple[tuple[str, ...], ...]:
    """Where each tensor of each sample begins, as a job names it."""
    starts = [sum(sizes[:position]) for position in range(len(sizes))]
    return tuple(tuple(f"{there}@{sample * sum(sizes) + start}" for start in starts) for sample in range(count))


def _raw(text: str, name: str) -> bytes:
    import binascii

    from edgekit.core.errors import DeviceError

    try:
        return binascii.a2b_base64(text)
    except binascii.Error as error:
        raise DeviceError(f"{name}: the outputs that came back are damaged: {error}") from error
