"""The scoring that runs in the child: rows in, outputs out, metrics over both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy

from edgekit.core import files
from edgekit.core.decode import from_json
from edgekit.core.errors import DataError, ModelError
from edgekit.core.events import Event, EventSink, ignore
from edgekit.data.block import Array
from edgekit.data.dataset import Batch, Dataset, open_dataset
from edgekit.data.spec import DataSpec
from edgekit.optimize import intervals
from edgekit.optimize.agreement import Agreement
from edgekit.optimize.interpreter import BatchRefused, HostModel
from edgekit.optimize.metrics import Metric, make_metric
from edgekit.optimize.score import Evaluation

_BATCH_VALUES = 1 << 20
"""About so many input values go into one call: more is no faster, and activations take memory."""


def probe(model: str) -> float:
    """Loads the model and runs it once on zeros; seconds. For a short time limit: damaged files can hang.

    Raises:
        ModelError: not a .tflite, not supported, or a call fails.
    """
    _check_file(model)
    begin = perf_counter()
    host = HostModel(model, num_threads=1)
    if all(n > 0 for spec in host.inputs for n in spec.shape[1:]):
        zeros = [numpy.zeros((host.unit, *spec.shape[1:]), spec.dtype) for spec in host.inputs]
        try:
            host.run(zeros)
        except BatchRefused as error:
            raise ModelError(
                f"{model} does not run: {error}"[:500], hint="make it again with `edgekit convert`"
            ) from error
    return perf_counter() - begin


def score_model(
    model: str,
    data: Mapping[str, Any],
    metric: str,
    num_threads: int,
    batch: int | None,
    outputs: str | None,
    reference_outputs: str | None,
    row_values: str | None = None,
    on_event: EventSink = ignore,
) -> Evaluation:
    """See :func:`edgekit.optimize.score.score_tflite`, which calls this in a child."""
    return score_rows(
        HostModel(model, num_threads=num_threads),
        data,
        metric,
        batch=batch,
        outputs=outputs,
        reference_outputs=reference_outputs,
        row_values=row_values,
        on_event=on_event,
    )


def score_rows(
    host: HostModel,
    data: Mapping[str, Any],
    metric: str,
    *,
    batch: int | None = None,
    outputs: str | None = None,
    reference_outputs: str | None = None,
    row_values: str | None = None,
    on_event: EventSink = ignore,
) -> Evaluation:
    """Scores a model that is open already; see :func:`edgekit.optimize.score.score_tflite`."""
    begin = perf_counter()
    dataset = open_dataset(from_json(DataSpec, data, source="the dataset"), inputs=host.inputs)
    if not dataset.has_labels and metric not in ("auto", "agreement"):
        raise DataError(f"{dataset.spec.source} has no labels for the metric {metric}", hint="use --metric agreement")
    rows = batch or preferred_batch(host)
    tally = _Tally(dataset, metric, reference_outputs)
    total = dataset.known_count
    with _writing(outputs, dataset) as write:
        for found, used in predictions(host, dataset, rows):
            rows = used
            write(tally.add(found[0], found[1]))
            fraction = tally.count / total if total else None
            on_event(Event(state="progress", task="score", message=f"{tally.count} rows", fraction=fraction))
    values = tally.row_values()
    if row_values is not None and values is not None:
        with files.appearing(Path(row_values)) as temporary, temporary.open("wb") as stream:
            numpy.save(stream, values, allow_pickle=False)
    interval = None if values is None else intervals.of_mean(values)
    return tally.evaluation(batch=rows, seconds=perf_counter() - begin, ci95=interval)


def preferred_batch(host: HostModel) -> int:
    """Rows per call that suit the size of the model's inputs."""
    if not host.can_batch or host.unit > 1:
        return host.unit
    values = sum(int(numpy.prod([max(1, n) for n in spec.shape[1:]], dtype=numpy.int64)) for spec in host.inputs)
    return int(max(1, min(64, _BATCH_VALUES // max(1, values))))


def predictions(host: HostModel, dataset: Dataset, rows: int) -> Iterator[tuple[tuple[Batch, dict[str, Array]], int]]:
    """Every batch with its outputs (name → float32 [rows, …]), and how many rows went into one call.

    Many rows in one call only if the first batch gives what single calls give: a constant shape inside of the model
    can mix rows up without an error.

    Raises:
        ModelError: the model does not run on a row.
    """
    together: bool | None = None if rows > host.unit else False
    for batch in dataset.batches(max(rows, host.unit)):
        try:
            if together is None:
                found = host.predict(batch.inputs, together=False)
                together = _same_together(host, batch, found)
            else:
                found = host.predict(batch.inputs, together=together)
        except BatchRefused as error:
            place = dataset.place(int(batch.indices[0]))
            raise ModelError(f"{host.path} does not run near {place}: {error}"[:500]) from error
        yield (batch, found), (rows if together else host.unit)


def _same_together(host: HostModel, batch: Batch, single: Mapping[str, Array]) -> bool:
    try:
        found = host.predict(batch.inputs, together=True)
    except BatchRefused:
        return False
    for spec in host.outputs:
        one, many = single[spec.name], found[spec.name]
        if one.shape != many.shape:
            return False
        # float kernels may add up in another order; integer kernels may round one step apart
        allowed = 1.01 * spec.scale if spec.scale is not None else 1e-4 * max(1.0, float(numpy.abs(one).max()))
        if not bool((numpy.abs(one - many) <= allowed).all()):
            return False
    return True


def labelled_output(labels: Array, outputs: Mapping[str, Array]) -> str:
    """Name of the output that the labels belong to: of their shape, else with classes, else the first."""
    names = sorted(outputs)
    same = [name for name in names if outputs[name].shape == labels.shape]
    vectors = [name for name in names if outputs[name].ndim == labels.ndim + 1 and outputs[name].shape[-1] > 1]
    return (same or vectors or names)[0]


class _Tally:
    """Everything that is counted while rows pass."""

    def __init__(self, dataset: Dataset, metric: str, reference_outputs: str | None) -> None:
        self.count = 0
        self._dataset = dataset
        self._name = metric
        self._metric: Metric | None = None
        self._agreement: Agreement | None = None
        self._reference = _load_outputs(reference_outputs, dataset.count) if reference_outputs else None
        self._notes: tuple[str, ...] = ()

    def add(self, batch: Batch, outputs: Mapping[str, Array]) -> Array:
        """Takes a batch and returns its outputs as float32 [rows, all values], by output name."""
        place = self._dataset.place(int(batch.indices[0]))
        rows = len(batch.indices)
        ordered = [outputs[name] for name in sorted(outputs)]
        flat = numpy.concatenate([output.reshape(rows, -1) for output in ordered], axis=1)
        if numpy.isnan(flat).any():
            wrong = int(batch.indices[numpy.flatnonzero(numpy.isnan(flat).any(axis=1))[0]])
            raise ModelError(
                f"the model's outputs are NaN for {self._dataset.place(wrong)}",
                hint="check the preprocessing; if every row gives NaN the conversion lost the weights",
            )
        if batch.labels is not None and self._name != "agreement":
            scored = self._scored(batch.labels, outputs)
            if self._metric is None:
                self._metric = make_metric(self._name, batch.labels, scored)
            self._metric.add(batch.labels, scored, place=place)
        if self._reference is not None:
            if self._agreement is None:
                self._agreement = self._start_agreement(ordered, flat.shape[1])
            self._agreement.add(flat, self._reference[self.count : self.count + rows])
        self.count += rows
        return flat

    def row_values(self) -> Array | None:
        """See :meth:`edgekit.optimize.metrics.Metric.rows`."""
        source = self._metric or self._agreement
        return None if source is None else source.rows()

    def evaluation(self, *, batch: int, seconds: float, ci95: tuple[float, float] | None) -> Evaluation:
        agreement, metric = self._agreement, self._metric
        value = metric.value() if metric is not None else agreement.value if agreement is not None else None
        return Evaluation(
            metric=metric.name if metric is not None else "agreement",
            value=value,
            higher_is_better=metric.higher_is_better if metric is not None else True,
            fraction=metric.fraction if metric is not None else True,
            count=self.count,
            same_class=None if agreement is None else agreement.same_class,
            cosine=None if agreement is None else agreement.cosine,
            max_abs_difference=None if agreement is None else agreement.max_abs_difference,
            ci95=ci95,
            batch=batch,
            seconds=seconds,
            notes=(*self._notes, *(metric.notes if metric is not None else ())),
        )

    def _scored(self, labels: Array, outputs: Mapping[str, Array]) -> Array:
        name = labelled_output(labels, outputs)
        if len(outputs) > 1:
            self._notes = (f"of the outputs {', '.join(sorted(outputs))} the labels score {name!r}",)
        return outputs[name]

    def _start_agreement(self, ordered: list[Array], width: int) -> Agreement:
        assert self._reference is not None
        if self._reference.shape[1] != width:
            raise ModelError(
                f"the reference has {self._reference.shape[1]} output values a row, this model {width}",
                hint="compare models with the same outputs",
            )
        widths = [int(output[0].size) for output in ordered]
        return Agreement(widths, [int(output.shape[-1]) if output.ndim > 1 else 1 for output in ordered])


def _load_outputs(path: str, rows: int) -> Array:
    try:
        found: Array = numpy.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} does not hold outputs: {error}") from error
    if found.ndim != 2 or len(found) != rows:
        raise DataError(f"{path} holds outputs of {len(found)} rows, the dataset has {rows}")
    return found


@contextmanager
def _writing(path: str | None, dataset: Dataset) -> Iterator[Callable[[Array], None]]:
    """A function that takes outputs batch by batch; the .npy appears when all are there."""
    if path is None:
        yield lambda _: None
        return
    table: Array | None = None
    row = 0

    def write(outputs: Array) -> None:
        nonlocal table, row
        if table is None:
            shape = (dataset.count, outputs.shape[1])
            table = numpy.lib.format.open_memmap(temporary, "w+", numpy.float32, shape)
        table[row : row + len(outputs)] = outputs
        row += len(outputs)

    with files.appearing(Path(path)) as temporary:
        yield write
        if isinstance(table, numpy.memmap):
            table.flush()


def _check_file(model: str) -> None:
    path = Path(model)
    if not path.is_file():
        raise ModelError(f"no such file: {model}", hint="check the path")
    with path.open("rb") as stream:
        head = stream.read(8)
    if head[4:8] != b"TFL3":
        raise ModelError(f"{model} is not a .tflite file", hint="make one with `edgekit convert` or `edgekit optimize`")
