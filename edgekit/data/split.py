"""Which rows train, calibrate and evaluate: never the same ones for calibrating and evaluating."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import islice

import numpy

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError, UsageError
from edgekit.core.notice import Notice
from edgekit.data.block import Array
from edgekit.data.dataset import open_dataset
from edgekit.data.sources import parts_of
from edgekit.data.spec import DataSpec, Splits

REPRESENTATIVE_ROWS = 200
HELD_OUT = 0.2
_COMPARED_ROWS = 50_000
_CHANCE = 0.001  # well-known datasets have a few identical images in both parts


def split(
    data: DataSpec | None,
    representative: DataSpec | None = None,
    evaluation: DataSpec | None = None,
    training: DataSpec | None = None,
    *,
    needs_training: bool = False,
    needs_representative: bool = True,
    seed: int = 0,
    inputs: Sequence[TensorSpec] | None = None,
) -> Splits:
    """Gives every role its rows.

    A role with a dataset of its own uses all of it. The others share ``data``: a source with parts (``x_train`` and
    ``x_test``) is used by its parts; else its rows are permuted (``seed``): 20 % evaluate, the others train, and
    representative rows come from those that train; where nothing trains, min(200, 20 %) are representative and the
    others evaluate.

    Args:
        data: shared by the roles that have none of their own.
        representative: calibrates.
        evaluation: scores.
        training: fine-tunes.
        needs_training: whether a step of the recipe trains.
        needs_representative: whether a step of the recipe calibrates.
        seed: of the permutation.
        inputs: the model's, so that several arrays of one file are understood.

    Raises:
        UsageError: a role that needs data has none.
        DataError: a source that cannot be opened, or has too few rows to share.
    """
    needed = {"training": needs_training, "representative": needs_representative, "evaluation": True}
    given = {"training": training, "representative": representative, "evaluation": evaluation}
    given = {role: spec if needed[role] else None for role, spec in given.items()}
    given = {role: None if spec is None else in_part(spec, role) for role, spec in given.items()}
    wanted = [role for role, spec in given.items() if spec is None and needed[role]]
    notices: list[Notice] = []
    if wanted and data is None:
        _check_enough(wanted)
    elif data is not None and wanted:
        parts = parts_of(data) if data.part is None and data.rows is None else ()
        shared = _by_parts(data, parts, wanted, seed, inputs) if parts else _by_rows(data, wanted, seed, inputs)
        given.update(shared)
        notices += _order_notices(data, inputs)
    notices += _overlaps(given, inputs)
    return Splits(
        training=given["training"],
        representative=given["representative"],
        evaluation=given["evaluation"],
        notices=tuple(notices),
    )


def in_part(spec: DataSpec, role: str) -> DataSpec:
    """A spec of a source with parts, settled on the part for this role (``evaluation``: test, else train)."""
    if spec.part is not None:
        return spec
    parts = parts_of(spec)
    if not parts:
        return spec
    return dataclasses.replace(spec, part=_evaluation_part(parts) if role == "evaluation" else "train")


def _evaluation_part(parts: tuple[str, ...]) -> str:
    return "test" if "test" in parts else parts[-1]


def _check_enough(wanted: list[str]) -> None:
    if "representative" in wanted:
        raise UsageError(
            "there are no data to calibrate with",
            hint="give --data FILE (all roles), or --representative FILE and --evaluation FILE",
        )
    if "training" in wanted:
        raise UsageError("there are no data to train with", hint="give --data FILE: its rows train and evaluate")


def _by_parts(
    data: DataSpec, parts: tuple[str, ...], wanted: list[str], seed: int, inputs: Sequence[TensorSpec] | None
) -> dict[str, DataSpec | None]:
    train = dataclasses.replace(data, part="train")
    given: dict[str, DataSpec | None] = {}
    if len(parts) == 1:
        return _by_rows(train, wanted, seed, inputs)
    for role in wanted:
        given[role] = dataclasses.replace(data, part=_evaluation_part(parts)) if role == "evaluation" else train
    if "representative" in wanted:
        order = _permuted(train, seed, inputs)
        given["representative"] = _rows(train, order[:REPRESENTATIVE_ROWS])
    return given


def _by_rows(
    data: DataSpec, wanted: list[str], seed: int, inputs: Sequence[TensorSpec] | None
) -> dict[str, DataSpec | None]:
    if wanted == ["evaluation"]:
        return {"evaluation": data}
    order = _permuted(data, seed, inputs)
    given: dict[str, DataSpec | None] = {}
    if "evaluation" in wanted:
        if len(order) < 2:
            raise DataError(
                f"{data.source} has {len(order)} row: the same row cannot calibrate and evaluate",
                hint="give more rows, or --representative and --evaluation",
            )
        fewest = min(REPRESENTATIVE_ROWS, max(1, round(len(order) * HELD_OUT)))
        held = max(1, round(len(order) * HELD_OUT)) if "training" in wanted else len(order) - fewest
        given["evaluation"] = _rows(data, order[:held])
        order = order[held:]
        if "training" in wanted:
            given["training"] = _rows(data, order)
    elif "training" in wanted:
        given["training"] = data
    if "representative" in wanted:
        given["representative"] = _rows(data, order[:REPRESENTATIVE_ROWS])
    return given


def _permuted(spec: DataSpec, seed: int, inputs: Sequence[TensorSpec] | None) -> Array:
    rows = spec.rows if spec.rows is not None else range(open_dataset(spec, inputs=inputs).count)
    return numpy.random.default_rng(seed).permutation(numpy.asarray(rows, numpy.int64))


def _rows(spec: DataSpec, rows: Array) -> DataSpec:
    return dataclasses.replace(spec, rows=tuple(sorted(int(row) for row in rows)))


def _order_notices(data: DataSpec, inputs: Sequence[TensorSpec] | None) -> list[Notice]:
    """A function that yields another order every time would put the same samples into two roles."""
    if ":" not in data.source:
        return []
    first = dataclasses.replace(data, rows=None)
    hashes = [list(islice(open_dataset(first, inputs=inputs).row_hashes(), 8)) for _ in range(2)]
    if hashes[0] == hashes[1]:
        return []
    return [
        Notice(
            code="data-order-changes",
            message=f"{data.source} yields other samples each time it is called: the roles may share rows",
            hint="seed its random numbers, or give --representative and --evaluation",
        )
    ]


def _overlaps(given: dict[str, DataSpec | None], inputs: Sequence[TensorSpec] | None) -> list[Notice]:
    evaluation = given["evaluation"]
    if evaluation is None:
        return []
    scored: set[bytes] | None = None
    found = []
    for role in ("representative", "training"):
        spec = given[role]
        if spec is None or _disjoint(spec, evaluation):
            continue
        if scored is None:
            scored = set(_first_hashes(evaluation, inputs))
        hashes = _first_hashes(spec, inputs)
        common = sum(1 for item in hashes if item in scored)
        if common > _CHANCE * len(hashes):
            most = max(len(hashes), len(scored))
            capped = f" (the first {_COMPARED_ROWS} of each were compared)" if most >= _COMPARED_ROWS else ""
            found.append(
                Notice(
                    code="overlapping-rows",
                    message=f"{common} of {len(hashes)} {role} rows are evaluation rows too{capped}: "
                    "the score flatters the model",
                    hint="keep the evaluation rows apart, or give only --data and let edgekit divide it",
                )
            )
    return found


def _disjoint(one: DataSpec, other: DataSpec) -> bool:
    """Known without reading: other rows of the same source."""
    same = (one.source, one.part) == (other.source, other.part)
    return same and one.rows is not None and other.rows is not None and not set(one.rows) & set(other.rows)


def _first_hashes(spec: DataSpec, inputs: Sequence[TensorSpec] | None) -> list[bytes]:
    return list(islice(open_dataset(spec, inputs=inputs).row_hashes(), _COMPARED_ROWS))
