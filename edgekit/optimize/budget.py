"""The accuracy budget: how much of the score may be lost, and what a run says when it is spent."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.core import decode
from edgekit.core.artifact import Score
from edgekit.core.errors import BudgetError
from edgekit.core.notice import Notice
from edgekit.optimize.recipe import PruneStep, Recipe
from edgekit.optimize.stages import Made


def check_drop(budget: float | None, score: Score | None, points: Sequence[Made], recipe: Recipe) -> None:
    """Raises where more was lost than ``budget`` allows (None: everything).

    Args:
        budget: percentage points of a fraction, else percent.
        score: after the last of the ``points``, which are what the steps made so far.
        recipe: that they belong to, for the way out.

    Raises:
        BudgetError: names the step, and every file made so far.
    """
    if budget is None or score is None or score.drop is None or score.drop <= budget + 1e-9:
        return
    raise BudgetError(
        f"{score.metric} dropped by {score.drop:.2f} points from {score.reference:.4f} to {score.final:.4f} "
        f"({score.count} rows) with the step {points[-1].name!r}, more than --max-drop {budget:g}",
        hint=_way_out(recipe),
        details={"score": {"float": score.reference, **decode.to_json(score)}, "files": _files(points)},
    )


def check_feeding(budget: float | None, doubt: Notice | None, points: Sequence[Made]) -> None:
    """Raises where there is a budget, but the float model does not get what it was trained on: no drop would show it.

    Raises:
        BudgetError: see there.
    """
    if budget is not None and doubt is not None:
        raise BudgetError(doubt.message, hint=doubt.hint, details={"files": _files(points)})


def _files(points: Sequence[Made]) -> list[dict[str, str]]:
    return [{"step": made.name, "path": str(made.model or made.tflite)} for made in points]


def _way_out(recipe: Recipe) -> str:
    hints = ["check that the data are preprocessed as in training (--scale, --mean, --std)"]
    if recipe.mode in ("int8", "int8-float-io"):
        hints.append("try --recipe float16, or mode int16x8 in a recipe file")
    if any(isinstance(step, PruneStep) for step in recipe.steps):
        hints.append("prune less, or fine-tune for more epochs")
    return "; ".join(hints) + "; the intermediate files are named in --json"
