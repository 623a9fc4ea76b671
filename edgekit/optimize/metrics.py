"""What a score is: metrics over labels and outputs, batch by batch, and how much of one is lost."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Protocol

import numpy

from edgekit.core.errors import DataError, UsageError
from edgekit.data.block import Array
from edgekit.data.findings import LabelKind
from edgekit.data.function import import_function
from edgekit.data.labels import class_indices, label_kind

_TOP = re.compile(r"top-([1-9]\d*)")


class Metric(Protocol):
    """A running score.

    Attributes:
        name: as it is shown.
        higher_is_better: the direction.
        fraction: 0..1, so that a loss counts in percentage points.
    """

    name: str
    higher_is_better: bool
    fraction: bool

    def add(self, labels: Array, outputs: Array, *, place: str) -> None:
        """Takes a batch: labels [rows, …], outputs float32 [rows, …]."""

    def value(self) -> float:
        """The score of all batches."""

    def rows(self) -> Array | None:
        """One value per row, whose mean is the score: float32 [rows]; None where a score is not a mean."""

    @property
    def notes(self) -> tuple[str, ...]:
        """How the labels and outputs were understood."""


def make_metric(name: str, labels: Array, outputs: Array) -> Metric:
    """The metric of this name, or the one that fits the first batch (``auto``).

    ``auto``: classes and several outputs: top-1; classes 0 and 1 and one output: top-1 at its threshold; other
    labels: mse.

    Raises:
        UsageError, DataError: the metric does not fit the labels or the outputs.
    """
    units = int(outputs.shape[-1]) if outputs.ndim > 1 else 1
    kind = label_kind(labels, outputs=units)
    if name == "auto":
        binary = units == 1 and kind == "classes" and set(numpy.unique(labels)) <= {0, 1}
        name = "top-1" if kind != "values" and (units > 1 or binary) else "mse"
    top = _TOP.fullmatch(name)
    if top:
        return _top(int(top[1]), kind, units)
    if name in ("mse", "mae"):
        return _Error(name)
    if name == "auc":
        if kind == "values" and units > 1:
            raise DataError("auc needs classes as labels, these are values")
        return _Auc(kind, units)
    return _Custom(name)


def _top(k: int, kind: LabelKind, units: int) -> Metric:
    if kind == "values":
        raise DataError(f"top-{k} needs classes as labels, these are values", hint="use --metric mse")
    if units == 1:
        if k > 1:
            raise UsageError(f"top-{k} of a model with one output", hint="use --metric top-1 or auc")
        return _Threshold(kind)
    if k >= units:
        raise UsageError(f"top-{k} of {units} classes is always right", hint="use --metric top-1")
    return _TopK(k, kind)


class _TopK:
    """Fraction of rows whose class is among the k largest outputs; among equal ones the first counts as larger."""

    higher_is_better, fraction = True, True

    def __init__(self, k: int, kind: LabelKind) -> None:
        self.name = f"top-{k}"
        self._k, self._kind = k, kind
        self._rows: list[Array] = []

    @property
    def notes(self) -> tuple[str, ...]:
        return ("labels are one-hot: the position of the 1 is the class",) if self._kind == "one-hot" else ()

    def add(self, labels: Array, outputs: Array, *, place: str) -> None:
        classes = class_indices(labels, self._kind, place=place).reshape(-1)
        scores = outputs.reshape(-1, outputs.shape[-1])
        if len(classes) != len(scores):
            raise DataError(
                f"{place}: {len(classes)} labels for {len(scores)} predictions (labels {labels.shape}, "
                f"outputs {outputs.shape})"
            )
        if classes.min() < 0 or classes.max() >= scores.shape[1]:
            wrong = int(classes.min() if classes.min() < 0 else classes.max())
            raise DataError(f"label {wrong} near {place}: the model has the classes 0 to {scores.shape[1] - 1}")
        if self._k == 1:
            right = scores.argmax(axis=1) == classes
        else:
            own = numpy.take_along_axis(scores, classes[:, None], axis=1)
            earlier = numpy.arange(scores.shape[1])[None] < classes[:, None]
            right = ((scores > own) | ((scores == own) & earlier)).sum(axis=1) < self._k
        self._rows.append(right.reshape(len(labels), -1).mean(axis=1, dtype=numpy.float32))

    def value(self) -> float:
        return float(self.rows().mean(dtype=numpy.float64))

    def rows(self) -> Array:
        return numpy.concatenate(self._rows)


class _Threshold:
    """Top-1 of a model with one output: at 0.5 of a probability, at 0 of a logit."""

    name, higher_is_better, fraction = "top-1", True, True

    def __init__(self, kind: LabelKind) -> None:
        self._kind = kind
        self._rows: dict[float, list[Array]] = {0.5: [], 0.0: []}
        self._probability = True

    @property
    def notes(self) -> tuple[str, ...]:
        where = "0.5" if self._probability else "0: outputs beyond 0..1 are logits"
        return (f"one output: it means class 1 above {where}",)

    def add(self, labels: Array, outputs: Array, *, place: str) -> None:
        classes = class_indices(labels, self._kind, place=place).reshape(-1)
        if not set(numpy.unique(classes)) <= {0, 1}:
            raise DataError(f"label {int(classes.max())} near {place}: a model with one output has the classes 0 and 1")
        scores = outputs.reshape(-1)
        for threshold, rows in self._rows.items():
            right = (scores > threshold) == (classes == 1)
            rows.append(right.reshape(len(labels), -1).mean(axis=1, dtype=numpy.float32))
        self._probability = self._probability and bool(((scores >= -1e-3) & (scores <= 1.001)).all())

    def value(self) -> float:
        return float(self.rows().mean(dtype=numpy.float64))

    def rows(self) -> Array:
        return numpy.concatenate(self._rows[0.5 if self._probability else 0.0])


class _Error:
    """Mean squared or mean absolute error over all values."""

    higher_is_better, fraction = False, False
    notes: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self._sum = 0.0
        self._all = 0
        self._rows: list[Array] = []

    def add(self, labels: Array, outputs: Array, *, place: str) -> None:
        if labels.size != outputs.size:
            raise DataError(
                f"{place}: labels of shape {labels.shape[1:]} for outputs of shape {outputs.shape[1:]}",
                hint=f"{self.name} compares value by value: give one label per output",
            )
        difference = outputs.astype(numpy.float64).reshape(-1) - labels.astype(numpy.float64).reshape(-1)
        lost = difference**2 if self.name == "mse" else numpy.abs(difference)
        self._sum += float(lost.sum())
        self._all += difference.size
        self._rows.append(lost.reshape(len(labels), -1).mean(axis=1).astype(numpy.float32))

    def value(self) -> float:
        return self._sum / self._all

    def rows(self) -> Array:
        return numpy.concatenate(self._rows)


class _Auc:
    """Area under the ROC curve; of several classes the mean of one against the rest."""

    name, higher_is_better, fraction = "auc", True, True

    def __init__(self, kind: LabelKind, units: int) -> None:
        self._kind, self._units = kind, units
        self._labels: list[Array] = []
        self._scores: list[Array] = []
        self._skipped = 0

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"{self._skipped} classes without rows do not count in the auc",) if self._skipped else ()

    def add(self, labels: Array, outputs: Array, *, place: str) -> None:
        kind = "classes" if self._kind == "values" else self._kind
        self._labels.append(class_indices(labels, kind, place=place).reshape(-1))
        self._scores.append(outputs.reshape(len(outputs), -1))

    def value(self) -> float:
        labels, scores = numpy.concatenate(self._labels), numpy.concatenate(self._scores)
        if self._units <= 2:
            positive = labels == 1
            if positive.all() or not positive.any():
                raise DataError("auc needs rows of both classes, all rows are of one")
            return area(positive, scores[:, -1])
        areas = [
            area(labels == number, scores[:, number])
            for number in range(self._units)
            if 0 < int((labels == number).sum()) < len(labels)
        ]
        if not areas:
            raise DataError("auc needs rows of several classes, all rows are of one")
        self._skipped = self._units - len(areas)
        return sum(areas) / len(areas)

    def rows(self) -> None:
        return None


def area(positive: Array, scores: Array) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney U), ties counted half.

    Args:
        positive: bool [rows], some of each.
        scores: float [rows].
    """
    _, where, counts = numpy.unique(scores, return_inverse=True, return_counts=True)
    ends = numpy.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[where]
    ones = int(positive.sum())
    zeros = len(positive) - ones
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


class _Custom:
    """``module:function(y_true, y_pred) -> float`` over all rows; higher is better unless it says otherwise."""

    notes: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self._function: Callable[..., float] = import_function(name)
        self.higher_is_better = bool(getattr(self._function, "higher_is_better", True))
        self.fraction = False
        self._labels: list[Array] = []
        self._outputs: list[Array] = []

    def add(self, labels: Array, outputs: Array, *, place: str) -> None:  # noqa: ARG002 - the same for all metrics
        self._labels.append(labels)
        self._outputs.append(outputs)

    def value(self) -> float:
        try:
            found = float(self._function(numpy.concatenate(self._labels), numpy.concatenate(self._outputs)))
        except Exception as error:  # the user's function may raise anything
            raise UsageError(f"the metric {self.name} failed: {type(error).__name__}: {error}"[:500]) from error
        if not math.isfinite(found):
            raise UsageError(f"the metric {self.name} gave {found}", hint="return a finite number")
        self.fraction = self.higher_is_better and 0 <= found <= 1
        return found

    def rows(self) -> None:
        return None
