"""How close a student is to its teacher on rows that it was not shown."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy

from edgekit.data.dataset import open_dataset
from edgekit.data.spec import DataSpec
from edgekit.model import load
from edgekit.model.load import LoadedModel
from edgekit.optimize.agreement import Agreement
from edgekit.optimize.distill.loss import choose_distillation
from edgekit.optimize.distill.targets import soft_targets

_ENOUGH = 400  # rows; of fewer, none can be spared
_PART, _MOST = 20, 500
_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Closeness:
    """How close the outputs are.

    Attributes:
        value: fraction of rows with the teacher's class, or the cosine of all outputs.
        classes: which of the two.
        rows: that were compared.
    """

    value: float
    classes: bool
    rows: int


def hold_out(spec: DataSpec, student: LoadedModel) -> tuple[DataSpec, DataSpec | None]:
    """The rows to train with, and every twentieth one (500 at most) kept back; None where there are few.

    Raises:
        DataError: rows that cannot be counted.
    """
    total = open_dataset(spec, inputs=load.input_specs(student)).count
    if total < _ENOUGH:
        return spec, None
    positions = numpy.arange(total) if spec.rows is None else numpy.unique(numpy.asarray(spec.rows))
    step = max(_PART, -(-total // _MOST))
    kept = numpy.arange(step - 1, total, step)
    train = numpy.delete(positions, kept)
    return (
        dataclasses.replace(spec, rows=tuple(int(row) for row in train)),
        dataclasses.replace(spec, rows=tuple(int(row) for row in positions[kept])),
    )


def closeness(rows: DataSpec, student: LoadedModel, teacher: Path, *, trust: bool) -> Closeness:
    """Compares the outputs of both on some rows.

    Raises:
        ModelError: one of the models does not run on them.
    """
    targets = soft_targets(teacher, rows, student, trust=trust)
    names = load.output_names(student)
    tally: Agreement | None = None
    classes = False
    row = 0
    for batch in open_dataset(rows, inputs=load.input_specs(student)).batches(_BATCH):
        found = load.forward(student, batch.inputs)
        count = len(batch.indices)
        if tally is None:
            heads = choose_distillation(
                student,
                targets,
                [found[name] for name in names],
                wanted=None,
                labels=None,
                label_shape=(),
                temperature=1.0,
                alpha=1.0,
            ).heads
            classes = any(head.kind == "softmax" for head in heads)
            widths = [head.size for head in heads]
            tally = Agreement(widths, [head.shape[-1] if head.kind == "softmax" else 1 for head in heads])
        flat = numpy.concatenate([found[name].reshape(count, -1) for name in names], axis=1)
        tally.add(flat, targets.table[row : row + count])
        row += count
    assert tally is not None  # soft_targets has refused an empty dataset
    return Closeness(value=tally.value, classes=classes, rows=row)
