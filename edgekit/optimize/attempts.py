"""A recipe at one strength after another, until it holds all budgets."""

from __future__ import annotations

from typing import Any

from edgekit.core.events import Event, EventSink
from edgekit.core.notice import Notice
from edgekit.optimize import backoff, budget
from edgekit.optimize.fold import Fold, Folded
from edgekit.optimize.recipe import Recipe
from edgekit.optimize.request import Request


class Attempts:
    """The attempts of one run.

    Attributes:
        attempts: what each one came to, as the manifest keeps it; none where no budget asks for several.
        notices: what became of the recipe, where it was not carried out as it stands.
    """

    def __init__(self, request: Request, fold: Fold, on_event: EventSink) -> None:
        self._request = request
        self._fold = fold
        self._on_event = on_event
        self.attempts: list[dict[str, Any]] = []
        self.notices: list[Notice] = []

    def best(self) -> Folded:
        """The recipe at the strength that holds all budgets.

        Raises:
            BudgetError: there is none; or the float model is not fed as it was trained.
        """
        given, budgets = self._request.recipe, self._request.budgets
        self._fold.begin()
        search = backoff.Search(resources=budgets.limits_resources)
        limited = (budgets.max_drop is not None or budgets.limits_resources) and backoff.can_back_off(given)
        strength: float | None = search.first() if limited else 1.0
        ends: dict[float, Folded] = {}
        while strength is not None:
            recipe = backoff.at_strength(given, strength)
            end = ends[strength] = self._fold.through(recipe)
            if not ends[strength].missed or len(ends) == 1:
                doubt = self._fold.scorer.feeding()
                budget.check_feeding(budgets, doubt, end.points)
            if not limited:
                break
            self._tried(end, strength)
            accurate = not any(miss.budget == "--max-drop" for miss in end.missed)
            small = all(miss.budget == "--max-drop" for miss in end.missed)
            strength = search.following(strength, accurate=accurate, small=small)
        if not limited:
            (end,) = ends.values()
            if end.missed:
                raise budget.failure(end.missed, self._fold.score(end.made), end.points, end.recipe)
            return end
        if search.best is None:
            end = min(ends.values(), key=lambda folded: sum(miss.excess for miss in folded.missed))
            raise budget.failure(end.missed, self._fold.score(end.made), end.points, given, self.attempts)
        self._explain(given, ends[search.best], search.best)
        return ends[search.best]

    def _tried(self, end: Folded, strength: float) -> None:
        """Keeps and tells how one attempt ended."""
        score = self._fold.score(end.made)
        measured = self._fold.measured.get(end.made.tflite)
        self.attempts.append(
            {
                "strength": strength,
                "steps": backoff.described(end.recipe),
                "drop": None if score is None else score.drop,
                "size_bytes": end.made.tflite.stat().st_size if end.complete else None,
                "latency_ns": None if measured is None else measured.latency_ns,
                "missed": [miss.text for miss in end.missed],
            }
        )
        verdict = "; ".join(miss.text for miss in end.missed) or "every budget holds"
        self._on_event(Event(state="note", task="budgets", message=f"{backoff.described(end.recipe)}: {verdict}"))

    def _explain(self, given: Recipe, end: Folded, strength: float) -> None:
        """What became of the recipe, where it was not carried out as it stands."""
        if strength == 1.0:
            return
        tried = f"{len(self.attempts)} tried"
        if strength == 0.0 and self._request.budgets.limits_resources:
            left = ", ".join(step.step for step in given.steps if step not in end.recipe.steps)
            text = f"good enough: {end.recipe.mode} alone holds every budget, so {left} was not needed"
        elif strength < 1.0:
            text = f"backed off to {backoff.described(end.recipe)} to hold the budgets ({tried})"
        else:
            text = f"went on to {backoff.described(end.recipe)} to hold the budgets ({tried})"
        code = "good-enough" if strength == 0.0 and self._request.budgets.limits_resources else "strength-changed"
        hint = "the steps as they were carried out are in the manifest" if strength else "the budgets decide"
        self.notices.append(Notice(code=code, message=text, hint=hint))
