"""Blocks of raw rows, and what every source of them offers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy

from edgekit.core.notice import Notice

Array: TypeAlias = "numpy.ndarray[Any, Any]"

BLOCK_BYTES = 4 << 20
"""About so much of a source is in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Consecutive chosen rows as the source holds them.

    Attributes:
        inputs: input name (``""`` where the source does not name its only one) → array [rows, …].
        labels: array [rows] or [rows, …]; None where the source has none.
        indices: position of each row in the source, int64 [rows].
    """

    inputs: dict[str, Array]
    labels: Array | None
    indices: Array


class Source(Protocol):
    """A place that rows come from. Reading starts over with every call of ``blocks``."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """What the source calls its inputs."""

    @property
    def has_labels(self) -> bool:
        """Whether blocks have labels."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of classes 0, 1, …, where the source knows them."""

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the user should know about how the source was read."""

    @property
    def counted(self) -> bool:
        """Whether ``count`` costs nothing."""

    def count(self) -> int:
        """All rows."""

    def blocks(self, rows: Array | None) -> Iterator[Block]:
        """The rows (sorted positions; None: all), in the source's order."""

    def content_sha256(self) -> str:
        """Hash of everything that the source holds."""

    def row_hashes(self, rows: Array | None) -> Iterator[bytes]:
        """One short hash per row of what the source holds: equal rows, equal hashes."""

    def place(self, index: int) -> str:
        """Where row ``index`` is, for people."""


def hash_rows(blocks: Iterator[Block]) -> Iterator[bytes]:
    """16-byte hashes of the inputs of each row, whatever their shape."""
    for block in blocks:
        arrays = [numpy.ascontiguousarray(block.inputs[name]) for name in sorted(block.inputs)]
        for row in range(len(block.indices)):
            digest = hashlib.blake2b(digest_size=16)
            for array in arrays:
                digest.update(array[row].tobytes())
            yield digest.digest()


def partitions(count: int, block_rows: int, rows: Array | None) -> Iterator[tuple[int, int, Array | None]]:
    """Cuts ``count`` rows into (start, stop, chosen positions within; None: all of them).

    Parts without a chosen row come too, so that a stream can skip them; nothing comes after the last chosen row.
    """
    end = count if rows is None else (int(rows[-1]) + 1 if len(rows) else 0)
    for start in range(0, end, block_rows):
        stop = min(start + block_rows, count)
        if rows is None:
            yield start, stop, None
        else:
            first, last = numpy.searchsorted(rows, [start, stop])
            yield start, stop, rows[first:last] - start


def rows_per_block(row_bytes: int) -> int:
    """How many rows of this size are read at a time."""
    return max(1, min(1024, BLOCK_BYTES // max(1, row_bytes)))
