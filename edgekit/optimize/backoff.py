"""Backing off: one strength for all steps of a recipe, bisected until every budget holds.

At strength 1 the recipe is as it was given; at 0 the steps that can be weakened are left out; above 1 they go further.
More strength costs accuracy and saves size, latency and memory, so the strengths that hold all budgets are an interval.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from edgekit.optimize.recipe import Recipe
from edgekit.optimize.steps import ClusterStep, DistillStep, FiltersStep, PruneStep, SparseStep, Step

STRONGEST = 2.0
_TRIES = 5
_FINE = 0.13
_WEAKEST = 0.05
"""A step that would remove less than this is left out: its training costs more than it saves."""
_FURTHEST = 0.9


def can_back_off(recipe: Recipe) -> bool:
    """Whether a step of it has a strength."""
    return any(
        isinstance(step, (PruneStep, FiltersStep, ClusterStep, DistillStep, SparseStep)) for step in recipe.steps
    )


def at_strength(recipe: Recipe, strength: float) -> Recipe:
    """The recipe with its steps weaker (below 1) or stronger (above)."""
    if strength == 1.0:
        return recipe
    steps = tuple(step for given in recipe.steps if (step := _scaled(given, strength)) is not None)
    return dataclasses.replace(recipe, steps=steps)


def described(recipe: Recipe) -> str:
    """``filters 0.25, prune 0.5``: the steps that have a strength; ``without`` any: what is left."""
    words = []
    for step in recipe.steps:
        if isinstance(step, FiltersStep):
            words.append(f"filters ratio {step.ratio:.3g}")
        elif isinstance(step, (PruneStep, SparseStep)):
            words.append(f"{step.step} sparsity {step.sparsity:.3g}")
        elif isinstance(step, ClusterStep):
            words.append(f"cluster {step.clusters} values")
        elif isinstance(step, DistillStep):
            words.append(f"distill width {step.width:.3g}")
    return ", ".join(words) or f"{recipe.mode} alone"


@dataclass(slots=True)
class Search:
    """Which strength to try next.

    Attributes:
        resources: whether size, latency or memory are limited: then the weakest sufficient strength is wanted, else
            the strongest that the accuracy allows.
        low: accuracy holds here.
        high: and not here.
        tried: strengths so far.
    """

    resources: bool
    low: float = 0.0
    high: float | None = None
    best: float | None = None
    tried: tuple[float, ...] = ()

    def first(self) -> float:
        """Nothing needs to be trained where the plain conversion holds the limits."""
        return 0.0 if self.resources else 1.0

    def following(self, strength: float, *, accurate: bool, small: bool) -> float | None:
        """The next strength; None: enough, ``best`` has the result, if there is one.

        Args:
            strength: that was tried.
            accurate: the accuracy budget held.
            small: the budgets of size, latency and memory held.
        """
        self.tried = (*self.tried, strength)
        if accurate and small:
            self.best = strength
            if self.resources or strength >= 1.0:
                return None
        if not accurate and not small:
            return None  # stronger loses more, weaker is larger
        if accurate:
            self.low = max(self.low, strength)
        else:
            self.high = strength if self.high is None else min(self.high, strength)
        return self._between()

    def _between(self) -> float | None:
        if len(self.tried) >= _TRIES + 1:
            return None
        if self.high is None:
            step = 1.0 if self.low < 1.0 else (self.low + STRONGEST) / 2
            return step if STRONGEST - self.low > _FINE else None
        if self.high - self.low <= _FINE:
            if self.best is None and not self.resources and 0.0 not in self.tried:
                return 0.0
            return None
        if self.high == 0.0:
            return None
        return (self.low + self.high) / 2


def _scaled(step: Step, strength: float) -> Step | None:
    if isinstance(step, PruneStep):
        sparsity = 0.5 if step.pattern == "2:4" else _fraction(step.sparsity, strength)
        if sparsity < _WEAKEST or (step.pattern == "2:4" and strength < 0.5):
            return None
        return dataclasses.replace(step, sparsity=sparsity, initial_sparsity=min(step.initial_sparsity, sparsity))
    if isinstance(step, FiltersStep):
        ratio = _fraction(step.ratio, strength)
        ratios = {layer: _fraction(given, strength) for layer, given in step.ratios.items()}
        if max(ratio, *ratios.values(), 0.0) < _WEAKEST:
            return None
        return dataclasses.replace(step, ratio=ratio, ratios=ratios)
    if isinstance(step, DistillStep):
        removed = _fraction(1 - step.width, strength)
        if removed < _WEAKEST or (step.student is not None and strength < 0.5):
            return None
        return step if step.student is not None else dataclasses.replace(step, width=1 - removed)
    if isinstance(step, ClusterStep):
        if strength < _WEAKEST:
            return None
        clusters = step.clusters * (256 / step.clusters) ** (1 - strength) if strength < 1 else step.clusters / strength
        return dataclasses.replace(step, clusters=max(2, round(clusters)))
    if isinstance(step, SparseStep):
        if strength < 0.5:
            return None  # below two thirds the sparse kernels are not taken
        weaker = 0.7 + (step.sparsity - 0.7) * max(0.0, 2 * strength - 1)
        return dataclasses.replace(step, sparsity=weaker if strength < 1 else _fraction(step.sparsity, strength))
    return step


def _fraction(given: float, strength: float) -> float:
    """Of what is removed: towards nothing below 1, towards nine tenths above."""
    if strength <= 1.0:
        return given * strength
    return given + max(0.0, _FURTHEST - given) * (strength - 1.0) / (STRONGEST - 1.0)
