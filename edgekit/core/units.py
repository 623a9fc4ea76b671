"""The one place that turns nanoseconds, bytes, ratios and percentage points into text for people."""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgekit.core.errors import UsageError


def duration(ns: float | None) -> str:
    """``1234567`` → ``1.235 ms``; three to four significant digits; ``–`` for None."""
    if ns is None:
        return "–"
    for limit, divisor, unit in ((1e3, 1, "ns"), (1e6, 1e3, "µs"), (1e9, 1e6, "ms")):
        if abs(ns) < limit:
            return f"{_digits(ns / divisor)} {unit}"
    return f"{_digits(ns / 1e9)} s"


def seconds(value: float) -> str:
    """``0.034`` → ``34 ms``; ``75.2`` → ``1 min 15 s``."""
    if value < 1:
        return f"{value * 1e3:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def size(count: float | None) -> str:
    """Bytes in decimal units, as disks and downloads are sold: ``46120`` → ``46.1 kB``."""
    if count is None:
        return "–"
    if abs(count) < 1000:
        return f"{count:.0f} B"
    for divisor, unit in ((1e3, "kB"), (1e6, "MB")):
        if abs(count) < divisor * 999.5:
            return f"{_digits(count / divisor)} {unit}"
    return f"{_digits(count / 1e9)} GB"


def count(value: float | None) -> str:
    """``1234567`` → ``1.23 M``; three digits; ``–`` for None."""
    if value is None:
        return "–"
    for divisor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= divisor * 0.9995:
            return f"{_digits(value / divisor)}{unit}"
    return f"{value:.0f}"


def percentage_points(value: float | None) -> str:
    """A drop in percentage points with its sign: ``0.25`` → ``-0.25 pp`` means lost, gains get ``+``."""
    return "–" if value is None else f"{-value:+.2f} pp"


def ratio(value: float | None) -> str:
    """``2.5`` → ``2.50×``."""
    return "–" if value is None else f"{value:.2f}×"


def _digits(value: float) -> str:
    magnitude = abs(value)
    if value == int(value) and magnitude < 10:
        return f"{value:.0f}"
    if magnitude >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if magnitude >= 10 else f"{value:.2f}"


def parse_size(text: str | float, *, name: str) -> int:
    """Bytes of ``200kB``, ``1.5 MB``, ``64KiB`` or a plain number of bytes.

    Raises:
        UsageError: it is not a size; ``name`` says where it stood.
    """
    return round(_parsed(text, name, _SIZES, "bytes: 200kB, 1.5MB, 64KiB"))


def parse_duration(text: str | float, *, name: str) -> int:
    """Nanoseconds of ``5ms``, ``800us``, ``0.1 s``; a plain number is milliseconds.

    Raises:
        UsageError: it is not a duration; ``name`` says where it stood.
    """
    return round(_parsed(text, name, _DURATIONS, "a duration: 5ms, 800us, 0.1s"))


_SIZES = {"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_DURATIONS = {"": 1e6, "ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}


def _parsed(text: str | float, name: str, units: Mapping[str, float], wanted: str) -> float:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([a-zµ]*)\s*", str(text).lower())
    if found is None or found[2] not in units or not float(found[1]) > 0:
        raise UsageError(f"{name}: {text!r} is not {wanted.partition(':')[0]}", hint=f"e.g.{wanted.partition(':')[2]}")
    return float(found[1]) * units[found[2]]
