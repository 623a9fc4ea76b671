"""What each step of a recipe paid: the recipe again without it."""

from __future__ import annotations

import dataclasses

from edgekit.core import files, units
from edgekit.core.artifact import Ablation
from edgekit.core.events import Event, EventSink
from edgekit.optimize.fold import Fold, Folded
from edgekit.optimize.recipe import Recipe
from edgekit.optimize.steps import QatStep, QuantizeStep


def ablated(fold: Fold, end: Folded, on_event: EventSink) -> tuple[Ablation, ...]:
    """The recipe carried out again without each of its steps; a step that changes nothing is left out."""
    found: list[Ablation] = []
    for index, step in enumerate(end.recipe.steps):
        without = _without(end.recipe, index)
        if without is None:
            continue
        other = fold.through(without, to_the_end=True)
        fold.measure((other.made,))
        score = fold.score(other.made)
        found.append(
            Ablation(
                without=step.step,
                size_bytes=other.made.tflite.stat().st_size,
                gzip_bytes=files.gzip_size(other.made.tflite),
                macs=fold.counted(other.made)[0],
                score=None if score is None else score.final,
                drop=None if score is None else score.drop,
                measured=fold.measured.get(other.made.tflite),
            )
        )
        on_event(
            Event(
                state="note",
                task="ablate",
                message=f"without {step.step}: {units.size(other.made.tflite.stat().st_size)}",
            )
        )
    return tuple(found)


def _without(recipe: Recipe, index: int) -> Recipe | None:
    """The recipe without one step; the last one becomes a plain conversion. None where nothing would change."""
    step = recipe.steps[index]
    rest = (*recipe.steps[:index], *recipe.steps[index + 1 :])
    if isinstance(step, QuantizeStep):
        if step.mode == "float32":
            return None
        rest = (*rest, QuantizeStep(mode="float32"))
    elif isinstance(step, QatStep):
        rest = (*rest, QuantizeStep(mode=step.mode))
    return dataclasses.replace(recipe, steps=rest)
