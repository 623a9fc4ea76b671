"""Rows that candidates are compared on: held in memory, run through many models, beside the float model's answers."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from edgekit.core.decode import from_json
from edgekit.core.errors import DataError, ModelError
from edgekit.data.block import Array
from edgekit.data.dataset import open_dataset
from edgekit.data.spec import DataSpec
from edgekit.optimize.agreement import Agreement
from edgekit.optimize.elsewhere import evenly
from edgekit.optimize.interpreter import BatchRefused, HostModel
from edgekit.optimize.metrics import make_metric
from edgekit.optimize.score import drop
from edgekit.optimize.scoring import labelled_output, preferred_batch

MOST_ROWS = 1000
_MOST_BYTES = 256 << 20
_FEWEST_FRESH = 50
_THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How a candidate's outputs compare with the float model's.

    Attributes:
        runs: LiteRT takes it and gives numbers; else there are no figures.
        snr_db: signal to noise of the outputs; None where they are equal.
        cosine: of all outputs with the float model's.
        mse: mean squared difference of the outputs.
        score: by the metric.
        drop: lost against float, in percentage points (percent for metrics that are no fraction).
    """

    runs: bool = True
    snr_db: float | None = None
    cosine: float | None = None
    mse: float | None = None
    score: float | None = None
    drop: float | None = None

    @property
    def noise(self) -> float:
        """Noise to signal at the output, as a ratio of powers."""
        if not self.runs:
            return math.inf
        return 0.0 if self.snr_db is None else 10 ** (-self.snr_db / 10)

    def within(self, max_drop: float) -> bool:
        """Whether no more than this is lost."""
        return self.drop is not None and self.drop <= max_drop


_BROKEN = Figures(runs=False)
_SILENCE_DB = -200.0  # noise where the float model gives zeros


class SearchRows:
    """Rows in memory, with the float model's outputs for them.

    Args:
        data: a DataSpec as JSON values.
        float_content: of the float .tflite.
        metric: see :func:`edgekit.optimize.score.score_tflite`; ``auto`` is agreement with float where there are no
            labels.
        apart_from: the calibration rows; where enough others are left, they are not used.

    Attributes:
        count: rows.
        metric: its name.
        reference: the float model's score on them.
        unit: of a drop: ``pp`` (percentage points), or ``%`` of the float model's score.
        mixed: calibration rows are among them.

    Raises:
        DataError: rows that do not fit the model.
        ModelError: the float model does not run.
    """

    def __init__(
        self, data: Mapping[str, Any], float_content: bytes, *, metric: str, apart_from: Mapping[str, Any] | None
    ) -> None:
        with _opened(float_content) as host:
            spec, self.mixed = _chosen(data, host, apart_from)
            dataset = open_dataset(spec, inputs=host.inputs)
            batches = list(dataset.batches(preferred_batch(host)))
            if not batches:
                raise DataError(f"{spec.source} has no rows to search with", hint="give rows with --data")
            names = [item.name for item in host.inputs]
            self._inputs = {name: numpy.concatenate([batch.inputs[name] for batch in batches]) for name in names}
            labels = [batch.labels for batch in batches if batch.labels is not None]
            self._labels = numpy.concatenate(labels) if labels and metric != "agreement" else None
            self.count = len(self._inputs[names[0]])
            self._step = preferred_batch(host)
            self._together = self._step > host.unit and _alike(host, self._cut(0, self._step))
            self._wanted = self._outputs(host, self.count)
        self._metric = metric
        self.metric, self.reference, self._fraction, self._higher = "agreement", 1.0, True, True
        if self._labels is not None:
            found = self._measured(self._wanted, self.count)
            self.metric, self.reference = found.name, found.value()
            self._fraction, self._higher = found.fraction, found.higher_is_better
        self.unit = "pp" if self._fraction else "%"

    def figures(self, content: bytes, count: int | None = None) -> Figures:
        """A candidate on the first ``count`` rows; one that does not run gets the worst figures that there are."""
        rows = self.count if count is None else min(count, self.count)
        try:
            with _opened(content) as host:
                outputs = self._outputs(host, rows)
        except ModelError:
            return _BROKEN
        if any(not numpy.isfinite(values).all() for values in outputs.values()):
            return _BROKEN
        snr, mse = _noise(outputs, {name: values[:rows] for name, values in self._wanted.items()})
        agreement = self._agreement(outputs, rows)
        score = agreement.value if self._labels is None else self._measured(outputs, rows).value()
        reference = 1.0
        if self._labels is not None:
            reference = self.reference if rows == self.count else self._measured(self._wanted, rows).value()
        lost = drop(reference, score, fraction=self._fraction, higher_is_better=self._higher)
        return Figures(snr_db=snr, cosine=agreement.cosine, mse=mse, score=score, drop=lost)

    def _outputs(self, host: HostModel, rows: int) -> dict[str, Array]:
        parts: dict[str, list[Array]] = {}
        step = self._step if self._together else max(host.unit, 1)
        for start in range(0, rows, step):
            try:
                found = host.predict(self._cut(start, min(start + step, rows)), together=self._together)
            except BatchRefused as error:
                raise ModelError(f"a candidate does not run: {error}"[:300]) from error
            for name, values in found.items():
                parts.setdefault(name, []).append(values)
        return {name: numpy.concatenate(values) for name, values in parts.items()}

    def _cut(self, start: int, stop: int) -> dict[str, Array]:
        return {name: values[start:stop] for name, values in self._inputs.items()}

    def _measured(self, outputs: Mapping[str, Array], rows: int) -> Any:
        assert self._labels is not None
        labels, cut = self._labels[:rows], {name: values[:rows] for name, values in outputs.items()}
        scored = cut[labelled_output(labels, cut)]
        found = make_metric(self._metric, labels, scored)
        found.add(labels, scored, place="the search rows")
        return found

    def _agreement(self, outputs: Mapping[str, Array], rows: int) -> Agreement:
        ordered = [outputs[name] for name in sorted(outputs)]
        wanted = [self._wanted[name][:rows] for name in sorted(outputs)]
        widths = [int(values[0].size) for values in ordered]
        found = Agreement(widths, [int(values.shape[-1]) if values.ndim > 1 else 1 for values in ordered])
        found.add(*(numpy.concatenate([v.reshape(rows, -1) for v in side], axis=1) for side in (ordered, wanted)))
        return found


