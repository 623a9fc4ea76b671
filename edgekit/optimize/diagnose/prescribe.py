"""The recipe that follows from a diagnosis, and its text as a file that `edgekit optimize --recipe` reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from edgekit.core.decode import to_json
from edgekit.optimize.diagnose.evidence import (
    USUAL_RATIO,
    WORTH_BYTES,
    Evidence,
    deepest,
    int8_hurts,
    is_convolution,
    is_untrained,
    prefers_dynamic,
    sensitive_to_cuts,
)
from edgekit.optimize.diagnose.recommend import Point
from edgekit.optimize.recipe import Recipe
from edgekit.optimize.steps import FiltersStep, PruneStep, QuantizeStep, Step

_WORTH_CUTTING = 0.3  # of the work: less would not be seen in the latency


def prescribe(found: Evidence) -> Recipe | None:
    """The steps that pay for this model; None where there is nothing left to do.

    Filters are removed where layers that have some do much of the work; weights are pruned where only the bytes are in
    dense layers; int8 ends it, selective where it hurts, ``dynamic`` where recurrent layers are much of the model.
    """
    if found.integer:
        return None
    steps: list[Step] = []
    mode_of_last = _last(found)
    trainable = found.library in ("keras", "tf_keras") and not is_untrained(found)
    fine_tuning: dict[str, Any] = {"fine_tune": "distill"} if found.labels is False else {}
    if trainable and found.part(lambda share: is_convolution(share) or share.kind == "dense") >= _WORTH_CUTTING:
        ratios = {cut.layer: ratio for cut in found.cuts if (ratio := deepest(cut)) is not None}
        skip = sensitive_to_cuts(found)
        if not found.cuts or len(skip) < len(found.cuts):
            steps.append(FiltersStep(ratio=USUAL_RATIO, ratios=ratios, skip=skip, **fine_tuning))
    elif trainable and sum(share.bytes for share in found.shares if share.kind == "dense") >= max(
        WORTH_BYTES, _WORTH_CUTTING * found.size_bytes
    ):
        steps.append(PruneStep(**fine_tuning))
    steps.append(mode_of_last)
    what = " and ".join(step.step for step in steps)
    return Recipe(name=f"{found.model}-diagnosed", description=f"{what}, from the diagnosis", steps=tuple(steps))


def _last(found: Evidence) -> QuantizeStep:
    if prefers_dynamic(found):
        return QuantizeStep(mode="dynamic")
    return QuantizeStep(mode="int8", selective=int8_hurts(found))


def recipe_text(recipe: Recipe, points: Sequence[Point] = ()) -> str:
    """A recipe as TOML: what differs from the defaults, and above it why."""
    import tomlkit

    document = tomlkit.document()
    for point in points:
        document.add(tomlkit.comment(f"{point.text} ({point.reason})"))
    document.add("name", tomlkit.item(recipe.name))
    document.add("description", tomlkit.item(recipe.description))
    steps = tomlkit.aot()
    for step in recipe.steps:
        table = tomlkit.table()
        table.add("step", step.step)
        for key, value in _given(step).items():
            if isinstance(value, dict):
                inline = tomlkit.inline_table()
                inline.update(value)
                table.add(key, inline)
            else:
                table.add(key, value)
        steps.append(table)
    document.add("steps", steps)
    return tomlkit.dumps(document)


def _given(step: Step) -> dict[str, Any]:
    """The parameters that are not the defaults, and the one that each step is about."""
    plain = type(step)()
    told = {"filters": "ratio", "prune": "sparsity", "quantize": "mode"}.get(step.step)
    return {
        field.name: to_json(getattr(step, field.name))
        for field in fields(step)
        if field.name != "step" and (field.name == told or getattr(step, field.name) != getattr(plain, field.name))
    }
