"""The one place that turns nanoseconds, bytes, ratios and percentage points into text for people."""

from __future__ import annotations


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
