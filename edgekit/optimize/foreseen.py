"""Forecasts beside what came out: each step's expectation before it was done, and whether it came true."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.core import decode
from edgekit.core.artifact import Measured, StepRecord
from edgekit.data.spec import DataSpec
from edgekit.optimize.forecast.compare import compare
from edgekit.optimize.forecast.records import Forecast
from edgekit.optimize.made import Made, Source
from edgekit.optimize.recipe import Recipe
from edgekit.optimize.steps import ClusterStep, DistillStep, FiltersStep, PruneStep, Step, parameters
from edgekit.optimize.workers import Workers


def forecasts(
    baseline: Made,
    source: Source,
    recipe: Recipe,
    target: Mapping[str, str | None] | None,
    workers: Workers,
    training: DataSpec | None = None,
) -> tuple[Forecast, ...]:
    """One for each step, from the float32 .tflite; cuts are counted on a copy of the model.

    Args:
        baseline: the float32 .tflite.
        source: what it was made from.
        recipe: the steps.
        target: ``abi`` and ``device``; None: no board was named.
        workers: do it.
        training: rows, for cuts that depend on them; None: those are forecast as if they did not.

    Raises:
        ModelError: the file cannot be read.
    """
    answer = workers.light(
        "edgekit.optimize.forecast.forecast:forecast",
        source_tflite=str(baseline.tflite),
        steps=[decode.to_json(step) for step in recipe.steps],
        target=None if target is None else dict(target),
        expected=_planned(baseline, source, recipe, workers, training),
    )
    found = decode.from_json(tuple[Forecast, ...], answer, source="forecast", lenient=True)
    if training is None and any(_looks_at_rows(step) for step in recipe.steps):
        first = next(index for index, step in enumerate(recipe.steps) if _looks_at_rows(step))
        note = "which layers lose most is found out with training rows; this is counted as if all lost alike"
        found = (
            *found[:first],
            dataclasses.replace(found[first], notes=(*found[first].notes, note)),
            *found[first + 1 :],
        )
    return found


def _looks_at_rows(step: Step) -> bool:
    return isinstance(step, FiltersStep) and step.scope == "sensitivity"


def _planned(
    baseline: Made, source: Source, recipe: Recipe, workers: Workers, training: DataSpec | None
) -> dict[str, Any]:
    """What the recipe's cut will leave, counted; empty where it has none, or where it follows a change of the graph."""
    found: dict[str, Any] = {}
    for step in recipe.steps if baseline.export is not None else ():
        if training is None and _looks_at_rows(step):
            break
        if isinstance(step, FiltersStep):
            keys = ("ratio", "ratios", "scope", "criterion", "skip", "round_to")
            wanted = {key: value for key, value in parameters(step).items() if key in keys}
        elif isinstance(step, DistillStep) and step.student is None:
            wanted = {"ratio": 1 - step.width}
        elif isinstance(step, (PruneStep, ClusterStep)):
            continue  # the graph stays as it is
        else:
            break
        answer = workers.heavy(
            "edgekit.optimize.filters.plan:plan",
            source=str(source.path),
            data=training,
            trust=source.trust,
            **wanted,
        )
        if answer["macs"] is not None:
            found[step.step] = answer
        break
    return found


def with_forecasts(records: Sequence[StepRecord], expected: Sequence[Forecast]) -> tuple[StepRecord, ...]:
    """The records, each beside its forecast and whether that agrees with what came out."""
    waiting = list(expected)
    done: list[StepRecord] = []
    for record in records:
        match = next((one for one in waiting if one.name == record.name), None) if done else None
        if match is None:
            done.append(record)
            continue
        del waiting[: waiting.index(match) + 1]
        found: dict[str, Any] = {
            "size_bytes": record.size_bytes,
            "gzip_bytes": record.gzip_bytes,
            "macs": record.macs,
            "parameters_count": record.parameters_count,
            **_latency(done[-1].measured, record.measured),
        }
        agreement = compare(match, found)
        done.append(
            dataclasses.replace(
                record, forecast={"expected": decode.to_json(match), "agreement": decode.to_json(agreement)}
            )
        )
    return tuple(done)


def _latency(before: Measured | None, after: Measured | None) -> dict[str, Any]:
    """Ratio of the medians, with the widest interval that both intervals allow; none of an emulated board."""
    if before is None or after is None or not before.latency_ns or not after.latency_ns:
        return {}
    if before.emulated or after.emulated:
        return {}
    found: dict[str, Any] = {"latency_ratio": after.latency_ns / before.latency_ns}
    if before.ci95_ns and after.ci95_ns and before.ci95_ns[0] > 0:
        found["latency_ratio_ci95"] = (after.ci95_ns[0] / before.ci95_ns[1], after.ci95_ns[1] / before.ci95_ns[0])
    return found
