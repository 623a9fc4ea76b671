"""Which channels stay: by layer or over the whole model, with a floor under every group."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from edgekit.core.errors import UsageError
from edgekit.core.suggest import unknown
from edgekit.optimize.filters.graph import Dependencies, Group

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_FLOOR = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How many channels go.

    Attributes:
        ratio: fraction of every group, or (``scope`` global) of all channels that may go.
        ratios: layer → fraction for the group that it belongs to, instead of ``ratio``.
        scope: ``per-layer`` or ``global``.
        skip: layers whose groups stay whole.
        round_to: the channels that stay are a multiple of this where the group has as many.
    """

    ratio: float = 0.3
    ratios: Mapping[str, float] = field(default_factory=dict)
    scope: Literal["per-layer", "global"] = "per-layer"
    skip: tuple[str, ...] = ()
    round_to: int = 1

    def __post_init__(self) -> None:
        for name, value in (("ratio", self.ratio), *((f"ratios.{k}", v) for k, v in self.ratios.items())):
            if not 0.0 <= value < 1.0:
                raise UsageError(f"{name} must be between 0 and below 1, found {value:g}", hint="e.g. --ratio 0.3")
        if self.round_to < 1:
            raise UsageError(f"round_to must be 1 or more, found {self.round_to}", hint="e.g. --round-to 8")


def choose(
    dependencies: Dependencies,
    scores: Mapping[str, Array],
    choice: Choice,
    *,
    sizes: Mapping[str, int] | None = None,
    progress: float = 1.0,
) -> dict[str, list[int]]:
    """The positions of the channels that stay, for every group of which some go.

    Args:
        dependencies: of the model.
        scores: group → worth per channel.
        choice: how many.
        sizes: group → channels in the beginning, where this is a later round; None: it is the first.
        progress: part of the way that this round ends at, 0 to 1.

    Raises:
        UsageError: a layer of ``ratios`` or ``skip`` that is not there, or whose channels must stay.
    """
    chosen = _fractions(dependencies, choice)
    begin = {group.name: group.channels.size for group in dependencies.groups} | dict(sizes or {})
    last = progress >= 1.0
    if choice.scope == "global":
        goals = _global_goals(dependencies, scores, choice, chosen, begin, progress)
    else:
        goals = {name: begin[name] * (1 - fraction * progress) for name, fraction in chosen.items()}
    keep: dict[str, list[int]] = {}
    for group in dependencies.groups:
        if group.name not in goals:
            continue
        if sizes is not None and group.name not in sizes:
            continue  # an earlier round parted it from its group (a grouped convolution of one group left): cut already
        count = _rounded(goals[group.name], group, begin[group.name], choice.round_to if last else 1)
        if count < group.channels.size:
            keep[group.name] = _best(group, scores[group.name], count)
    return keep


def prunable(dependencies: Dependencies, skip: tuple[str, ...] = ()) -> list[Group]:
    """The groups of which channels may go.

    Raises:
        UsageError: a layer of ``skip`` that is not there.
    """
    left = {group.name for name in skip for group in owners(dependencies, name, "skip")}
    return [group for group in dependencies.groups if group.frozen is None and group.name not in left]


def owners(dependencies: Dependencies, name: str, what: str) -> list[Group]:
    """The groups that a name means: a group's, a layer's that makes or passes on its channels, an inner model's.

    Raises:
        UsageError: it means none; ``what`` it was given for is told.
    """
    groups = dependencies.groups
    found = [group for group in groups if group.name == name] or [group for group in groups if name in group.layers]
    found = found or [group for group in groups if any(layer.startswith(f"{name}/") for layer in group.layers)]
    parts = {part.path: part for part in dependencies.parts.values()}
    if not found and name in parts:
        channels = {
            channel
            for cut in parts[name].cuts.values()
            if cut.role != "input"
            for channel in dependencies.channels.roots(cut.ids).tolist()
        }
        found = [group for group in groups if channels.intersection(group.channels.tolist())]
        if not found:
            return []  # a layer without channels of its own
    if not found:
        names = {layer for group in groups for layer in group.layers} | {group.name for group in groups}
        message, hint = unknown("layer", name, names)
        raise UsageError(f"{what}: {message}", hint=hint)
    return found


def _fractions(dependencies: Dependencies, choice: Choice) -> dict[str, float]:
    found = {group.name: choice.ratio for group in prunable(dependencies, choice.skip)}
    for name, ratio in choice.ratios.items():
        means = owners(dependencies, name, "ratios")
        if ratio > 0 and means and all(group.frozen for group in means):
            raise UsageError(f"ratios.{name}: its channels must stay: {means[0].frozen}", hint="take it out")
        found.update((group.name, ratio) for group in means if group.name in found)
    return found


def _global_goals(
    dependencies: Dependencies,
    scores: Mapping[str, Array],
    choice: Choice,
    chosen: Mapping[str, float],
    begin: Mapping[str, int],
    progress: float,
) -> dict[str, float]:
    """How many channels of each group stay when the least of all go, groups with a ratio of their own apart.

    Scores are divided by the root of their mean square in the group, or else the layers with large weights would win
    (Molchanov et al. 2017, arXiv:1611.06440).
    """
    import numpy

    goals = {name: begin[name] * (1 - ratio * progress) for name, ratio in chosen.items()}
    own = {group.name for name in choice.ratios for group in owners(dependencies, name, "ratios")}
    together = [group for group in dependencies.groups if group.name in chosen and group.name not in own]
    ranked: list[tuple[float, str]] = []
    counts = {group.name: group.channels.size for group in together}
    for group in together:
        values = scores[group.name] / max(1e-30, float(numpy.sqrt(numpy.mean(scores[group.name] ** 2))))
        ranked += [(float(v), group.name) for v, why in zip(values, group.reasons) if why is None]
    surplus = sum(counts.values()) - round(sum(begin[name] for name in counts) * (1 - choice.ratio * progress))
    for _, name in sorted(ranked):
        if surplus <= 0:
            break
        if counts[name] > _least(begin[name]):
            counts[name] -= 1
            surplus -= 1
    return {**goals, **{name: float(count) for name, count in counts.items()}}


def _least(size: int) -> int:
    return max(1, math.ceil(size * _FLOOR))


def _rounded(goal: float, group: Group, begin: int, round_to: int) -> int:
    """Channels that stay: near the goal, at least the floor and all that must, a multiple where one is asked for."""
    size = group.channels.size
    count = max(math.floor(goal + 0.5), _least(begin), sum(reason is not None for reason in group.reasons))
    count = math.ceil(count / round_to) * round_to
    return min(size, count)


def _best(group: Group, scores: Array, count: int) -> list[int]:
    import numpy

    forced = numpy.array([reason is not None for reason in group.reasons])
    order = numpy.lexsort((-scores, ~forced))
    return sorted(int(place) for place in order[:count])
