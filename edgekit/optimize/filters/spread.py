"""A ratio for the whole model spread over its groups by what each one costs: sensitive groups lose less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekit.core.events import EventSink, ignore
from edgekit.optimize.filters.sensitivity import Sensitivity, scan

_SCANNED = (0.2, 0.4, 0.6, 0.8)
_MOST_LOST = 100.0  # points
_HALVINGS = 24


def spread_by_sensitivity(
    source: str,
    data: Mapping[str, Any],
    ratio: float,
    *,
    criterion: str,
    trust: bool = False,
    on_event: EventSink = ignore,
) -> tuple[dict[str, float], str]:
    """Group → fraction to remove, such that ``ratio`` of all channels go, and a sentence about it.

    Every group goes as far as it can without losing more points alone than the others (the sensitivity of Li et al.
    2017, section 3.2, with one threshold for all).

    Args:
        source: Keras 3 or tf_keras model.
        data: training rows as JSON values.
        ratio: of all channels that may go.
        criterion, trust: see :func:`edgekit.optimize.filters.sensitivity.scan`.
        on_event: hears how far it is.

    Raises:
        EdgekitError: see :func:`edgekit.optimize.filters.sensitivity.scan`.
    """
    found = scan(source, data, ratios=_SCANNED, criterion=criterion, trust=trust, on_event=on_event)
    ratios = spread(found, ratio)
    most, least = max(ratios, key=lambda name: ratios[name]), min(ratios, key=lambda name: ratios[name])
    return ratios, (
        f"ratios spread by sensitivity on {found.count} training rows: from {ratios[least]:.0%} of {least} "
        f"to {ratios[most]:.0%} of {most}"
    )


def spread(found: Sensitivity, ratio: float) -> dict[str, float]:
    """Group → fraction; the mean over all channels is ``ratio``, as far as every group may lose its most."""
    low, high = 0.0, _MOST_LOST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _mean(found, found.proposed_ratios(middle)) >= ratio else (middle, high)
    below, above = found.proposed_ratios(low), found.proposed_ratios(high)
    first, second = _mean(found, below), _mean(found, above)
    if first >= ratio:  # even what costs nothing is more than is wanted
        return {name: value * ratio / max(first, 1e-9) for name, value in below.items()}
    share = 1.0 if second <= first else min(1.0, (ratio - first) / (second - first))
    return {name: value + (above[name] - value) * share for name, value in below.items()}


def _mean(found: Sensitivity, ratios: Mapping[str, float]) -> float:
    total = sum(group.channels for group in found.groups)
    return sum(group.channels * ratios[group.name] for group in found.groups) / max(1, total)
