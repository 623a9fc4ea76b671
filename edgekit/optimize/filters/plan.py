"""How much of a model a cut will leave, counted on the model itself before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgekit.core.events import EventSink, ignore
from edgekit.model import load
from edgekit.model.describe import describe
from edgekit.optimize import written
from edgekit.optimize.filters.choose import Choice, choose
from edgekit.optimize.filters.criteria import scores
from edgekit.optimize.filters.graph import analyse
from edgekit.optimize.filters.spread import spread_by_sensitivity
from edgekit.optimize.filters.surgery import narrow

Scope = Literal["per-layer", "global", "sensitivity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What is left, as ratios of after to before.

    Attributes:
        macs: multiply-accumulates; None where they cannot be counted.
        parameters: of the model.
    """

    macs: float | None
    parameters: float


def plan(
    source: str,
    data: Mapping[str, Any] | None = None,
    *,
    ratio: float,
    ratios: Mapping[str, float] | None = None,
    scope: Scope = "per-layer",
    criterion: str = "l1",
    skip: Sequence[str] = (),
    round_to: int = 1,
    trust: bool = False,
    on_event: EventSink = ignore,
) -> Planned:
    """Cuts a copy of the model in ``source`` and counts; writes nothing. Runs in the TensorFlow child.

    Args:
        source, data, ratio, ratios, scope, criterion, skip, round_to, trust: see
            :func:`edgekit.optimize.filters.step.prune_filters`; ``taylor`` is counted as ``l1``, which removes as many.
        on_event: hears of a scan.

    Raises:
        EdgekitError: see :func:`edgekit.optimize.filters.step.prune_filters`.
    """
    ranked = "l1" if criterion == "taylor" else criterion
    wanted = dict(ratios or {})
    if scope == "sensitivity" and data is not None and ratio > 0:
        found, _ = spread_by_sensitivity(source, data, ratio, criterion=ranked, trust=trust, on_event=on_event)
        wanted = {**found, **wanted}
    choice = Choice(
        ratio=ratio,
        ratios=wanted,
        scope="global" if scope == "global" else "per-layer",
        skip=tuple(skip),
        round_to=round_to,
    )
    loaded = load.load_model(Path(source), trust=trust)
    try:
        written.check_layers(loaded, "pruned")
        whole = analyse(loaded.model, loaded.library)
        keep = choose(whole, scores(ranked, loaded.model, whole).values, choice)
        small = narrow(loaded.model, loaded.library, keep, dependencies=whole, compiled=False)
        before, after = describe(loaded), describe(replace(loaded, model=small))
    finally:
        load.forget()
    return Planned(
        macs=None if not before.macs or after.macs is None else after.macs / before.macs,
        parameters=after.parameters / max(1, before.parameters),
    )
