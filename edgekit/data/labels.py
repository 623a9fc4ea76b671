"""What kind of labels a dataset has, and classes out of them."""

from __future__ import annotations

import numpy

from edgekit.core.errors import DataError
from edgekit.data.block import Array
from edgekit.data.findings import LabelKind


def label_kind(labels: Array, *, outputs: int | None = None) -> LabelKind:
    """What the labels of a batch are.

    Args:
        labels: [rows] or [rows, …].
        outputs: how many numbers the model puts out per row; whole floats are classes where that is more than one.

    Returns:
        ``classes`` (whole numbers), ``one-hot`` (rows of zeros with a single one) or ``values``.
    """
    if labels.dtype.kind in "biu" and (labels.ndim == 1 or not _one_hot(labels)):
        return "classes"
    if labels.ndim == 2 and labels.shape[1] > 1 and _one_hot(labels):
        return "one-hot"
    whole = bool((labels == numpy.floor(labels)).all())
    if labels.ndim == 1 and outputs is not None and outputs > 1 and whole:
        return "classes"
    return "values"


def class_indices(labels: Array, kind: LabelKind, *, place: str) -> Array:
    """int64 classes from labels of this kind.

    Raises:
        DataError: a label that is none, although the rows before had classes.
    """
    if kind == "one-hot":
        if labels.ndim != 2 or not _one_hot(labels):
            raise DataError(f"the labels at {place} are not one-hot, unlike those before")
        found: Array = labels.argmax(axis=1)
        return found
    whole = labels.astype(numpy.int64)
    if labels.dtype.kind == "f" and not bool((labels == whole).all()):
        raise DataError(f"the labels at {place} are not whole numbers, unlike those before")
    return whole


def _one_hot(labels: Array) -> bool:
    if labels.ndim != 2:
        return False
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())
