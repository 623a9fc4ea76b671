"""Scores a .tflite on real rows with LiteRT on this machine, in a child process without TensorFlow."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.artifact import Score
from edgekit.core.child import Child, ChildDied
from edgekit.core.decode import from_json
from edgekit.core.errors import ModelError, UsageError
from edgekit.core.events import EventSink, ignore
from edgekit.core.suggest import unknown
from edgekit.data.spec import DataSpec

METRICS = ("auto", "top-1", "top-5", "mse", "mae", "auc", "agreement", "module:function")
PROBE_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How one .tflite did on the rows of a dataset.

    Attributes:
        metric: ``top-1``, ``top-5``, ``mse``, ``mae``, ``auc``, ``agreement`` or ``module:function``.
        value: the score; None for ``agreement`` without a reference.
        higher_is_better, fraction: how a loss of this metric counts, see :func:`drop`.
        count: rows.
        same_class: fraction of predictions with the reference's largest output; None without a reference, or where
            the outputs are no classes.
        cosine: of all outputs with the reference's; None without a reference.
        max_abs_difference: largest difference of any output value from the reference's; None without a reference.
        ci95: of ``value``; None where the metric has no value per row.
        batch: rows per call of the interpreter.
        seconds: wall time of all of it.
        notes: how labels and outputs were understood.
    """

    metric: str
    value: float | None
    higher_is_better: bool
    fraction: bool
    count: int
    same_class: float | None = None
    cosine: float | None = None
    max_abs_difference: float | None = None
    ci95: tuple[float, float] | None = None
    batch: int = 1
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def score_tflite(
    model: Path | str,
    data: DataSpec,
    *,
    metric: str = "auto",
    num_threads: int = 2,
    batch: int | None = None,
    outputs: Path | None = None,
    reference_outputs: Path | None = None,
    row_values: Path | None = None,
    time_limit_s: float = 6 * 3600,
    on_event: EventSink = ignore,
) -> Evaluation:
    """Runs every row through the model and scores the outputs.

    Args:
        model: any .tflite: float or quantized inputs and outputs, one or several.
        data: the rows; preprocessing gives the real values that the float model was trained on.
        metric: ``auto``, ``top-K``, ``mse``, ``mae``, ``auc``, ``agreement`` or ``module:function`` (a function of
            (y_true, y_pred) that returns a number).
        num_threads: of the interpreter.
        batch: rows per call; None: as many as suit the model, if it computes the same as one by one.
        outputs: .npy to write: float32 [rows, all output values], outputs in the order of their names.
        reference_outputs: such a file of the float model, for agreement.
        row_values: .npy to write, where the metric has a value per row: float32 [rows].
        time_limit_s: for all rows.
        on_event: hears how far it is.

    Raises:
        ModelError: not a .tflite, not supported by this runtime, or with NaN in its outputs.
        DataError: rows that cannot be read or do not fit; labels that do not fit the metric.
        UsageError: no such metric, or one that does not fit the model.
    """
    check_metric(metric)
    arguments: dict[str, Any] = {
        "model": str(model),
        "data": data,
        "metric": metric,
        "num_threads": num_threads,
        "outputs": outputs,
        "reference_outputs": reference_outputs,
        "row_values": row_values,
    }
    function = "edgekit.optimize.scoring:score_model"
    try:
        answer = _probed(function, time_limit_s, on_event, batch=batch, **arguments)
    except ChildDied as death:
        if death.signal_name is None or death.out_of_memory or batch == 1:
            raise _died(model, death) from death
        try:  # kernels that do not expect several rows may crash on them
            answer = _probed(function, time_limit_s, on_event, batch=1, **arguments)
        except ChildDied as second:
            raise _died(model, second) from second
    return from_json(Evaluation, answer, source="the score")


def compared(
    reference: Evaluation, final: Evaluation, drop_ci95: Callable[[], tuple[float, float]] | None = None
) -> Score:
    """The score of a model beside that of the float model, for a manifest.

    Args:
        reference: of the float model.
        final: of the model in question, on the same rows; its agreement is with the reference's outputs.
        drop_ci95: interval of ``reference - final`` in the metric's own unit; None where it is not known.
    """
    details = {
        name: value
        for name, value in (
            ("same_class", final.same_class),
            ("cosine", final.cosine),
            ("max_abs_difference", final.max_abs_difference),
        )
        if value is not None
    }
    before = 1.0 if final.metric == "agreement" else reference.value
    lost, interval = None, None
    if before is not None and final.value is not None:
        fraction = final.fraction and reference.fraction
        way = {"fraction": fraction, "higher_is_better": final.higher_is_better}
        lost = drop(before, final.value, **way)
        if drop_ci95 is not None:
            ends = sorted(drop(before, before - end, **way) for end in drop_ci95())
            interval = (ends[0], ends[1])
    return Score(
        metric=final.metric,
        reference=before,
        final=final.value,
        drop=lost,
        count=final.count,
        ci95=final.ci95,
        drop_ci95=interval,
        details=details,
    )


def check_metric(name: str) -> None:
    """Raises:
    UsageError: no such metric.
    """
    if (
        name in METRICS[:-1]
        or re.fullmatch(r"top-[1-9]\d*", name)
        or re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", name)
    ):
        return
    message, hint = unknown("metric", name, METRICS)
    raise UsageError(message, hint="accuracy is called top-1" if name.lower().startswith("acc") else hint)


def drop(reference: float, final: float, *, fraction: bool, higher_is_better: bool) -> float:
    """What was lost: percentage points of a fraction, else percent of the reference. Positive is worse."""
    lost = reference - final if higher_is_better else final - reference
    return 100 * lost / (1 if fraction else max(abs(reference), 1e-12))


def in_child(function: str, model: Path | str, *, time_limit_s: float, **arguments: Any) -> Any:
    """A function of ours that runs a .tflite, in a child; the model is tried once before the long work.

    Raises:
        ModelError: the model, or the process with it, failed.
    """
    try:
        return _probed(function, time_limit_s, ignore, model=str(model), **arguments)
    except ChildDied as death:
        raise _died(model, death) from death


def _probed(function: str, time_limit_s: float, on_event: EventSink, **arguments: Any) -> Mapping[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="edgekit-", ignore_cleanup_errors=True) as folder,
        Child(log=Path(folder) / "log.txt", purpose="scoring") as child,
    ):
        child.call("edgekit.optimize.scoring:probe", time_limit_s=PROBE_LIMIT_S, model=arguments["model"])
        answer: Mapping[str, Any] = child.call(function, time_limit_s=time_limit_s, on_event=on_event, **arguments)
    return answer


def _died(model: Path | str, death: ChildDied) -> ModelError:
    if death.out_of_memory:
        return ModelError(f"{model}: running it ran out of memory", hint="score fewer rows, or use a larger machine")
    if death.timed_out:
        return ModelError(
            f"{model} did not finish in time: {death.message}",
            hint="it may be damaged: make it again, or score fewer rows",
        )
    return ModelError(
        f"{model} is not a valid TFLite model, or not supported by this runtime: it {death.message.partition(' ')[2]}",
        hint="make it again with `edgekit convert` or `edgekit optimize`",
        details={"log": death.log_tail},
    )
