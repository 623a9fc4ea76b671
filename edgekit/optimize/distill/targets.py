"""A teacher's outputs for every training row: computed once, kept in a file without a name, checked when rows come."""

from __future__ import annotations

import os
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.core.events import Event, EventSink, ignore, task
from edgekit.data.block import Array
from edgekit.data.dataset import Batch, open_dataset
from edgekit.data.spec import DataSpec
from edgekit.model import load
from edgekit.model.format import detect_format

if TYPE_CHECKING:
    from edgekit.model.load import LoadedModel

_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What the values of one output look like over all rows.

    Attributes:
        distribution: every last axis is a probability distribution: nothing below 0, the sum 1.
        unit: every value lies between 0 and 1.
        variance: of the values.
    """

    distribution: bool
    unit: bool
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftTargets:
    """The teacher's outputs, row by row, in the order of the dataset.

    Attributes:
        teacher: its file name.
        shapes: of each output of the student, in its order, without the batch.
        spreads: likewise.
        table: float32 [rows, all values of all outputs]; its file goes with it.
        checks: CRC-32 of each row's inputs, because a function of the user's may give other rows the next time.
    """

    teacher: str
    shapes: tuple[tuple[int, ...], ...]
    spreads: tuple[Spread, ...]
    table: Array
    checks: Array

    @property
    def cuts(self) -> list[int]:
        """Where each output begins in the table's columns, and where the last one ends."""
        return [0, *numpy.cumsum([_size(shape) for shape in self.shapes]).tolist()]

    def check(self, position: int, inputs: Mapping[str, Array], names: Sequence[str]) -> None:
        """Refuses a row that is not the one that the teacher saw.

        Raises:
            DataError: the dataset gives other rows at every reading.
        """
        if position >= len(self.checks) or _crc(inputs, names) != self.checks[position]:
            raise DataError(
                f"training row {position} is not the one that {self.teacher} gave its output for: the dataset gives "
                "other rows at every reading",
                hint="let the function give the same rows every time (a seeded generator), or fine-tune on labels",
            )


def soft_targets(
    teacher: Path, spec: DataSpec, student: LoadedModel, *, trust: bool = False, on_event: EventSink = ignore
) -> SoftTargets:
    """The teacher's outputs for all rows of a dataset.

    Args:
        teacher: a .tflite of any numeric mode, or a model that Keras loads.
        spec: the rows; labels are not needed.
        student: which outputs are wanted, in which order.
        trust: allow code inside a Keras teacher.
        on_event: hears how far it is.

    Raises:
        ModelError: the teacher cannot be loaded or run, or has other inputs or outputs than the student.
        DataError: rows that cannot be read.
        UsageError: no room for the outputs in the temporary folder.
    """
    student_in, student_out = load.input_specs(student), load.output_specs(student)
    if detect_format(teacher, isolated=False).name == "tflite":
        inputs, outputs, run = _lite(teacher, spec)
    else:
        inputs, outputs, run = _keras(teacher, spec, trust)
    names_in = match(inputs, student_in, teacher=teacher.name, what="input")
    names_out = match(outputs, student_out, teacher=teacher.name, what="output")
    table: Array | None = None
    checks: list[Array] = []
    shapes: list[tuple[int, ...]] = []
    scales = {spec.name: spec.scale or 0.0 for spec in outputs}
    scouts = [_Scout(scales[name]) for name in names_out]
    row = 0
    with task(f"outputs of {teacher.name}", on_event):
        for total, batch, found in run:
            values = [found[name] for name in names_out]
            count = len(batch.indices)
            if table is None:
                shapes = [tuple(value.shape[1:]) for value in values]
                table = _unnamed_file(total, sum(_size(shape) for shape in shapes))
            flat = numpy.concatenate([value.reshape(count, -1) for value in values], axis=1)
            if not numpy.isfinite(flat).all():
                raise ModelError(
                    f"{teacher.name} gives NaN or infinity for a training row",
                    hint="check the preprocessing: --scale, --mean, --std",
                )
            table[row : row + count] = flat
            checks.append(_crcs(batch.inputs, names_in, count))
            for scout, value in zip(scouts, values):
                scout.add(value)
            row += count
            on_event(
                Event(state="progress", task=f"outputs of {teacher.name}", message=f"{row} rows", fraction=row / total)
            )
    if table is None:
        raise DataError("the training dataset has no rows", hint="name a dataset with --data")
    return SoftTargets(
        teacher=teacher.name,
        shapes=tuple(shapes),
        spreads=tuple(scout.spread() for scout in scouts),
        table=table,
        checks=numpy.concatenate(checks),
    )


_Run = Iterator[tuple[int, Batch, Mapping[str, Array]]]


def _lite(teacher: Path, spec: DataSpec) -> tuple[Sequence[TensorSpec], Sequence[TensorSpec], _Run]:
    from edgekit.optimize.interpreter import HostModel
    from edgekit.optimize.scoring import predictions, preferred_batch

    host = HostModel(str(teacher), num_threads=min(4, os.cpu_count() or 1))
    dataset = open_dataset(spec, inputs=host.inputs)

    def run() -> _Run:
        for (batch, found), _ in predictions(host, dataset, preferred_batch(host)):
            yield dataset.count, batch, found

    return host.inputs, host.outputs, run()


