"""Datasets: rows that a model can take, streamed from wherever the user has them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy

from edgekit.core.artifact import TensorSpec
from edgekit.core.decode import to_json
from edgekit.core.errors import DataError
from edgekit.core.hashing import sha256_json
from edgekit.core.notice import Notice
from edgekit.data import fit
from edgekit.data.block import Array, Block, Source
from edgekit.data.function import apply, import_function, module_sha256
from edgekit.data.sources import open_source
from edgekit.data.spec import DataSpec

Batch: TypeAlias = Block
"""Several rows: ``inputs`` and ``labels`` as in :class:`Row` with a leading axis; ``indices`` int64 [rows]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sample, ready for the model.

    Attributes:
        inputs: input name → array without the batch axis, preprocessed. The name is the model's where the model is
            known, else the source's (``""`` where the source does not name its only input).
        label: class index, value or array; None where the source has none.
        index: position in the source.
    """

    inputs: dict[str, Array]
    label: Array | int | float | None
    index: int


class Dataset:
    """Rows of a source. Nothing is read until it is iterated; every iteration starts over.

    Attributes:
        spec: what it was opened with.
        inputs: the model's inputs, where they were given.
        notices: what the user should know about how the source was read.
    """

    def __init__(self, spec: DataSpec, source: Source, inputs: Sequence[TensorSpec] | None) -> None:
        self.spec = spec
        self.inputs = None if inputs is None else tuple(inputs)
        self._source = source
        self._names = (
            {name: name for name in source.input_names}
            if inputs is None
            else fit.match_names(source.input_names, inputs, source=spec.source)
        )
        self._specs = {item.name: item for item in inputs or ()}
        self._function = None
        if spec.preprocessing.function is not None:
            self._function = import_function(spec.preprocessing.function)
        self._check_preprocessing()

    @cached_property
    def count(self) -> int:
        """Chosen rows. Runs through a function of the user's once."""
        return self._source.count() if self._rows is None else len(self._rows)

    @property
    def known_count(self) -> int | None:
        """:attr:`count` where it is known without running a function of the user's once more."""
        return self.count if self._rows is not None or self._source.counted else None

    @property
    def has_labels(self) -> bool:
        """Whether rows have labels."""
        return self._source.has_labels

    @property
    def input_names(self) -> tuple[str, ...]:
        """The keys of :attr:`Row.inputs`."""
        return tuple(self._names)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of classes 0, 1, …, where the source knows them."""
        return self._source.class_names

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the user should know about how the source was read."""
        return self._source.notices

    def rows(self) -> Iterator[Row]:
        """The rows one by one, in the source's order.

        Raises:
            DataError: a row that cannot be read or does not fit the model, with its place.
        """
        for block in self._ready():
            for position, index in enumerate(block.indices):
                yield Row(
                    inputs={name: array[position] for name, array in block.inputs.items()},
                    label=_label(block.labels, position),
                    index=int(index),
                )

    def batches(self, size: int) -> Iterator[Batch]:
        """The rows in batches of ``size`` (the last may be smaller), in the source's order.

        Raises:
            DataError: see :meth:`rows`.
        """
        waiting: list[Block] = []
        held = 0
        for block in self._ready():
            waiting.append(block)
            held += len(block.indices)
            if held >= size:
                joined = _joined(waiting)
                for start in range(0, held - held % size, size):
                    yield _cut(joined, start, start + size)
                rest = held % size
                waiting = [_cut(joined, held - rest, held)] if rest else []
                held = rest
        if held:
            joined = _joined(waiting)
            yield _cut(joined, 0, held)

    def fingerprint(self) -> str:
        """Hex SHA-256 of everything that the rows depend on: content, part, choice of rows, preprocessing."""
        spec = to_json(dataclasses.replace(self.spec, source=self._source.content_sha256()))
        if self._function is not None:
            spec["function_code"] = module_sha256(self._function)
        if self._rows is not None:
            spec["rows"] = hashlib.sha256(self._rows.astype("<i8").tobytes()).hexdigest()
        return sha256_json(spec)

    def row_hashes(self) -> Iterator[bytes]:
        """16 bytes per row of what the source holds (before preprocessing): equal rows have equal hashes."""
        return self._source.row_hashes(self._rows)

    def place(self, index: int) -> str:
        """Where the row with this :attr:`Row.index` is, for people."""
        return self._source.place(index)

    @cached_property
    def _rows(self) -> Array | None:
        if self.spec.rows is None:
            return None
        rows = numpy.unique(numpy.asarray(self.spec.rows, numpy.int64))
        if not len(rows):
            raise DataError(f"{self.spec.source}: no rows are chosen")
        total = self._source.count() if self._source.counted else rows[-1] + 1  # else it is seen when they are read
        if rows[0] < 0 or rows[-1] >= total:
            wrong = int(rows[0] if rows[0] < 0 else rows[-1])
            raise DataError(f"{self.spec.source} has {total} rows, there is no row {wrong}")
        return rows

    def _ready(self) -> Iterator[Block]:
        for block in self._source.blocks(self._rows):
            place = self._source.place(int(block.indices[0]))
            inputs = self._applied(block.inputs, place)
            yield Block(
                inputs={name: self._fitted(name, inputs[found], place) for name, found in self._names.items()},
                labels=None if block.labels is None else _labels(block.labels, place),
                indices=block.indices,
            )

    def _fitted(self, name: str, array: Array, place: str) -> Array:
        fit.check_numbers(array, place=place)
        spec = self._specs.get(name)
        if spec is not None:
            array = fit.fit_shape(array, spec, place=place)
            if fit.takes_integers(spec):
                return fit.to_integers(array, spec, place=place)
        return fit.to_real(array, self.spec.preprocessing, channels_axis=fit.channels_axis(spec))

    def _applied(self, inputs: dict[str, Array], place: str) -> dict[str, Array]:
        if self._function is None:
            return inputs
        return apply(self._function, inputs, name=str(self.spec.preprocessing.function), place=place)

    def _check_preprocessing(self) -> None:
        if self.inputs and self.spec.preprocessing.arithmetic and all(map(fit.takes_integers, self.inputs)):
            kinds = ", ".join(sorted({spec.dtype for spec in self.inputs}))
            raise DataError(
                f"--scale, --mean and --std make fractions, but the model takes whole numbers ({kinds})",
                hint="leave them out: the model does its own preprocessing",
            )