class _opened:  # noqa: N801 - reads as the function that it is
    """A .tflite of which only the bytes are there, in the interpreter."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._folder = tempfile.TemporaryDirectory(prefix="edgekit-")

    def __enter__(self) -> HostModel:
        path = Path(self._folder.name) / "candidate.tflite"
        path.write_bytes(self._content)
        try:
            return HostModel(str(path), num_threads=_THREADS)
        except BaseException:
            self._folder.cleanup()
            raise

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def _chosen(data: Mapping[str, Any], host: HostModel, apart_from: Mapping[str, Any] | None) -> tuple[DataSpec, bool]:
    """At most 1000 rows, spread over all of them, and whether calibration rows are among them."""
    spec = from_json(DataSpec, dict(data), source="search rows", error=DataError)
    count = open_dataset(spec, inputs=host.inputs).count
    size = sum(4 * max(1, math.prod(abs(n) for n in item.shape[1:])) for item in host.inputs)
    most = max(1, min(MOST_ROWS, _MOST_BYTES // size))
    mixed = apart_from is None
    if apart_from is not None:
        used = from_json(DataSpec, dict(apart_from), source="representative dataset", error=DataError)
        if (used.source, used.part) == (spec.source, spec.part):
            own = range(count) if spec.rows is None else sorted(set(spec.rows))
            taken = set(range(count)) if used.rows is None else set(used.rows)
            fresh = tuple(row for row in own if row not in taken)
            mixed = len(fresh) < _FEWEST_FRESH and bool(taken & set(own))
            if not mixed:
                spec, count = dataclasses.replace(spec, rows=fresh), len(fresh)
    return dataclasses.replace(spec, rows=tuple(evenly(spec, count, most))), mixed


def _alike(host: HostModel, rows: Mapping[str, Array]) -> bool:
    """Whether many rows in one call give what single calls give."""
    try:
        many, single = host.predict(rows, together=True), host.predict(rows, together=False)
    except BatchRefused:
        return False
    return all(
        single[name].shape == many[name].shape
        and bool((numpy.abs(single[name] - many[name]) <= 1e-4 * max(1.0, float(numpy.abs(single[name]).max()))).all())
        for name in single
    )


def _noise(outputs: Mapping[str, Array], wanted: Mapping[str, Array]) -> tuple[float | None, float]:
    """Signal to noise in dB, the mean over the outputs of noise to signal; and the mean squared difference."""
    ratios, total, size = [], 0.0, 0
    for name, values in wanted.items():
        signal = float((values.astype(numpy.float64) ** 2).sum())
        noise = float(((outputs[name].astype(numpy.float64) - values) ** 2).sum())
        ratios.append(noise / signal if signal else (0.0 if noise == 0 else math.inf))
        total, size = total + noise, size + values.size
    mean = sum(ratios) / len(ratios)
    snr = None if mean == 0 else max(_SILENCE_DB, -10 * math.log10(mean)) if math.isfinite(mean) else _SILENCE_DB
    return snr, total / max(1, size)
