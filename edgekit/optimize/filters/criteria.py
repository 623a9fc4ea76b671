"""What a channel is worth: one score per channel of a group, by several criteria behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import DataError, UsageError
from edgekit.core.suggest import unknown
from edgekit.optimize.filters.channels import Cut
from edgekit.optimize.filters.graph import Dependencies, Group
from edgekit.optimize.filters.nodes import leaves

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

CRITERIA = ("l1", "l2", "bn-scale", "geometric-median", "taylor")
Gradients = Callable[[], Iterator[Mapping[int, "Array"]]]
"""Batch by batch: id of a weight → gradient of the loss with respect to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What the channels are worth.

    Attributes:
        values: group → one number per channel, larger is worth more; comparable within a group only.
        used: group → the criterion that gave them.
        notes: where another criterion than the one asked for was used.
    """

    values: Mapping[str, Array]
    used: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Slices:
    """One cut of one weight, its axis first."""

    cut: Cut
    weight: Any
    places: Array  # position along the axis → position in the group, or -1

    def rows(self, values: Array) -> Array:
        """[positions of the group's channels, all other values]."""
        import numpy

        return numpy.moveaxis(values, self.cut.axis, 0).reshape(self.cut.ids.size, -1)


def check_criterion(name: str) -> None:
    """Raises:
    UsageError: there is no such criterion.
    """
    if name not in CRITERIA:
        message, hint = unknown("criterion", name, CRITERIA)
        raise UsageError(message, hint=hint)


def scores(criterion: str, model: Any, dependencies: Dependencies, gradients: Gradients | None = None) -> Scores:
    """Ranks the channels of every group.

    Args:
        criterion: ``l1`` (sum of magnitudes; Li et al. 2017, arXiv:1608.08710), ``l2``, ``bn-scale`` (magnitude of
            BatchNormalization's scale; Liu et al. 2017, arXiv:1708.06519; ``l1`` where there is none),
            ``geometric-median`` (distance from the other filters; He et al. 2019, arXiv:1811.00250), ``taylor``
            (squared gradient times weight; Molchanov et al. 2019, arXiv:1906.10771).
        model: whose weights are looked at.
        dependencies: of it.
        gradients: for ``taylor``.

    Raises:
        UsageError: no such criterion.
        DataError: ``taylor`` without rows to take gradients on.
    """
    check_criterion(criterion)
    slices = _slices(model, dependencies)
    if criterion == "taylor":
        if gradients is None:
            raise DataError(
                "the criterion 'taylor' needs training rows with labels, to take gradients on",
                hint="give labelled data with --data, or use --criterion l1",
            )
        return Scores(
            values=_taylor(dependencies, slices, gradients),
            used={group.name: criterion for group in dependencies.groups},
        )
    values: dict[str, Array] = {}
    used: dict[str, str] = {}
    for group in dependencies.groups:
        found = _RANKINGS[criterion](group, slices[group.name])
        used[group.name] = criterion if found is not None else "l1"
        values[group.name] = found if found is not None else _l1(group, slices[group.name])
    fallen = [group.name for group in dependencies.groups if used[group.name] != criterion and not group.frozen]
    notes = (f"no {criterion} for {', '.join(fallen)}: {_WHY[criterion]}; ranked by l1 instead",) if fallen else ()
    return Scores(values=values, used=used, notes=notes)


def _slices(model: Any, dependencies: Dependencies) -> dict[str, list[_Slices]]:
    """Group → the cuts that touch its channels."""
    import numpy

    owner: dict[int, tuple[str, int]] = {}
    for group in dependencies.groups:
        owner.update((channel, (group.name, place)) for place, channel in enumerate(group.channels.tolist()))
    found: dict[str, list[_Slices]] = {group.name: [] for group in dependencies.groups}
    for _, layer in leaves(model):
        part = dependencies.parts.get(id(layer))
        for cut in part.cuts.values() if part else ():
            owners = [owner.get(channel, ("", -1)) for channel in dependencies.channels.roots(cut.ids).tolist()]
            for name in {name for name, _ in owners if name}:
                places = numpy.array([place if own == name else -1 for own, place in owners])
                found[name].append(_Slices(cut, layer.weights[cut.weight], places))
    return found


def _summed(
    group: Group, slices: list[_Slices], roles: tuple[str, ...], each: Callable[[Array], Array]
) -> Array | None:
    """Per channel the sum of ``each`` (values [n, m] → [n]) over all its slices of these roles."""
    import numpy

    total = numpy.zeros(group.channels.size)
    touched = False
    for item in slices:
        if item.cut.role in roles:
            touched = True
            inside = item.places >= 0
            rows = item.rows(numpy.asarray(item.weight).astype(numpy.float64))
            numpy.add.at(total, item.places[inside], each(rows[inside]))
    return total if touched else None


def _l1(group: Group, slices: list[_Slices]) -> Array:
    import numpy

    found = _summed(group, slices, ("filter",), lambda rows: numpy.abs(rows).sum(axis=1))
    assert found is not None  # what makes channels has a kernel
    return found


def _l2(group: Group, slices: list[_Slices]) -> Array:
    import numpy

    found = _summed(group, slices, ("filter",), lambda rows: (rows**2).sum(axis=1))
    assert found is not None
    result: Array = numpy.sqrt(found)
    return result


def _bn_scale(group: Group, slices: list[_Slices]) -> Array | None:
    import numpy

    return _summed(group, slices, ("scale",), lambda rows: numpy.abs(rows).sum(axis=1))


def _geometric_median(group: Group, slices: list[_Slices]) -> Array | None:
    """Sum of the distances to all other filters of the group; None where filters have several slices of a weight."""
    import numpy

    pieces = []
    for item in slices:
        if item.cut.role != "filter":
            continue
        inside = item.places >= 0
        order = numpy.argsort(item.places[inside], kind="stable")
        rows = item.rows(numpy.asarray(item.weight).astype(numpy.float64))[inside][order]
        if rows.shape[0] % group.channels.size:
            return None
        pieces.append(rows.reshape(group.channels.size, -1))
    filters = numpy.concatenate(pieces, axis=1)
    squares = (filters**2).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * filters @ filters.T
    result: Array = numpy.sqrt(numpy.maximum(distances, 0.0)).sum(axis=1)
    return result


def _taylor(dependencies: Dependencies, slices: Mapping[str, list[_Slices]], gradients: Gradients) -> dict[str, Array]:
    """The mean over batches of (sum of gradient × weight)², at BatchNormalization where there is one, else the filter.

    Behind a BatchNormalization the filter's own product is that of its scale before the normalization, which says
    less about the channel.
    """
    import numpy

    chosen: dict[str, tuple[str, ...]] = {}
    for group in dependencies.groups:
        normalized = any(item.cut.role == "scale" for item in slices[group.name])
        chosen[group.name] = ("scale", "shift") if normalized else ("filter", "bias")
    totals = {group.name: numpy.zeros(group.channels.size) for group in dependencies.groups}
    batches = 0
    for found in gradients():
        batches += 1
        for group in dependencies.groups:
            gate = numpy.zeros(group.channels.size)
            for item in slices[group.name]:
                if item.cut.role in chosen[group.name] and id(item.weight) in found:
                    inside = item.places >= 0
                    product = item.rows(found[id(item.weight)] * numpy.asarray(item.weight))
                    numpy.add.at(gate, item.places[inside], product[inside].sum(axis=1))
            totals[group.name] += gate**2
    return {name: total / max(1, batches) for name, total in totals.items()}


_RANKINGS: dict[str, Callable[[Group, list[_Slices]], Array | None]] = {
    "l1": _l1,
    "l2": _l2,
    "bn-scale": _bn_scale,
    "geometric-median": _geometric_median,
}
_WHY = {
    "bn-scale": "no BatchNormalization with a scale stands behind it",
    "geometric-median": "its channels have unequal numbers of filters",
    "l1": "",
    "l2": "",
}
