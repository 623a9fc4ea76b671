"""How much two models' outputs are alike, batch by batch."""

from __future__ import annotations

import math

import numpy

from edgekit.data.block import Array


class Agreement:
    """Outputs of one model against the reference's for the same rows.

    Args:
        widths: how many values each output has, in the order of the columns.
        classes: per output, the length of its last axis (1: no classes to compare).
    """

    def __init__(self, widths: list[int], classes: list[int]) -> None:
        self._cuts = [0, *numpy.cumsum(widths).tolist()]
        self._classes = classes
        self._same = self._compared = 0
        self._rows: list[Array] = []
        self._dot = self._left = self._right = 0.0
        self._largest = 0.0

    def add(self, outputs: Array, reference: Array) -> None:
        """Takes a batch: float32 [rows, all values], both."""
        same: list[Array] = []
        for start, stop, classes in zip(self._cuts, self._cuts[1:], self._classes):
            if classes > 1:
                ours = outputs[:, start:stop].reshape(-1, classes).argmax(axis=1)
                theirs = reference[:, start:stop].reshape(-1, classes).argmax(axis=1)
                self._same += int((ours == theirs).sum())
                self._compared += len(ours)
                same.append((ours == theirs).reshape(len(outputs), -1))
        if same:
            self._rows.append(numpy.concatenate(same, axis=1).mean(axis=1, dtype=numpy.float32))
        ours, theirs = (numpy.nan_to_num(values.astype(numpy.float64)) for values in (outputs, reference))
        self._dot += float((ours * theirs).sum())
        self._left += float((ours**2).sum())
        self._right += float((theirs**2).sum())
        self._largest = max(self._largest, float(numpy.abs(ours - theirs).max(initial=0.0)))

    @property
    def same_class(self) -> float | None:
        """Fraction of predictions with the same largest output; None where outputs are no classes."""
        return self._same / self._compared if self._compared else None

    def rows(self) -> Array | None:
        """Fraction of each row's predictions with the reference's largest output, float32 [rows]; None without."""
        return numpy.concatenate(self._rows) if self._rows else None

    @property
    def cosine(self) -> float:
        """Cosine of the angle between all outputs of the one and of the other."""
        length = math.sqrt(self._left * self._right)
        if length == 0:
            return 1.0 if self._left == self._right else 0.0
        return min(1.0, max(-1.0, self._dot / length))

    @property
    def max_abs_difference(self) -> float:
        """Largest difference of any output value."""
        return self._largest

    @property
    def value(self) -> float:
        """``same_class`` where there are classes, else ``cosine``."""
        found = self.same_class
        return self.cosine if found is None else found
