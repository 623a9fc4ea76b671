"""A CSV file as a source: one sample a line, numbers in columns, streamed."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy

from edgekit.core.errors import DataError
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.data.block import Array, Block, hash_rows, rows_per_block

LABEL_COLUMNS = ("label", "labels", "class", "target", "y")
_MOST_CLASSES = 100_000


class TableSource:
    """Rows of a CSV file. Opening it runs through it once, to count rows and to see what the labels are.

    Args:
        path: the file; gzip is recognised by its first bytes.
        features: how many numbers a sample has, where the model says so: with exactly so many columns there is no
            label; with one more, the label is the column named ``label``, ``class``, ``target`` or ``y``, else the
            last one.
    """

    input_names = ("",)
    counted = True
    notices: tuple[Notice, ...] = ()

    def __init__(self, path: Path, *, features: int | None) -> None:
        self.path = path
        first = self._first_lines()
        self._delimiter = max(",;\t", key=first.count)
        rows = list(csv.reader(io.StringIO(first), delimiter=self._delimiter))
        if not rows or not rows[0]:
            raise DataError(f"{path} is empty", hint="write one sample a line, numbers separated by commas")
        self._width = len(rows[0])
        # a label may be a word, so one word alone in the last column is no header
        words = [not _is_number(cell) for cell in rows[0]]
        self._header = tuple(cell.strip() for cell in rows[0]) if any(words[:-1] or words) else ()
        self._label = self._label_column(features)
        self.has_labels = self._label is not None
        self._classes: dict[str, int] | None = None
        self.class_names: tuple[str, ...] | None = None
        self._whole_labels = True
        self._count = self._scan()

    def count(self) -> int:
        """All rows, without the header."""
        return self._count

    def blocks(self, rows: Array | None) -> Iterator[Block]:
        """See :class:`~edgekit.data.block.Source`."""
        size = rows_per_block(self._width * 8)
        last = self._count if rows is None else int(rows[-1]) + 1
        chosen = None if rows is None else set(rows.tolist())
        samples: list[list[float]] = []
        labels: list[float] = []
        indices: list[int] = []
        for index, cells in self._cells():
            if index >= last:
                break
            if chosen is not None and index not in chosen:
                continue
            if self._label is not None:
                labels.append(self._label_value(cells.pop(self._label), index))
            samples.append(self._numbers(cells, index))
            indices.append(index)
            if len(indices) >= size:
                yield self._block(samples, labels, indices)
                samples, labels, indices = [], [], []
        if indices:
            yield self._block(samples, labels, indices)

    def content_sha256(self) -> str:
        """Hash of the file."""
        return sha256_file(self.path)

    def row_hashes(self, rows: Array | None) -> Iterator[bytes]:
        """See :class:`~edgekit.data.block.Source`."""
        return hash_rows(self.blocks(rows))

    def place(self, index: int) -> str:
        """Where row ``index`` is, for people."""
        return f"line {index + 1 + bool(self._header)} of {self.path}"

    def _label_column(self, features: int | None) -> int | None:
        names = [name.lower() for name in self._header]
        named = next((names.index(name) for name in LABEL_COLUMNS if name in names), None)
        if features is None or features < 1:
            return named if named is not None else (self._width - 1 if self._width > 1 else None)
        if self._width == features:
            return None
        if self._width == features + 1:
            return named if named is not None else self._width - 1
        raise DataError(
            f"{self.path} has {self._width} columns, the model takes {features} numbers a sample",
            hint=f"write {features} columns, or {features + 1} with a column named 'label'",
        )

    def _scan(self) -> int:
        """Counts the rows and finds out whether labels are whole numbers, numbers or names."""
        count = 0
        words: set[str] = set()
        for index, cells in self._cells():
            count += 1
            if self._label is None:
                continue
            cell = cells[self._label].strip()
            if not _is_number(cell):
                if len(words) < _MOST_CLASSES:
                    words.add(cell)
                if not cell:
                    raise DataError(f"{self.place(index)} has no label")
            elif self._whole_labels and not float(cell).is_integer():
                self._whole_labels = False
        if not count:
            raise DataError(f"{self.path} holds no rows", hint="write one sample a line below the header")
        if words:
            self.class_names = tuple(sorted(words))
            self._classes = {name: number for number, name in enumerate(self.class_names)}
        return count

    def _cells(self) -> Iterator[tuple[int, list[str]]]:
        index = 0
        with self._text() as stream:
            reader = csv.reader(stream, delimiter=self._delimiter)
            for line, cells in enumerate(reader):
                if not cells or (line == 0 and self._header):
                    continue
                if len(cells) != self._width:
                    raise DataError(
                        f"line {reader.line_num} of {self.path} has {len(cells)} columns, the first has {self._width}",
                        hint="every line needs the same columns",
                    )
                yield index, cells
                index += 1

    def _numbers(self, cells: list[str], index: int) -> list[float]:
        try:
            return list(map(float, cells))
        except ValueError:
            column, cell = next((n, cell) for n, cell in enumerate(cells) if not _is_number(cell))
            if self._label is not None and column >= self._label:
                column += 1
            name = f"{column + 1} ({self._header[column]})" if self._header else str(column + 1)
            what = "is empty" if not cell.strip() else f"holds {cell[:40]!r}, not a number"
            raise DataError(f"{self.place(index)}: column {name} {what}", hint="every feature is a number") from None

    def _label_value(self, cell: str, index: int) -> float:
        if self._classes is None:
            return float(cell)
        if cell.strip() not in self._classes:
            raise DataError(f"{self.place(index)}: label {cell[:40]!r} among labels that are words")
        return self._classes[cell.strip()]

    def _block(self, samples: list[list[float]], labels: list[float], indices: list[int]) -> Block:
        kind = numpy.int64 if self._classes is not None or self._whole_labels else numpy.float64
        return Block(
            inputs={"": numpy.asarray(samples, numpy.float64)},
            labels=numpy.asarray(labels).astype(kind) if labels else None,
            indices=numpy.asarray(indices, numpy.int64),
        )

    def _first_lines(self) -> str:
        with self._text() as stream:
            return stream.readline()

    @contextmanager
    def _text(self) -> Iterator[io.TextIOBase]:
        try:
            with self.path.open("rb") as raw:
                packed = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                plain = gzip.GzipFile(fileobj=raw) if packed else raw
                with io.TextIOWrapper(plain, encoding="utf-8-sig", newline="") as text:
                    yield text
        except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{self.path} cannot be read as CSV: {error}", hint="save it as UTF-8 text") from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
