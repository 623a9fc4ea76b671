"""Checks a dataset before it is used: hard faults are errors, suspicious things are notices."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError
from edgekit.data.block import Array, Block
from edgekit.data.dataset import Dataset
from edgekit.data.findings import DataReport, FirstLayers, LabelKind, Role, ValueRange
from edgekit.data.fit import plain, takes_integers
from edgekit.data.labels import class_indices, label_kind
from edgekit.data.suspect import suspicions

_COMPARED_ROWS = 200_000


def check_dataset(
    dataset: Dataset,
    inputs: Sequence[TensorSpec],
    *,
    role: Role,
    reference_range: tuple[float, float] | None = None,
    num_classes: int | None = None,
    first_layers: FirstLayers | None = None,
    max_rows: int | None = None,
) -> DataReport:
    """Reads the dataset once, in pieces, and judges it.

    Args:
        dataset: opened with the model's inputs.
        inputs: the model's inputs.
        role: what the rows are for.
        reference_range: (minimum, maximum) of the rows that it should resemble: those of the evaluation.
        num_classes: how many numbers the model puts out per row.
        first_layers: what is known of the model's beginning.
        max_rows: stop after so many rows (decoding 50,000 photographs takes minutes).

    Raises:
        DataError: shape, dtype, missing input, NaN or infinity, labels that the model cannot have; with the row.
    """
    scan = _Scan(dataset, inputs, num_classes)
    for batch in dataset.batches(256):
        scan.add(batch)
        if max_rows is not None and scan.count >= max_rows:
            break
    if not scan.count:
        raise DataError(f"{dataset.spec.source} holds no rows", hint="give at least one sample")
    report = scan.report(role)
    notices = (
        *dataset.notices,
        *suspicions(
            report,
            dataset,
            inputs,
            reference_range=reference_range,
            num_classes=num_classes,
            rescales=None if first_layers is None else first_layers.has_rescaling,
            normalizes=first_layers is not None and first_layers.has_normalization,
        ),
    )
    return dataclasses.replace(report, notices=notices)


class _Scan:
    """The running figures of one pass."""

    def __init__(self, dataset: Dataset, inputs: Sequence[TensorSpec], num_classes: int | None) -> None:
        self.count = 0
        self._dataset = dataset
        self._inputs = inputs
        self._outputs = num_classes
        self._hashes: set[bytes] = set()
        self._same = 0
        self._ranges: dict[str, tuple[float, float]] = {}
        self._outside: dict[str, list[int]] = {}
        self._kind: LabelKind | None = None
        self._classes: dict[int, int] = {}

    def add(self, batch: Block) -> None:
        for spec in self._inputs:
            array = batch.inputs[spec.name]
            self._check_finite(array, spec, batch)
            if not takes_integers(spec):
                low, high = self._ranges.get(spec.name, (numpy.inf, -numpy.inf))
                self._ranges[spec.name] = (min(low, float(array.min())), max(high, float(array.max())))
                self._count_outside(array, spec)
        self._hash(batch)
        if batch.labels is not None:
            self._label(batch.labels, batch)
        self.count += len(batch.indices)

    def report(self, role: Role) -> DataReport:
        ranges = {name: ValueRange(minimum=low, maximum=high) for name, (low, high) in self._ranges.items()}
        return DataReport(
            role=role,
            count=self.count,
            distinct=len(self._hashes),
            minimum=min((item.minimum for item in ranges.values()), default=0.0),
            maximum=max((item.maximum for item in ranges.values()), default=0.0),
            ranges=ranges,
            saturated={name: outside / total for name, (outside, total) in self._outside.items() if total},
            label_kind=self._kind,
            classes={str(name): self._classes[name] for name in sorted(self._classes)},
        )

    def _check_finite(self, array: Array, spec: TensorSpec, batch: Block) -> None:
        if array.dtype.kind != "f" or numpy.isfinite(array).all():
            return
        bad = ~numpy.isfinite(array).reshape(len(array), -1).all(axis=1)
        row = int(batch.indices[numpy.flatnonzero(bad)[0]])
        values = array[bad]
        what = "NaN" if numpy.isnan(values).any() else "infinite values"
        raise DataError(
            f"{self._dataset.place(row)}: {what} in {plain(spec.name)!r} ({int(bad.sum())} of {len(array)} rows here)",
            hint="remove or repair these rows: x = x[numpy.isfinite(x).reshape(len(x), -1).all(axis=1)]",
        )

    def _count_outside(self, array: Array, spec: TensorSpec) -> None:
        limits = quantized_range(spec)
        if limits is None:
            return
        half = (spec.scale or 0.0) / 2
        outside = int(((array < limits[0] - half) | (array > limits[1] + half)).sum())
        counts = self._outside.setdefault(spec.name, [0, 0])
        counts[0] += outside
        counts[1] += array.size

    def _hash(self, batch: Block) -> None:
        if self.count >= _COMPARED_ROWS:
            return
        for row in range(len(batch.indices)):
            digest = hashlib.blake2b(digest_size=16)
            for name in sorted(batch.inputs):
                digest.update(numpy.ascontiguousarray(batch.inputs[name][row]).data)
            self._hashes.add(digest.digest())

    def _label(self, labels: Array, batch: Block) -> None:
        first = self._dataset.place(int(batch.indices[0]))
        if labels.dtype.kind == "f" and not numpy.isfinite(labels).all():
            bad = ~numpy.isfinite(labels).reshape(len(labels), -1).all(axis=1)
            row = int(batch.indices[numpy.flatnonzero(bad)[0]])
            raise DataError(f"{self._dataset.place(row)}: the label is NaN or infinite", hint="remove this row")
        if self._kind is None:
            self._kind = label_kind(labels, outputs=self._outputs)
        if self._kind == "values":
            return
        classes = class_indices(labels, self._kind, place=first)
        if classes.ndim == 1:
            self._check_classes(classes, batch)
        for name, count in zip(*numpy.unique(classes, return_counts=True)):
            self._classes[int(name)] = self._classes.get(int(name), 0) + int(count)

    def _check_classes(self, classes: Array, batch: Block) -> None:
        if self._outputs is None or self._outputs < 2:
            return
        wrong = numpy.flatnonzero((classes < 0) | (classes >= self._outputs))
        if not len(wrong):
            return
        label = int(classes[wrong[0]])
        raise DataError(
            f"{self._dataset.place(int(batch.indices[wrong[0]]))}: the label is {label}, the model has the classes "
            f"0 to {self._outputs - 1}",
            hint="classes count from 0: subtract 1 from the labels" if label == self._outputs else "check the labels",
        )


def quantized_range(spec: TensorSpec) -> tuple[float, float] | None:
    """The real values that a quantized input can represent, lowest and highest; None where it is not quantized."""
    if spec.scale is None or not spec.dtype.startswith(("int", "uint")):
        return None
    limits = numpy.iinfo(numpy.dtype(spec.dtype))
    zero_point = spec.zero_point or 0
    return (int(limits.min) - zero_point) * spec.scale, (int(limits.max) - zero_point) * spec.scale
