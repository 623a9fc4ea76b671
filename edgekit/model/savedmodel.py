"""What a SavedModel folder says about itself, read from the protobuf's bytes without TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgekit.core.errors import ModelError

# ops of a graph that touch files or call back into Python when the model runs
EFFECT_OPS = ("WriteFile", "ReadFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc")


def effect_ops(folder: Path) -> tuple[str, ...]:
    """Names of ops in the graph that read or write files or call Python. A SavedModel from Keras has none.

    Looks for ``NodeDef.op`` (field 2, a text) in the bytes: exact, and as quick as reading the file.

    Raises:
        ModelError: the graph cannot be read.
    """
    graph = _read(folder / "saved_model.pb")
    return tuple(name for name in EFFECT_OPS if bytes((0x12, len(name))) + name.encode() in graph)


def keras_layers(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """The configurations in ``keras_metadata.pb``: one mapping for each layer that tf_keras would revive.

    Raises:
        ModelError: the file is damaged.
    """
    path = folder / "keras_metadata.pb"
    if not path.is_file():
        return ()
    found = []
    try:
        # SavedMetadata.nodes = 1; SavedObject.metadata = 5, a JSON text
        for number, node in _fields(_read(path)):
            if number != 1 or not isinstance(node, bytes):
                continue
            for inner, text in _fields(node):
                if inner == 5 and isinstance(text, bytes) and text:
                    value = json.loads(text)
                    if isinstance(value, dict):
                        found.append(value)
    except (ValueError, IndexError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: {error}", hint="save the model again") from error
    return tuple(found)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}", hint="export the model again") from error


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Field numbers and values of one protobuf message (varints and length-delimited ones; fixed ones are skipped)."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif kind == 2:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError(f"a field ends past the end of the message, at byte {at}")
            yield tag >> 3, message[at : at + length]
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"unknown wire type {kind} at byte {at}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(f"a number longer than 64 bits at byte {at}")