def _keras(teacher: Path, spec: DataSpec, trust: bool) -> tuple[Sequence[TensorSpec], Sequence[TensorSpec], _Run]:
    loaded = load.load_model(teacher, trust=trust)
    dataset = open_dataset(spec, inputs=load.input_specs(loaded))

    def run() -> _Run:
        for batch in dataset.batches(_BATCH):
            yield dataset.count, batch, load.forward(loaded, batch.inputs)

    return load.input_specs(loaded), load.output_specs(loaded), run()


def match(theirs: Sequence[TensorSpec], ours: Sequence[TensorSpec], *, teacher: str, what: str) -> list[str]:
    """The teacher's names of our tensors, in our order: by name, else by shape where every shape is another.

    Raises:
        ModelError: another number of tensors, another shape, or several of one shape under other names.
    """
    if len(theirs) != len(ours):
        raise ModelError(
            f"{teacher} has {len(theirs)} {what}s, the student {len(ours)}",
            hint=f"teacher and student need the same {what}s",
        )
    by_name = {_plain(spec.name): spec for spec in theirs}
    pairs = [(spec, by_name.get(_plain(spec.name))) for spec in ours]
    if any(found is None for _, found in pairs):
        if len({spec.shape[1:] for spec in theirs}) != len(theirs):
            raise ModelError(
                f"the {what}s of {teacher} ({', '.join(spec.name for spec in theirs)}) and of the student "
                f"({', '.join(spec.name for spec in ours)}) have other names and the same shapes",
                hint=f"give the {what} layers of the student the teacher's names",
            )
        pairs = [(spec, next((other for other in theirs if _alike(spec, other)), None)) for spec in ours]
    for spec, found in pairs:
        if found is None or not _alike(spec, found):
            shapes = " and ".join(str(other.shape[1:]) for other in ([found] if found else theirs))
            raise ModelError(
                f"the student's {what} {spec.name!r} has the shape {spec.shape[1:]}, {teacher} has {shapes}",
                hint=f"teacher and student need the same {what}s",
            )
    return [found.name for _, found in pairs if found is not None]


def _alike(one: TensorSpec, other: TensorSpec) -> bool:
    left, right = one.shape[1:], other.shape[1:]
    return len(left) == len(right) and all(a == b or a < 0 or b < 0 for a, b in zip(left, right))


def _plain(name: str) -> str:
    """Names as an export writes them."""
    return re.sub(r"[^A-Za-z0-9_./-]", "_", name)


class _Scout:
    """Looks at the values of one output while they pass; ``scale``: the step between two of them, 0 for floats."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._distribution = self._unit = True
        self._count = 0
        self._sum = self._squares = 0.0

    def add(self, values: Array) -> None:
        """Takes a batch [rows, …]."""
        wide = values.astype(numpy.float64)
        low, high = float(wide.min()), float(wide.max())
        self._unit = self._unit and low >= 0 and high <= 1
        sums = wide.sum(axis=-1)
        # rounding: an int8 softmax has 256 steps, so its sum is near to 1 only
        allowed = 2e-3 + min(0.5, 0.5 * self._scale * (values.shape[-1] if values.ndim > 1 else 1))
        self._distribution = (
            self._distribution
            and self._unit
            and values.ndim > 1
            and values.shape[-1] > 1
            and bool((numpy.abs(sums - 1) < allowed).all())
        )
        self._count += wide.size
        self._sum += float(wide.sum())
        self._squares += float((wide**2).sum())

    def spread(self) -> Spread:
        """What was seen."""
        mean = self._sum / max(1, self._count)
        variance = max(0.0, self._squares / max(1, self._count) - mean**2)
        return Spread(distribution=self._distribution, unit=self._unit, variance=variance)


def _crcs(inputs: Mapping[str, Array], names: Sequence[str], count: int) -> Array:
    return numpy.array(
        [_crc({name: inputs[name][index] for name in names}, names) for index in range(count)], numpy.uint32
    )


def _crc(inputs: Mapping[str, Array], names: Sequence[str]) -> int:
    found = 0
    for name in names:  # as float32, because a quantized teacher's rows have another dtype
        found = zlib.crc32(numpy.ascontiguousarray(inputs[name], numpy.float32).tobytes(), found)
    return found


def _size(shape: Sequence[int]) -> int:
    return int(numpy.prod(shape, dtype=numpy.int64))


def _unnamed_file(rows: int, width: int) -> Array:
    """A table on disk that is gone when nobody holds it any more, even after a crash."""
    size = max(1, rows * width) * 4
    try:
        with tempfile.TemporaryFile(prefix="edgekit-") as stream:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, size)  # a full disk shall be an error here, not a crash later
            stream.truncate(size)
            table: Any = numpy.memmap(stream, numpy.float32, "r+", 0, (rows, width))
    except OSError as error:
        raise UsageError(
            f"no room for {size >> 20} MB of a teacher's outputs in {tempfile.gettempdir()}: {error.strerror or error}",
            hint="free some space, or name another folder with TMPDIR",
        ) from error
    found: Array = table
    return found
