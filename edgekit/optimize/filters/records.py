"""What filter pruning tells: the groups that lost channels, the layers left whole, how exact it was, what it buys."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.core.notice import Notice
from edgekit.optimize.filters.exactness import Exactness


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCut:
    """A group of channels before and after.

    Attributes:
        name: path of the first layer that makes them.
        layers: paths of all that make them, cut alike.
        unit: ``filters``, ``units``, ``heads`` or ``dimensions``.
        before: how many there were.
        after: how many are left.
        criterion: that ranked them.
    """

    name: str
    layers: tuple[str, ...]
    unit: str
    before: int
    after: int
    criterion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftWhole:
    """A group that lost nothing, and why."""

    name: str
    layers: tuple[str, ...]
    unit: str
    channels: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FiltersPruned:
    """A model with fewer filters.

    Attributes:
        path: the new file.
        criterion: asked for; ``groups`` has the one that was used.
        scope: ``per-layer`` or ``global``.
        groups: those that lost channels.
        left: those that did not.
        parameters_before, parameters: of the model.
        macs_before, macs: multiply-accumulates of one sample; None where they cannot be told.
        exactness: of each round.
        statistics_rows: rows that BatchNormalization statistics were computed from; 0: they were not.
        steps: of fine-tuning.
        loss: which one was trained with; empty where nothing was trained.
        losses: its mean in each epoch.
        notes: what a person should read.
        notices: what the user can act on.
    """

    path: str
    criterion: str
    scope: str
    groups: tuple[GroupCut, ...]
    left: tuple[LeftWhole, ...]
    parameters_before: int
    parameters: int
    macs_before: int | None
    macs: int | None
    exactness: tuple[Exactness, ...]
    statistics_rows: int
    steps: int
    loss: str
    losses: tuple[float, ...]
    notes: tuple[str, ...]
    notices: tuple[Notice, ...]
