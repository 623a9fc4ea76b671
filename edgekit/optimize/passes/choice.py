"""Which passes go around a quantization; none unless they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from edgekit.core.errors import UsageError
from edgekit.optimize.convert import check_mode

RangeRule = Literal["minmax", "percentile", "mse"]
RULES: tuple[RangeRule, ...] = get_args(RangeRule)
_MODES = ("int8", "int8-float-io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """The passes around a quantization to int8.

    Attributes:
        ranges: how the range of an activation follows from its values, see :mod:`edgekit.optimize.passes.ranges`.
        equalize: see :mod:`edgekit.optimize.passes.equalize`.
        bias_correction: see :mod:`edgekit.optimize.passes.bias`.
    """

    ranges: RangeRule = "minmax"
    equalize: bool = False
    bias_correction: bool = False


NO_PASSES = Passes()


def check_passes(mode: str, ranges: str, equalize: bool, bias_correction: bool) -> Passes:
    """The passes, if they fit the mode.

    Raises:
        UsageError: an unknown rule for the ranges, or a mode without 8-bit activations.
    """
    found = Passes(
        ranges=check_mode(ranges, RULES, "rule for the ranges"), equalize=equalize, bias_correction=bias_correction
    )
    if found != NO_PASSES and mode not in _MODES:
        wanted = [name for name in ("equalize", "bias_correction") if getattr(found, name)] or [f"ranges = {ranges!r}"]
        raise UsageError(
            f"{wanted[0]} is for the modes {' and '.join(_MODES)}, not {mode}",
            hint="leave it out: only 8-bit activations have too few steps for their range",
        )
    return found
