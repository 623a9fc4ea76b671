"""Whether the float model would do clearly better on the same rows with other preprocessing.

A wrong scale converts without any error, and float and int8 model then agree on nonsense: no drop would ever show it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from edgekit.core.decode import from_json, to_json
from edgekit.core.errors import DataError, ModelError
from edgekit.core.events import EventSink, task
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.data.prepare import PreparedData
from edgekit.data.spec import Preprocessing
from edgekit.optimize.cache import StepCache
from edgekit.optimize.elsewhere import evenly
from edgekit.optimize.score import Evaluation, drop, score_tflite
from edgekit.optimize.versions import versions

CODE = "preprocessing-doubtful"
_ROWS = 200
_CLEARLY_POINTS, _CLEARLY_PERCENT = 10.0, 100.0  # far beyond what 200 rows can differ by chance


def better_fed(
    reference: Path, prepared: PreparedData, found: Evaluation, cache: StepCache, on_event: EventSink
) -> Notice | None:
    """A notice that names the other preprocessing, where there is one that is clearly better.

    Args:
        reference: the float model.
        prepared: the rows; without labelled evaluation rows nothing can be said.
        found: the float model's score with the preprocessing that the user gave.
        cache: keeps the scores.
        on_event: hears what is tried.
    """
    rows = prepared.splits.evaluation
    if rows is None or not prepared.has_labels.get("evaluation") or found.value is None:
        return None
    some = evenly(rows, prepared.reports["evaluation"].count, _ROWS)
    for other in _others(prepared, rows.preprocessing):
        key = {
            "model": sha256_file(reference),
            "data": prepared.fingerprints["evaluation"],
            "preprocessing": to_json(other),
            "metric": found.metric,
            "versions": versions(),
        }
        known = cache.lookup("feeding", key)
        if known is None:
            spec = dataclasses.replace(rows, preprocessing=other, rows=tuple(some))
            try:
                with cache.making("feeding", key) as making, task(f"try {_named(other)}", on_event):
                    making.record = to_json(score_tflite(reference, spec, metric=found.metric))
            except (DataError, ModelError):  # NaN, most often: certainly no better
                continue
            known = making.folder, making.record
        tried = from_json(Evaluation, known[1], source="score")
        if _is_clearly_better(tried, found):
            return Notice(
                code=CODE,
                message=f"the float model scores {tried.value:.4g} ({tried.metric}) with {_named(other)}, but "
                f"{found.value:.4g} with {_named(rows.preprocessing)}, as it is fed now",
                hint="leave out --scale, --mean and --std" if not other.arithmetic else f"try {_named(other)}",
            )
    return None


def _others(prepared: PreparedData, given: Preprocessing) -> Iterator[Preprocessing]:
    """What else the model may have been trained on; mostly nothing, because every try takes time."""
    if given.arithmetic:
        yield Preprocessing(function=given.function)
    elif any(notice.code == "value-range" for notice in prepared.reports["evaluation"].notices):
        most = prepared.reports["evaluation"].maximum
        if most <= 2:
            yield Preprocessing(function=given.function, scale=255.0)
        else:
            top = 255.0 if 16 < most <= 255 else most
            yield Preprocessing(function=given.function, scale=1 / top)
            yield Preprocessing(function=given.function, scale=2 / top, mean=(1.0,))


def _is_clearly_better(tried: Evaluation, found: Evaluation) -> bool:
    if tried.value is None or found.value is None:
        return False
    fraction = tried.fraction and found.fraction
    lost = drop(tried.value, found.value, fraction=fraction, higher_is_better=found.higher_is_better)
    return lost > (_CLEARLY_POINTS if fraction else _CLEARLY_PERCENT)


def _named(way: Preprocessing) -> str:
    """As options, for people."""
    options = []
    if way.scale is not None:
        inverse = round(1 / way.scale)
        options.append(f"--scale 1/{inverse}" if abs(inverse * way.scale - 1) < 1e-6 else f"--scale {way.scale:g}")
    for name, values in (("--mean", way.mean), ("--std", way.std)):
        if values is not None:
            options.append(f"{name} {','.join(f'{value:g}' for value in values)}")
    return " ".join(options) or "the raw values"
