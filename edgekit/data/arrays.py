"""Reads .npy arrays, alone or inside an .npz, row by row: never unpickled, never whole unless the format forces it."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy
from numpy.lib import format as npy

from edgekit.core.errors import DataError
from edgekit.data.block import Array, partitions

_HINT_AGAIN = "save it again with numpy.savez or numpy.save"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayFile:
    """One array on disk, described by its header.

    Attributes:
        path: the .npy or .npz file.
        member: name inside the .npz; None for an .npy.
        dtype, shape, fortran_order: from the header.
        offset: where the data begin in ``path`` when they can be mapped; None when they are compressed.
    """

    path: Path
    member: str | None
    dtype: numpy.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    offset: int | None

    def refuse_objects(self) -> None:
        """Raises:
        DataError: it holds Python objects.
        """
        if self.dtype.hasobject:
            raise DataError(
                f"{self.label} holds Python objects, which are never unpickled",
                hint="make it one array of numbers: numpy.stack(list_of_samples).astype('float32')",
            )

    @property
    def rows(self) -> int:
        """Length of the first axis."""
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return self._row_items * self.dtype.itemsize

    @property
    def _row_items(self) -> int:
        return math.prod(self.shape[1:])

    @property
    def label(self) -> str:
        """What to call it in a message."""
        name = (self.member or "").removesuffix(".npy")
        return f"the array {name!r} of {self.path}" if name else str(self.path)

    def blocks(self, block_rows: int, rows: Array | None) -> Iterator[Array]:
        """The chosen rows, one array per partition (see :func:`~edgekit.data.block.partitions`).

        Raises:
            DataError: the file is cut off or damaged.
        """
        parts = partitions(self.rows, block_rows, rows)
        whole = self._mapped() if self.offset is not None else self._loaded() if self.fortran_order else None
        if whole is not None:
            for start, stop, chosen in parts:
                part = whole[start:stop]
                yield numpy.array(part if chosen is None else part[chosen])
            return
        with closing(self._stream()) as stream:
            for start, stop, chosen in parts:
                part = self._read(stream, stop - start)
                yield part if chosen is None else part[chosen]

    def _mapped(self) -> Array:
        try:
            flat = numpy.memmap(
                self.path, self.dtype, "r", offset=self.offset or 0, shape=(self.rows * self._row_items,)
            )
        except (OSError, ValueError) as error:
            raise DataError(f"{self.label} is cut off: {error}", hint=_HINT_AGAIN) from error
        return flat.reshape(self.shape, order="F" if self.fortran_order else "C")

    def _loaded(self) -> Array:
        # columns first on disk: the first row is only complete when the last byte has been read
        with closing(self._stream()) as stream:
            flat = self._read(stream, self.rows).reshape(-1)
        return flat.reshape(self.shape[::-1]).transpose()

    def _stream(self) -> IO[bytes]:
        assert self.member is not None
        try:
            with zipfile.ZipFile(self.path) as archive:
                stream = archive.open(self.member)  # keeps the file open by itself
            _header(stream)
        except _BROKEN as error:
            raise DataError(f"{self.label} cannot be read: {error}", hint=_HINT_AGAIN) from error
        return stream

    def _read(self, stream: IO[bytes], rows: int) -> Array:
        wanted = rows * self.row_bytes
        try:
            data = stream.read(wanted)
        except _BROKEN as error:
            raise DataError(f"{self.label} is damaged: {error}", hint=_HINT_AGAIN) from error
        if len(data) != wanted:
            raise DataError(f"{self.label} is cut off: its header promises {self.rows} rows", hint=_HINT_AGAIN)
        return numpy.frombuffer(data, self.dtype).reshape(rows, *self.shape[1:])


_BROKEN = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


def open_npy(path: Path) -> ArrayFile:
    """Reads the header of an .npy file.

    Raises:
        DataError: not an .npy file, or damaged.
    """
    try:
        with path.open("rb") as stream:
            shape, fortran, dtype = _header(stream)
            return _described(path, None, shape, fortran, dtype, stream.tell())
    except _BROKEN as error:
        raise DataError(f"{path} is not an .npy file: {error}", hint=_HINT_AGAIN) from error


def open_npz(path: Path) -> dict[str, ArrayFile]:
    """Reads the headers of all arrays in an .npz file: name → array.

    Raises:
        DataError: not an .npz file, damaged, or empty.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    continue
                with archive.open(info) as stream:
                    shape, fortran, dtype = _header(stream)
                    header_bytes = stream.tell()
                offset = None
                if info.compress_type == zipfile.ZIP_STORED:
                    raw.seek(info.header_offset + 26)
                    names, extra = struct.unpack("<HH", raw.read(4))
                    offset = info.header_offset + 30 + names + extra + header_bytes
                name = info.filename.removesuffix(".npy")
                found[name] = _described(path, info.filename, shape, fortran, dtype, offset)
    except _BROKEN as error:
        raise DataError(f"{path} is not an .npz file: {error}", hint=_HINT_AGAIN) from error
    if not found:
        raise DataError(f"{path} holds no arrays", hint="save it with numpy.savez(path, x=..., y=...)")
    return found


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, numpy.dtype[Any]]:
    try:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f".npy version {version[0]}.{version[1]}")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except Exception as error:  # the header is Python source: a damaged one fails in many ways
        raise ValueError(f"its header is damaged: {error}") from error
    if any(length < 0 for length in shape):
        raise ValueError(f"its header is damaged: shape {shape}")
    return shape, fortran, dtype


def _described(
    path: Path,
    member: str | None,
    shape: tuple[int, ...],
    fortran: bool,
    dtype: numpy.dtype[Any],
    offset: int | None,
) -> ArrayFile:
    return ArrayFile(
        path=path,
        member=member,
        dtype=dtype,
        shape=shape,
        fortran_order=fortran and len(shape) > 1,
        offset=offset,
    )