def open_dataset(spec: DataSpec, *, inputs: Sequence[TensorSpec] | None = None) -> Dataset:
    """Opens a dataset: reads headers and lists files, no rows.

    Args:
        spec: where it is and what is done to it.
        inputs: the model's inputs: arrays are matched to them by name, images decoded to their size and channels,
            values cast to their dtypes. Quantized inputs (with a scale) take real values here.

    Raises:
        DataError: missing, empty, damaged, of an unknown kind, or without an input that the model needs.
    """
    return Dataset(spec, open_source(spec, inputs), inputs)


def _labels(labels: Array, place: str) -> Array:
    hint = "store class numbers: names, y = numpy.unique(labels, return_inverse=True)"
    fit.check_numbers(labels, place=f"the label at {place}", hint=hint)
    return labels.reshape(len(labels)) if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _label(labels: Array | None, position: int) -> Array | int | float | None:
    if labels is None:
        return None
    if labels.ndim > 1:
        array: Array = labels[position]
        return array
    return int(labels[position]) if labels.dtype.kind in "biu" else float(labels[position])


def _joined(blocks: Sequence[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    first = blocks[0]
    return Block(
        inputs={name: numpy.concatenate([block.inputs[name] for block in blocks]) for name in first.inputs},
        labels=None if first.labels is None else numpy.concatenate([b.labels for b in blocks if b.labels is not None]),
        indices=numpy.concatenate([block.indices for block in blocks]),
    )


def _cut(block: Block, start: int, stop: int) -> Block:
    return Block(
        inputs={name: array[start:stop] for name, array in block.inputs.items()},
        labels=None if block.labels is None else block.labels[start:stop],
        indices=block.indices[start:stop],
    )
