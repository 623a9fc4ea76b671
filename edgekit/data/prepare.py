"""Everything that must be known of the data before work starts, found out in a child process.

The user's functions run there too: what they import, print or break stays out of our process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgekit.core.artifact import TensorSpec
from edgekit.core.child import Child, ChildDied, run_once
from edgekit.core.decode import from_json
from edgekit.core.errors import DataError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.data.findings import DataReport, FirstLayers, Role
from edgekit.data.spec import DataChoice, Splits

_ORDER: tuple[Role, ...] = ("evaluation", "representative", "training")  # the first is what the others are held to


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedData:
    """Rows of every role, checked.

    Attributes:
        splits: the rows of each role.
        reports: role → what its check found.
        fingerprints: role → SHA-256 of everything that its rows depend on.
        has_labels: role → whether its rows have labels.
    """

    splits: Splits = field(default_factory=Splits)
    reports: dict[str, DataReport] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    has_labels: dict[str, bool] = field(default_factory=dict)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """All notices, the same one once."""
        every = [*self.splits.notices, *(notice for report in self.reports.values() for notice in report.notices)]
        return tuple(dict.fromkeys(every))


def prepare_data(
    choice: DataChoice,
    *,
    inputs: Sequence[TensorSpec],
    needs_training: bool = False,
    needs_representative: bool = True,
    seed: int = 0,
    num_classes: int | None = None,
    first_layers: FirstLayers | None = None,
    child: Child | None = None,
    time_limit_s: float = 6 * 3600,
    on_event: EventSink = ignore,
) -> PreparedData:
    """Divides the rows between the roles (:func:`edgekit.data.split.split`), checks them and takes fingerprints.

    Args:
        choice: what the user gave.
        needs_training, needs_representative, seed: see :func:`edgekit.data.split.split`.
        inputs: the model's.
        num_classes, first_layers: see :func:`edgekit.data.check.check_dataset`.
        child: a process to work in that is there already; None: a fresh one.
        time_limit_s: for all of it.
        on_event: hears what is being checked.

    Raises:
        UsageError: a role without data; a function that cannot be found.
        DataError: data that cannot be read or do not fit the model.
    """
    return from_json(
        PreparedData,
        _in_child(
            "edgekit.data.prepare:prepare_here",
            child,
            time_limit_s,
            on_event,
            choice=choice,
            inputs=list(inputs),
            needs_training=needs_training,
            needs_representative=needs_representative,
            seed=seed,
            num_classes=num_classes,
            first_layers=first_layers,
        ),
        source="the data",
    )


def prepare_here(
    choice: Mapping[str, Any],
    inputs: Sequence[Any],
    needs_training: bool,
    needs_representative: bool,
    seed: int,
    num_classes: int | None,
    first_layers: Any,
    on_event: EventSink = ignore,
) -> PreparedData:
    """What :func:`prepare_data` does, in this process; takes JSON values."""
    from edgekit.data.check import check_dataset
    from edgekit.data.dataset import open_dataset
    from edgekit.data.split import split

    wanted = from_json(tuple[TensorSpec, ...], inputs, source="the model's inputs")
    layers = first_layers and from_json(FirstLayers, first_layers, source="the model's first layers")
    given = from_json(DataChoice, choice, source="the data")
    splits = split(
        given.data,
        given.representative,
        given.evaluation,
        given.training,
        needs_training=needs_training,
        needs_representative=needs_representative,
        seed=seed,
        inputs=wanted,
    )
    reports: dict[str, DataReport] = {}
    fingerprints: dict[str, str] = {}
    has_labels: dict[str, bool] = {}
    reference: tuple[float, float] | None = None
    for role in _ORDER:
        spec = getattr(splits, role)
        if spec is None:
            continue
        with task(f"check the {role} data", on_event):
            dataset = open_dataset(spec, inputs=wanted)
            reports[role] = check_dataset(
                dataset,
                wanted,
                role=role,
                reference_range=reference,
                num_classes=num_classes,
                first_layers=layers,
            )
            fingerprints[role], has_labels[role] = dataset.fingerprint(), dataset.has_labels
        if role == "evaluation":
            reference = (reports[role].minimum, reports[role].maximum)
    return PreparedData(splits=splits, reports=reports, fingerprints=fingerprints, has_labels=has_labels)


def _in_child(function: str, child: Child | None, time_limit_s: float, on_event: EventSink, **arguments: Any) -> Any:
    try:
        if child is not None:
            return child.call(function, time_limit_s=time_limit_s, on_event=on_event, **arguments)
        return run_once(
            function, purpose="reading of the data", time_limit_s=time_limit_s, on_event=on_event, **arguments
        )
    except ChildDied as death:
        raise DataError(death.message, hint=death.hint, details={"log": death.log_tail}) from death
