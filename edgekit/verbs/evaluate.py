"""evaluate: the score of any model file on a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from edgekit.core.events import EventSink
    from edgekit.optimize.score import Evaluation


def evaluate(
    model: str | PathLike[str],
    *,
    data: str,
    scale: str | float | None = None,
    mean: str | Sequence[float] | None = None,
    std: str | Sequence[float] | None = None,
    preprocess: str | None = None,
    metric: str = "auto",
    trust_model: bool = False,
    use_cache: bool = True,
    on_event: EventSink = ignore,
) -> Evaluation:
    """Runs every row through a model with LiteRT on this machine and scores the outputs.

    Args:
        model: a ``.tflite``, or a Keras model or SavedModel (converted to float32 first).
        data: the rows; a source with parts is scored on its test part.
        scale, mean, std, preprocess, metric: see :func:`edgekit.optimize`.
        trust_model, use_cache: for Keras models and SavedModels.
        on_event: hears of the progress.

    Raises:
        ModelError, DataError, UsageError: see :func:`edgekit.optimize.score.score_tflite`.
    """
    from pathlib import Path

    from edgekit.data.split import in_part
    from edgekit.model.format import detect_format
    from edgekit.optimize.pipeline import float32
    from edgekit.optimize.score import score_tflite
    from edgekit.verbs.datasets import dataset

    spec = in_part(dataset(data, scale=scale, mean=mean, std=std, preprocess=preprocess), "evaluation")
    path = Path(model)
    if detect_format(path).name != "tflite":
        path = float32(path, trust=trust_model, reuse=use_cache, on_event=on_event)
    return score_tflite(path, spec, metric=metric, on_event=on_event)
