"""Whether a forecast agrees with what was then measured, figure by figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekit.core import decode
from edgekit.optimize.forecast.records import Agreement, Effect, Forecast, Verdict

_UNCHANGED = 0.05  # "none" means that the ratio stays within this of 1; two runs of one file differ by less


def compare(forecast: Forecast | Mapping[str, Any], measured: Mapping[str, Any]) -> Agreement:
    """Puts each figure that was measured beside the one that was forecast.

    Args:
        forecast: of one step, or its JSON values.
        measured: any of ``size_bytes``, ``gzip_bytes``, ``macs``, ``parameters_count``; ``latency_ratio`` and
            ``memory_ratio`` (after divided by before the step), each with an interval ``…_ci95`` (two ratios) where
            there is one. None or missing: not measured.
    """
    if not isinstance(forecast, Forecast):
        forecast = decode.from_json(Forecast, dict(forecast), source="forecast", lenient=True)
    verdicts = []
    for figure, expected, error in (
        ("size_bytes", forecast.size_bytes.value, forecast.size_bytes.error),
        ("gzip_bytes", forecast.gzip_bytes.value, forecast.gzip_bytes.error),
        ("macs", forecast.macs.after, forecast.macs.error),
        ("parameters_count", forecast.parameters_count.after, forecast.parameters_count.error),
    ):
        if measured.get(figure) is not None:
            verdicts.append(_count(figure, expected, error, float(measured[figure])))
    for figure, effect in (("latency_ratio", forecast.latency), ("memory_ratio", forecast.memory)):
        if measured.get(figure) is not None:
            ratio = float(measured[figure])
            interval = measured.get(f"{figure}_ci95") or (ratio, ratio)
            verdicts.append(_ratio(figure, effect, ratio, (float(interval[0]), float(interval[1]))))
    missed = [verdict for verdict in verdicts if verdict.agrees is False]
    return Agreement(
        name=forecast.name,
        agrees=not missed,
        verdicts=tuple(verdicts),
        notes=tuple(_sentence(verdict) for verdict in missed),
    )


def _count(figure: str, expected: int, error: float, measured: float) -> Verdict:
    off = abs(measured - expected) / max(1.0, float(expected))
    return Verdict(
        figure=figure, expected=(float(expected),), measured=measured, off=off, agrees=off <= max(error, 1e-9)
    )


def _ratio(figure: str, effect: Effect, measured: float, interval: tuple[float, float]) -> Verdict:
    if effect.kind == "unknown":
        return Verdict(figure=figure, expected=None, measured=measured, off=0.0, agrees=None)
    if effect.kind == "none":
        low, high = 1 - _UNCHANGED, 1 + _UNCHANGED
    else:
        low, high = effect.low or 0.0, effect.high or float("inf")
    off = (low - measured) / low if measured < low else max(0.0, (measured - high) / high)
    agrees = interval[0] <= high and interval[1] >= low
    return Verdict(figure=figure, expected=(low, high), measured=measured, off=off, agrees=agrees)


def _sentence(verdict: Verdict) -> str:
    assert verdict.expected is not None  # else it would not have missed
    span = " to ".join(f"{value:,.0f}" if value > 10 else f"{value:.2f}" for value in verdict.expected)
    found = f"{verdict.measured:,.0f}" if verdict.measured > 10 else f"{verdict.measured:.2f}"
    return f"{verdict.figure}: {span} was expected and {found} measured, {verdict.off:.0%} off"
