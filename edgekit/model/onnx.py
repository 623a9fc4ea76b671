"""The head of an .onnx file: enough to know that it is one, what it wants as input, and that it is complete.

Only the fields that are needed are read, straight from the protobuf wire format (onnx.proto3 of ONNX 1.23); weights
are skipped, nothing is executed.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import ModelError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_FIELDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxInput:
    """One input of the graph: its shape as the file has it, a name or ``?`` where a length is open."""

    name: str
    shape: tuple[int | str, ...]

    @property
    def open_axes(self) -> int:
        """How many lengths are open."""
        return sum(isinstance(length, str) for length in self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxHead:
    """What is known of an .onnx file.

    Attributes:
        ir_version: of the format.
        producer: what wrote it; empty: it does not say.
        inputs: of the graph, without the weights that older files list there too.
    """

    ir_version: int
    producer: str
    inputs: tuple[OnnxInput, ...]


def looks_like_onnx(path: Path) -> bool:
    """By the name: the format has no identifier."""
    return path.suffix.lower() == ".onnx"


def read_onnx(path: Path) -> OnnxHead:
    """Reads the head.

    Raises:
        ModelError: missing, empty, damaged, no ONNX model, or its weights are in other files.
    """
    try:
        with path.open("rb") as stream:
            if path.stat().st_size == 0:
                raise ModelError(f"{path.name} is empty (0 bytes)", hint="copy or make the file again")
            # not closed by hand: an error's traceback may still hold views of it
            return _head(memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)), path)
    except FileNotFoundError as error:
        raise ModelError(f"no such file: {path}", hint="check the path of the model") from error
    except OSError as error:
        raise ModelError(
            f"cannot read {path}: {error.strerror or error}", hint="check the file's permissions"
        ) from error
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path.name} is not a whole ONNX model: {error or 'it ends too early'}",
            hint="copy or export the file again: torch.onnx.export(model, example, 'model.onnx')",
        ) from error


def _head(data: memoryview, path: Path) -> OnnxHead:
    ir_version, graphs, producer = 0, 0, ""
    inputs: list[OnnxInput] = []
    weights: set[str] = set()
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            ir_version = value
        elif number == 2 and isinstance(value, memoryview):
            producer = bytes(value[:100]).decode()
        elif number == 7 and isinstance(value, memoryview):
            graphs += 1
            inputs += [_input(part) for part in _inside(value, 11)]
            weights |= {_weight(part, path) for part in _inside(value, 5)}
    if not graphs or not 1 <= ir_version <= 100:
        raise ValueError("it has no graph")
    inputs = [one for one in inputs if one.name not in weights]
    return OnnxHead(ir_version=ir_version, producer=producer, inputs=tuple(inputs))


def _weight(data: memoryview, path: Path) -> str:
    """The name of a weight; those that lie in another file are refused, because only this one is pushed."""
    name = ""
    for number, value in _fields(data):
        if number == 8 and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == 14 and value == 1:
            raise ModelError(
                f"{path.name} keeps its weights in other files (external data)",
                hint="put them into one: onnx.save(onnx.load('model.onnx'), 'one.onnx', save_as_external_data=False)",
            )
    return name


def _input(data: memoryview) -> OnnxInput:
    name, shape = "", []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == 2 and isinstance(value, memoryview):
            shape = [
                _length(dimension)
                for kind in _inside(value, 1)
                for layout in _inside(kind, 2)
                for dimension in _inside(layout, 1)
            ]
    return OnnxInput(name=name, shape=tuple(shape))


def _length(data: memoryview) -> int | str:
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            return value
        if number == 2 and isinstance(value, memoryview):
            return bytes(value).decode() or "?"
    return "?"


def _inside(data: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(data):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message; raises ValueError where it is none."""
    at = 0
    for _ in range(_MOST_FIELDS):
        if at >= len(data):
            return
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError("it is not in the protobuf format")
        if not number or at + length > len(data):
            raise ValueError("it ends too early")
        yield number, data[at : at + length]
        at += length
    raise ValueError("it has too many parts")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is not in the protobuf format")
