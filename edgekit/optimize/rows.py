"""Prepares the data of a run: who gets which rows, whether they are sound, and their fingerprints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgekit.core import decode
from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.data.check import check_dataset
from edgekit.data.dataset import open_dataset
from edgekit.data.findings import DataReport, FirstLayers, Role
from edgekit.data.spec import DataSpec, Splits
from edgekit.data.split import in_part, split

_ROLES: tuple[Role, ...] = ("evaluation", "representative", "training")
_MOST_CHECKED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChoice:
    """What the user gave: one dataset for all roles, or one for some of them."""

    data: DataSpec | None = None
    representative: DataSpec | None = None
    evaluation: DataSpec | None = None
    training: DataSpec | None = None

    @property
    def any(self) -> DataSpec | None:
        """A spec to take the preprocessing from: all have the same."""
        return self.data or self.evaluation or self.representative or self.training


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The rows of a run.

    Attributes:
        training, representative, evaluation: None where there is no such role.
        fingerprints: role → SHA-256 of content, choice of rows and preprocessing.
        counts: role → rows.
        labelled: the evaluation rows have labels.
        notices: what the checks found.
    """

    training: DataSpec | None = None
    representative: DataSpec | None = None
    evaluation: DataSpec | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    labelled: bool = False
    notices: tuple[Notice, ...] = ()


def prepare(
    choice: Mapping[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    num_classes: int | None,
    first_layers: Mapping[str, Any] | None,
    trains: bool,
    calibrates: bool,
    on_event: EventSink = ignore,
) -> Prepared:
    """Divides and checks the rows. Runs in the light child; arguments are records as JSON values.

    Raises:
        DataError: rows that cannot be used.
        UsageError: a role that is needed has no data.
    """
    given = decode.from_json(DataChoice, dict(choice), source="data")
    specs = [decode.from_json(TensorSpec, dict(item), source="model inputs") for item in inputs]
    layers = None if first_layers is None else decode.from_json(FirstLayers, dict(first_layers), source="model")
    with task("check the data", on_event):
        splits = _divided(given, specs, trains=trains, calibrates=calibrates)
        fingerprints: dict[str, str] = {}
        counts: dict[str, int] = {}
        labelled, notices = False, list(splits.notices)
        scored: DataReport | None = None
        for role in _ROLES:
            spec: DataSpec | None = getattr(splits, role)
            if spec is None or (role == "representative" and not calibrates):
                continue
            dataset = open_dataset(spec, inputs=specs)
            report = check_dataset(
                dataset,
                specs,
                role=role,
                num_classes=num_classes,
                first_layers=layers,
                max_rows=_MOST_CHECKED,
                reference_range=(scored.minimum, scored.maximum) if scored else None,
            )
            scored = report if role == "evaluation" else scored
            labelled = labelled or (role == "evaluation" and dataset.has_labels)
            fingerprints[role], counts[role] = dataset.fingerprint(), dataset.count
            notices += report.notices
    return Prepared(
        training=splits.training,
        representative=splits.representative if calibrates else None,
        evaluation=splits.evaluation,
        fingerprints=fingerprints,
        counts=counts,
        labelled=labelled,
        notices=_distinct(notices),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roles:
    training: DataSpec | None
    representative: DataSpec | None
    evaluation: DataSpec | None
    notices: tuple[Notice, ...] = ()


def _divided(given: DataChoice, inputs: Sequence[TensorSpec], *, trains: bool, calibrates: bool) -> Splits | _Roles:
    if calibrates or trains:
        return split(
            given.data,
            given.representative,
            given.evaluation,
            given.training,
            needs_training=trains,
            inputs=inputs,
        )
    scoring = given.evaluation or given.data
    if scoring is None and given.representative is not None:
        raise DataError(
            "there is nothing to score with, and this recipe does not calibrate",
            hint="name the rows to score with: --evaluation FILE",
        )
    evaluation = None if scoring is None else in_part(scoring, "evaluation")
    return _Roles(training=None, representative=None, evaluation=evaluation)


def _distinct(notices: Sequence[Notice]) -> tuple[Notice, ...]:
    return tuple(dict.fromkeys(notices))
