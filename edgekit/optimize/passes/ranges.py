"""Ranges of activations from their distribution over calibration rows: percentile, or the least squared error.

Minimum and maximum, the default, spend the 256 steps of int8 on the rarest value. A percentile (Krishnamoorthi 2018)
cuts the tails off; the least mean squared error (Banner et al. 2019) weighs clipping against coarse steps.

The distribution is counted in bins that are as wide as 1/32 of an octave, cut from the bits of the float32 itself: one
pass over the rows, 128 KB a tensor whatever the values are, and a bin is never wider than 3 % of what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy

from edgekit.data.block import Array
from edgekit.optimize.passes.activations import Activations, inner_floats
from edgekit.optimize.passes.choice import RangeRule
from edgekit.optimize.representative import Rows
from edgekit.optimize.selective.layers import layer_names

PERCENTILE = 99.99
_SHIFT = 18  # 23 bits of mantissa, of which 5 stay
_BINS = 1 << (32 - _SHIFT)
_STEPS = 255
# shares of the range that the rule mse tries
_LIMITS = numpy.concatenate([numpy.linspace(1.0, 0.5, 51), numpy.geomspace(0.5, 2.0**-13, 64)[1:]])
Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Ranges by a rule.

    Attributes:
        ranges: tensor name → range; the model's inputs and outputs are not among them.
        notes: what was done.
    """

    ranges: dict[str, Range]
    notes: tuple[str, ...]


def choose(content: bytes, source: str, rows: Rows, found: Mapping[str, Range], rule: RangeRule) -> Chosen:
    """Ranges for the tensors inside of a float model.

    Its inputs and outputs keep minimum and maximum: what an app feeds is never clipped, and neither is the answer.

    Args:
        content: of the float32 .tflite.
        source: its name, for messages.
        rows: to calibrate with; gone through once.
        found: tensor name → minimum and maximum over these rows.
        rule: ``percentile`` (99.99) or ``mse``; ``minmax`` changes nothing.

    Raises:
        ModelError: the model does not run.
        DataError: rows that would ruin the model.
    """
    if rule == "minmax":
        return Chosen(ranges={}, notes=())
    counts = _counted(content, source, rows, found)
    ranges = {name: _by_rule(count, found[name], rule) for name, count in counts.items()}
    shares = [_width(ranges[name]) / _width(found[name]) for name in ranges if _width(found[name]) > 0]
    named = f"{PERCENTILE:g} % percentile" if rule == "percentile" else "least squared error"
    narrower = sum(1 for share in shares if share < 0.99)
    note = f"ranges by {named}: {narrower} of {len(ranges)} activations narrower than by minimum and maximum"
    if narrower:
        name = min((n for n in ranges if _width(found[n]) > 0), key=lambda n: _width(ranges[n]) / _width(found[n]))
        note += f", most of all {layer_names(content, source).get(name, name)!r} ({min(shares):.3g} of the width)"
    return Chosen(ranges=ranges, notes=(note, "the model's inputs and outputs keep minimum and maximum"))


def _counted(content: bytes, source: str, rows: Rows, found: Mapping[str, Range]) -> dict[str, Array]:
    """Tensor name → how many values fell into each bin."""
    model = Activations(content, source)
    places = {name: index for name, index in inner_floats(model.model).items() if name in found}
    counts: dict[str, Array] = {}
    for row in rows():
        model.run(row)
        for name, index in places.items():
            values = model.value(index)
            if values is not None and values.size:
                bits = numpy.ascontiguousarray(values, numpy.float32).reshape(-1).view(numpy.uint32) >> _SHIFT
                here = numpy.bincount(bits, minlength=_BINS)
                counts[name] = counts[name] + here if name in counts else here
    return counts


@cache
def _ladder() -> tuple[Array, Array, Array]:
    """Numbers of the bins from the most negative value to the largest one, and both ends of each."""
    positive = numpy.arange(_BINS // 2 - 32, dtype=numpy.uint32)  # the last 32 are infinities and NaN
    low = (positive << _SHIFT).view(numpy.float32).astype(numpy.float64)
    high = numpy.append(low[1:], float(numpy.finfo(numpy.float32).max))
    order = numpy.concatenate([(positive + _BINS // 2)[::-1], positive])
    return order, numpy.concatenate([-high[::-1], low]), numpy.concatenate([-low[::-1], high])


def _by_rule(counts: Array, found: Range, rule: RangeRule) -> Range:
    order, low, high = _ladder()
    held = counts[order]
    filled = held > 0
    if not filled.any():
        return found
    held, low, high = held[filled].astype(numpy.float64), low[filled], high[filled]
    chosen = _percentile(held, low, high) if rule == "percentile" else _least_error(held, low, high, found)
    # zero is always in: it must be exact, and a range without it would be widened anyway
    return max(found[0], min(chosen[0], 0.0)), min(found[1], max(chosen[1], 0.0))


def _percentile(held: Array, low: Array, high: Array) -> Range:
    upto = numpy.cumsum(held)
    tail = (1 - PERCENTILE / 100) * upto[-1]

    def at(target: float) -> float:
        place = min(int(numpy.searchsorted(upto, target)), len(held) - 1)
        within = (target - (upto[place] - held[place])) / held[place]
        return float(low[place] + min(1.0, max(0.0, within)) * (high[place] - low[place]))

    return at(tail), at(upto[-1] - tail)


def _least_error(held: Array, low: Array, high: Array, found: Range) -> Range:
    centre, width = (low + high) / 2, high - low
    largest = max(abs(found[0]), abs(found[1]))
    best, least = found, numpy.inf
    for limit in largest * _LIMITS:
        bottom, top = max(found[0], -limit), min(found[1], limit)
        bottom, top = min(bottom, 0.0), max(top, 0.0)
        step = (top - bottom) / _STEPS
        if step <= 0:
            continue
        inside = numpy.clip(centre, bottom, top)
        rounded = (inside - numpy.rint(inside / step) * step) ** 2
        # in a bin wider than a step the values lie anywhere between two steps
        error = numpy.where(width > step, step**2 / 12, rounded) + (centre - inside) ** 2
        total = float((held * error).sum())
        if total < least:
            best, least = (bottom, top), total
    return best


def _width(extent: Range) -> float:
    return max(extent[1], 0.0) - min(extent[0], 0.0)
