"""Figures in the words of tables: intervals, scores, changes, circumstances, verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.core import units
from edgekit.measure.emulated import called, is_emulated

UNCLEAR = "no clear difference"
NOTHING = "–"
_FRACTIONS = ("auc", "agreement")
_NS = {"µs": 1e3, "ms": 1e6, "s": 1e9}


def count(number: int, noun: str) -> str:
    """``1, "thread"`` → ``1 thread``; ``4`` → ``4 threads``."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def interval(bounds: Sequence[float] | None) -> str:
    """``(1.21e6, 1.26e6)`` → ``1.21–1.26 ms``; bounds that would look alike get one digit more."""
    if not bounds:
        return NOTHING
    low, high = (units.duration(bound) for bound in bounds)
    value, _, unit = low.partition(" ")
    if low == high and bounds[0] != bounds[1] and unit in _NS:
        digits = len(value.partition(".")[2]) + 1
        value, high = f"{bounds[0] / _NS[unit]:.{digits}f}", f"{bounds[1] / _NS[unit]:.{digits}f} {unit}"
    return f"{value}–{high}" if high.endswith(f" {unit}") else f"{low}–{high}"


def margin(latency: Mapping[str, Any]) -> str:
    """A median with the longer arm of its interval: ``1.24 ms ±0.8 %``."""
    median, bounds = latency["median_ns"], latency["ci95_ns"]
    if not median or not bounds:
        return units.duration(median)
    arm = max(median - bounds[0], bounds[1] - median) / median
    return f"{units.duration(median)} ±{arm * 100:.1f} %"


def is_fraction(metric: str | None) -> bool:
    """Whether a metric runs from 0 to 1, more is better, and a drop is in percentage points."""
    return metric is not None and (metric.startswith("top-") or metric in _FRACTIONS)


def score(value: float | None, metric: str | None) -> str:
    """``0.9722, "top-1"`` → ``97.22 %``; ``0.01234, "mse"`` → ``0.01234``."""
    if value is None:
        return NOTHING
    return f"{value * 100:.2f} %" if is_fraction(metric) else f"{value:.4g}"


def drop(value: float | None, metric: str | None) -> str:
    """A drop with its sign turned: what was lost is negative. Percentage points, else percent."""
    if value is None:
        return NOTHING
    if abs(value) < 0.005:
        return "0.00 pp" if is_fraction(metric) else "0.00 %"
    return units.percentage_points(value) if is_fraction(metric) else f"{-value:+.2f} %"


def change(before: float | None, after: float | None, less: str, more: str) -> str:
    """``46, 12, "smaller", "larger"`` → ``3.83× smaller``."""
    if not before or not after:
        return NOTHING
    ratio, word = (before / after, less) if after <= before else (after / before, more)
    return "same" if ratio < 1.005 else f"{units.ratio(ratio)} {word}"


def latency_change(medians: Sequence[float | None], intervals: Sequence[Sequence[float] | None]) -> str:
    """Faster or slower, and only where the 95 % intervals do not touch."""
    first, second = intervals
    if first and second and first[0] <= second[1] and second[0] <= first[1]:
        return UNCLEAR
    return change(medians[0], medians[1], "faster", "slower")


def model(name: object) -> str:
    """A model's name in a table: without the ending that they all have."""
    return NOTHING if name is None else str(name).removesuffix(".tflite")


def device(document: Mapping[str, Any]) -> str:
    """``pi4``; with ``(emulated)`` wherever its processor is."""
    return called(document["device"], is_emulated(document))


def runtime(document: Mapping[str, Any]) -> str:
    """``LiteRT C API 2.3.0, XNNPACK (all ops)``."""
    used = document["runtime"]
    if not used:
        return "unknown runtime"
    part = {True: " (all ops)", False: " (some ops)", None: ""}[used["fully_delegated"]]
    if used.get("ops") and used.get("delegated_ops"):
        part = f" ({used['delegated_ops']} of {used['ops']} ops)"
    delegate = {"none": "no delegate", "unknown": "unknown delegate"}.get(used["delegate"], used["delegate"] + part)
    if used.get("kernels") == "builtin":
        delegate = "built-in kernels"
    return f"{used['name']} {used['version']}, {delegate}{', weight cache' if used.get('weight_cache') else ''}"


def runtime_in_short(document: Mapping[str, Any]) -> str | None:
    """As ``--runtime`` names it: ``litert``, ``litert-builtin``, ``onnxruntime``; ``litert +cache``."""
    used = document["runtime"]
    if not used:
        return None
    name = "litert" if used["name"] == "LiteRT C API" else str(used["name"])
    kernels = "-builtin" if used.get("kernels") == "builtin" else ""
    return f"{name}{kernels}{' +cache' if used.get('weight_cache') else ''}"


def circumstances(document: Mapping[str, Any]) -> str:
    """What a measurement depends on beside its board: ``LiteRT C API 2.3.0, XNNPACK (all ops), 1 thread, …``."""
    threads, processes = count(document["num_threads"], "thread"), count(document["processes"], "process")
    return f"{runtime(document)}, {threads}, {processes}"


def verdict(document: Mapping[str, Any]) -> tuple[str, ...]:
    """``VALID`` or ``VALID (uncontrolled: temperature)``; several reasons get a line each below."""
    status, reasons = document["verdict"].upper(), document["reasons"]
    if len(reasons) == 1:
        return (f"{status} ({reasons[0]})",)
    return (status, *reasons)
