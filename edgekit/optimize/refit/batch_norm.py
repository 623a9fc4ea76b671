"""Re-estimates the BatchNormalization statistics of a trained model from data, and writes it as the file it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.core import decode
from edgekit.core.errors import DataError
from edgekit.core.events import Event, EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.model import load
from edgekit.model.load import LoadedModel
from edgekit.optimize import written
from edgekit.optimize.refit.statistics import LayerStatistics, Reestimated, normalizations, reestimate
from edgekit.optimize.training import input_packer

_BATCH = 64
_FEW_POSITIONS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Refitted:
    """A model with new statistics.

    Attributes:
        path: the new file.
        rows: that the statistics were computed from.
        layers: with what changed in each.
        left: layers that were left alone, each with the reason.
        passes: runs through the rows.
        losses: none, nothing is trained.
        notes: sentences for people.
        notices: what the user should know and can act on.
    """

    path: str
    rows: int
    layers: tuple[LayerStatistics, ...]
    left: tuple[str, ...]
    passes: int
    losses: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def batch_norm(
    source: str,
    out: str,
    data: Mapping[str, Any] | None = None,
    *,
    batches: int = 100,
    trust: bool = False,
    on_event: EventSink = ignore,
) -> Refitted:
    """Computes the statistics of the model in ``source`` anew and writes ``out``. Runs in the TensorFlow child.

    Args:
        source: Keras 3 or tf_keras model; stays as it is.
        out: the new file, with the ending of the old one (``.keras`` for a SavedModel).
        data: training rows, a :class:`edgekit.data.spec.DataSpec` as JSON values; labels are not looked at.
        batches: of 64 rows, at most; taken evenly from all rows where there are more.
        trust: allow code inside the model file.

    Raises:
        ModelError: a model that cannot be loaded, or whose values are not finite.
        DataError: no rows, or rows that do not fit.
        UsageError: ``out`` cannot be written.
    """
    if data is None:
        raise DataError(
            "the statistics of BatchNormalization layers are computed from rows, and there are none",
            hint="name a dataset with --data; it needs no labels",
        )
    with written.changing(source, trust=trust, on_event=on_event) as loaded:
        written.check_kind(loaded, Path(out), "given new statistics")
        rows = _Rows(loaded, data, batches)

        def progress(done: int, total: int) -> None:
            message = f"run {done} of {total} through {rows.count} rows"
            on_event(Event(state="progress", task="batch-norm", message=message, fraction=done / total))

        with task("batch-norm", on_event):
            layers = normalizations(loaded.model, loaded.library)
            found = reestimate(loaded.model, loaded.library, rows, progress) if layers else None
            written.write(loaded.model, Path(out))
        return _record(out, rows.count, found, loaded.notices)


class _Rows:
    """The same batches each time it is called, packed as the model takes them."""

    def __init__(self, loaded: LoadedModel, data: Mapping[str, Any], batches: int) -> None:
        from edgekit.data.dataset import open_dataset
        from edgekit.data.spec import DataSpec

        spec = decode.from_json(DataSpec, dict(data), source="training dataset", error=DataError)
        self._specs = load.input_specs(loaded)
        self._pack = input_packer(loaded)
        self._size = load.fixed_batch(loaded) or _BATCH
        self._dataset = open_dataset(spec, inputs=self._specs)
        self.count = self._dataset.count
        if self.count > batches * self._size:
            self.count = batches * self._size
            positions = [number * self._dataset.count // self.count for number in range(self.count)]
            chosen = positions if spec.rows is None else [spec.rows[position] for position in positions]
            self._dataset = open_dataset(replace(spec, rows=tuple(chosen)), inputs=self._specs)

    def __call__(self) -> Iterator[Any]:
        for batch in self._dataset.batches(self._size):
            if self._size != _BATCH and len(next(iter(batch.inputs.values()))) != self._size:
                return  # a model of fixed batch size does not take a smaller one
            yield self._pack({s.name: batch.inputs[s.name].astype(s.dtype, copy=False) for s in self._specs})


def _record(out: str, rows: int, found: Reestimated | None, notices: tuple[Notice, ...]) -> Refitted:
    if found is None:
        notice = Notice(
            code="nothing-to-reestimate",
            message="the model has no BatchNormalization layer, so it stays as it is",
            hint="leave the batch-norm step out",
        )
        return Refitted(path=out, rows=0, layers=(), left=(), passes=0, notices=(*notices, notice))
    most = max(found.layers, key=lambda layer: layer.mean_shift)
    together = "" if found.passes == len(found.layers) else f", in {found.passes} runs through the data"
    notes = [
        f"statistics of {len(found.layers)} BatchNormalization layers computed from {rows} rows{together}; the mean "
        f"moved most in {most.name}: by {most.mean_shift:.2g} standard deviations. No weight was trained, and the size "
        "and the latency stay as they are",
    ]
    if found.left:
        notes.append(f"left as they are: {', '.join(found.left)}")
    few = min(found.layers, key=lambda layer: layer.positions)
    if few.positions < _FEW_POSITIONS:
        notice = Notice(
            code="few-rows-for-statistics",
            message=f"the statistics of {few.name} are of {few.positions} values a channel only, and so inexact",
            hint="give some hundred rows or more",
        )
        notices = (*notices, notice)
    return Refitted(
        path=out,
        rows=rows,
        layers=found.layers,
        left=found.left,
        passes=found.passes,
        notes=tuple(notes),
        notices=notices,
    )
