"""Reads the result file of LiteRT's ``benchmark_model``: a small protocol buffer, without a library, within bounds.

Source of the fields: LiteRT, tools/benchmark_result.proto. Encoding: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from edgekit.core.errors import DeviceError

_MAX_BYTES = 1 << 20

# field number → name, or the fields of the message in it
_LATENCY = dict(enumerate(("avg", "min", "max", "stddev", "median", "p5", "p95", "init", "first", "avg_warmup"), 1))
_MEMORY = {1: "init_kb", 2: "overall_kb", 3: "peak_mem_mb"}
_MISC = {1: "model_size_mb", 2: "num_runs", 3: "num_warmup", 4: "throughput"}
_MESSAGES = {2: _LATENCY, 3: _MEMORY, 4: _MISC}


def read_result_file(content: bytes, *, board: str) -> Mapping[str, float]:
    """Every number in it by name; times in milliseconds. Unknown fields are skipped.

    Raises:
        DeviceError: damaged, or not such a file.
    """
    found: dict[str, float] = {}
    try:
        if len(content) > _MAX_BYTES:
            raise ValueError("too large")
        for number, value in _fields(content):
            names = _MESSAGES.get(number)
            if names is None or not isinstance(value, bytes):
                continue
            for inner, quantity in _fields(value):
                if inner in names and not isinstance(quantity, bytes):
                    found[names[inner]] = quantity
        if not all(math.isfinite(value) for value in found.values()):
            raise ValueError("not a number")
    except (ValueError, IndexError, struct.error) as error:
        raise DeviceError(f"{board}: benchmark_model's result file is damaged: {error}") from error
    return found


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and values: int, float, or bytes."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield key >> 3, value - (1 << 64) if value >> 63 else value
        elif kind in (1, 5):
            form, size = ("<d", 8) if kind == 1 else ("<f", 4)
            yield key >> 3, struct.unpack_from(form, content, at)[0]
            at += size
        elif kind == 2:
            size, at = _varint(content, at)
            if at + size > len(content):
                raise ValueError("cut off")
            yield key >> 3, content[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {kind}")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
    raise ValueError("a number without an end")
