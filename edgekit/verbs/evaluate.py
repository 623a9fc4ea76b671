"""evaluate: the score of any model file on a dataset, on this machine or on a board."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from edgekit.core.events import ignore
from edgekit.optimize.score import Evaluation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from pathlib import Path

    from edgekit.core.events import EventSink
    from edgekit.core.notice import Notice
    from edgekit.data.spec import DataSpec
    from edgekit.runner.protocol import RuntimeUsed
    from edgekit.verbs.boards import Reach

BOARD_ROWS = 200
_FRACTIONS = ("top-1", "top-5", "auc", "agreement")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardEvaluation(Evaluation):
    """How a model did on a board. The agreement is with the outputs of this machine for the same rows.

    Attributes:
        device: name of the board; ``emulated``: its processor is a program.
        runtime: what ran the model there.
        here: the score on this machine, on the same rows; None for ``agreement``.
        difference: ``value`` minus ``here``, in the metric's own unit; None where there is no ``here``.
        same_outputs: every output of every row is equal to this machine's.
        seconds: wall time on the board.
        batches: in how many pieces the rows went there; ``resumed`` of them in an earlier run that was interrupted.
        notices: what the user should know about the board.
    """

    device: str
    emulated: bool
    runtime: RuntimeUsed
    here: float | None
    difference: float | None
    same_outputs: bool
    batches: int
    resumed: int
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
    from edgekit.verbs.batches import run_there
    from edgekit.verbs.benchmark import open_model
    from edgekit.verbs.boards import open_board
    from edgekit.verbs.deploy import check_ops
    from edgekit.verbs.ready import is_stateful
    from edgekit.verbs.runtimes import check_runtime

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
                ran = run_there(board, artifact, sent, stateful=stateful, on_event=on_event)
                seconds = perf_counter() - begin
            notices, emulated = (*board.notices, *ran.notices), board.limits.emulated
        with task("score", on_event):
            found = replace(score_outputs(model, spec, sent, metric=metric), seconds=seconds)
    here = sent.here.value
    same = found.max_abs_difference == 0.0
    difference = None if here is None or found.value is None else found.value - here
    notes = [*found.notes, _alike(found, difference, ran.runtime, same=same)]
    if ran.resumed:
        notes.append(f"went on from an interrupted run: {ran.resumed} of {ran.batches} batches were there already")
    known = {field.name: getattr(found, field.name) for field in fields(found)}
    return BoardEvaluation(
        **{**known, "notes": tuple(notes)},
        device=device,
        emulated=emulated,
        runtime=ran.runtime,
        here=here,
        difference=difference,
        same_outputs=same,
        batches=ran.batches,
        resumed=ran.resumed,
        notices=notices,
    )


def _alike(found: Evaluation, difference: float | None, used: RuntimeUsed, *, same: bool) -> str:
    """In words, how board and machine agree."""
    if same:
        return "every output on the board is equal to this machine's"
    score = ""
    if difference == 0.0:
        score = "; the score is the same"
    elif difference is not None:
        amount = f"{100 * difference:+.2f} pp" if found.metric in _FRACTIONS else f"{difference:+.4g}"
        score = f"; the score differs by {amount}"
    why = ": it uses the runtime's built-in kernels, this machine XNNPACK" if used.delegate == "none" else ""
    return f"outputs on the board differ from this machine's by up to {found.max_abs_difference:.3g}{why}{score}"
