"""Array files as a source: .npy, and .npz in its usual layouts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy

from edgekit.core.errors import DataError
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.data.arrays import ArrayFile, open_npy, open_npz
from edgekit.data.block import Array, Block, hash_rows, partitions, rows_per_block

LABEL_NAMES = ("y", "label", "labels", "target", "targets", "class", "classes")
PARTS = ("train", "test", "val")
_ONLY = "x"


class ArraySource:
    """Arrays of equal length: the inputs and, where there are any, the labels."""

    counted = True

    def __init__(
        self,
        path: Path,
        inputs: dict[str, ArrayFile],
        labels: ArrayFile | None,
        *,
        class_names: tuple[str, ...] | None = None,
        notices: tuple[Notice, ...] = (),
    ) -> None:
        self.path = path
        self.input_names = tuple(inputs)
        self.has_labels = labels is not None
        self.class_names = class_names
        self.notices = notices
        self._inputs = inputs
        self._labels = labels
        for array in (*inputs.values(), *([] if labels is None else [labels])):
            array.refuse_objects()
        self._check_lengths()

    def count(self) -> int:
        """All rows."""
        return next(iter(self._inputs.values())).rows

    def blocks(self, rows: Array | None) -> Iterator[Block]:
        """See :class:`~edgekit.data.block.Source`."""
        size = rows_per_block(sum(array.row_bytes for array in self._inputs.values()))
        streams = [array.blocks(size, rows) for array in self._inputs.values()]
        labels = self._labels.blocks(size, rows) if self._labels is not None else None
        for start, stop, chosen in partitions(self.count(), size, rows):
            arrays = [next(stream) for stream in streams]
            label = None if labels is None else next(labels)
            if chosen is not None and not len(chosen):
                continue
            indices = numpy.arange(start, stop) if chosen is None else chosen + start
            yield Block(inputs=dict(zip(self._inputs, arrays)), labels=label, indices=indices)

    def content_sha256(self) -> str:
        """Hash of the file."""
        return sha256_file(self.path)

    def row_hashes(self, rows: Array | None) -> Iterator[bytes]:
        """See :class:`~edgekit.data.block.Source`."""
        return hash_rows(self.blocks(rows))

    def place(self, index: int) -> str:
        """Where row ``index`` is, for people."""
        return f"row {index} of {self.path}"

    def _check_lengths(self) -> None:
        lengths = {name: array.shape[0] if array.shape else None for name, array in self._inputs.items()}
        for name, length in lengths.items():
            if length is None:
                raise DataError(f"the array {name!r} of {self.path} is a single number, not rows of samples")
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise DataError(f"the inputs in {self.path} have different numbers of rows: {listed}")
        labels = self._labels
        if labels is not None and (not labels.shape or labels.rows != self.count()):
            found = labels.rows if labels.shape else "none"
            raise DataError(
                f"{self.path}: {self.count()} samples but {found} labels ({labels.label})",
                hint="every sample needs one label, in the same order",
            )
        if self.count() == 0:
            raise DataError(f"{self.path} holds no rows", hint="save at least one sample")


def open_npy_source(path: Path) -> ArraySource:
    """An .npy file: samples along the first axis, no labels."""
    return ArraySource(path, {"": open_npy(path)}, None)


def parts_of_npz(path: Path) -> tuple[str, ...]:
    """``("train", "test")`` of a file with ``x_train`` and ``x_test``; empty for other layouts."""
    return _parts(open_npz(path))


def open_npz_source(path: Path, *, part: str | None, wanted: tuple[str, ...]) -> ArraySource:
    """An .npz file: ``x`` and ``y``; or inputs by name and ``y``; or ``x_train``, ``y_train``, ``x_test``, ….

    Args:
        path: the file.
        part: which part to read where there are parts; None: the test part.
        wanted: the model's input names; they win over label names and over the guess of the only input.

    Raises:
        DataError: no such part, or no telling which arrays are the inputs.
    """
    arrays = open_npz(path)
    arrays = _of_part(path, arrays, part)
    class_names = _class_names(arrays.pop("class_names", None))
    label_name = next((n for n in LABEL_NAMES for k in (n, n.upper()) if k in arrays and k not in wanted), None)
    labels = arrays.pop(label_name, None) if label_name else None
    if label_name and labels is None:
        labels = arrays.pop(label_name.upper())
    if labels is None and set(arrays) == {"arr_0", "arr_1"} and not {"arr_0", "arr_1"} & set(wanted):
        labels = arrays.pop("arr_1")  # numpy.savez(path, x, y)
    if not arrays:
        raise DataError(f"{path} has labels but no samples", hint="save them with numpy.savez(path, x=..., y=...)")
    inputs, ignored = _inputs(path, arrays, wanted)
    notices: tuple[Notice, ...] = ()
    if ignored:
        notices = (
            Notice(
                code="arrays-ignored",
                message=f"{path} also holds {', '.join(sorted(ignored))}, which the model has no input for",
            ),
        )
    return ArraySource(path, inputs, labels, class_names=class_names, notices=notices)


def _inputs(path: Path, arrays: dict[str, ArrayFile], wanted: tuple[str, ...]) -> tuple[dict[str, ArrayFile], set[str]]:
    """The arrays that are inputs, and the names of the others."""
    if len(arrays) == 1 and len(wanted) <= 1:
        ((name, array),) = arrays.items()
        return {"" if name.lower() in (_ONLY, "arr_0") else name: array}, set()
    if len(wanted) != 1:
        return arrays, set()  # names are matched, and missing ones reported, where all sources are
    for name in (wanted[0], _ONLY, _ONLY.upper()):
        if name in arrays:
            return {name if name == wanted[0] else "": arrays[name]}, set(arrays) - {name}
    raise DataError(
        f"{path} holds {', '.join(sorted(arrays))}: which of them is the model's input {wanted[0]!r}?",
        hint=f"call it 'x' or {wanted[0]!r}, and the labels 'y'",
    )


def _parts(arrays: dict[str, ArrayFile]) -> tuple[str, ...]:
    found = tuple(part for part in PARTS if any(name.endswith(f"_{part}") for name in arrays))
    return found if "train" in found else ()


def _of_part(path: Path, arrays: dict[str, ArrayFile], part: str | None) -> dict[str, ArrayFile]:
    parts = _parts(arrays)
    if not parts:
        if part is not None:
            raise DataError(f"{path} has no {part} part", hint=f"it needs arrays named x_{part} and y_{part}")
        return arrays
    if part is None:
        part = "test" if "test" in parts else parts[-1]
    if part not in parts:
        raise DataError(f"{path} has no {part} part, only {', '.join(parts)}", hint=f"add x_{part} and y_{part}")
    ending = f"_{part}"
    return {name.removesuffix(ending): array for name, array in arrays.items() if name.endswith(ending)}


def _class_names(array: ArrayFile | None) -> tuple[str, ...] | None:
    if array is None or array.dtype.kind != "U" or len(array.shape) != 1:
        return None
    return tuple(str(name) for block in array.blocks(1024, None) for name in block)
