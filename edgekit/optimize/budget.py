"""Budgets: what a result may cost in accuracy, size, latency and memory, and what a run says when one does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.core import decode, units
from edgekit.core.artifact import Measured, Score
from edgekit.core.errors import BudgetError
from edgekit.core.notice import Notice
from edgekit.optimize.made import Made
from edgekit.optimize.recipe import Recipe
from edgekit.optimize.steps import FiltersStep, PruneStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What the result may cost; None: anything.

    Attributes:
        max_drop: percentage points of a score that is a fraction, else percent of it.
        max_size_bytes: of the .tflite.
        max_latency_ns: median on the device.
        max_memory_bytes: peak resident memory on the device.
    """

    max_drop: float | None = None
    max_size_bytes: int | None = None
    max_latency_ns: int | None = None
    max_memory_bytes: int | None = None

    @property
    def needs_device(self) -> bool:
        """Whether one of them can only be judged on a board."""
        return self.max_latency_ns is not None or self.max_memory_bytes is not None

    @property
    def limits_resources(self) -> bool:
        """Whether there is one beside the accuracy's."""
        return self.max_size_bytes is not None or self.needs_device


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One budget that did not hold.

    Attributes:
        budget: its option, ``--max-size``.
        excess: how far beyond, as a fraction of what is allowed; for ``--max-drop`` in points.
        text: found against allowed, in words.
    """

    budget: str
    excess: float
    text: str


def misses(
    budgets: Budgets, score: Score | None, size_bytes: int | None, measured: Measured | None
) -> tuple[Miss, ...]:
    """The budgets that do not hold; what is None is not judged."""
    found = []
    drop = None if score is None else score.drop
    if budgets.max_drop is not None and drop is not None and drop > budgets.max_drop + 1e-9:
        text = f"drop {drop:.2f} (--max-drop {budgets.max_drop:g})"
        found.append(Miss(budget="--max-drop", excess=drop - budgets.max_drop, text=text))
    latency = None if measured is None else measured.latency_ns
    memory = None if measured is None else measured.peak_rss_bytes
    for option, value, allowed, shown in (
        ("--max-size", size_bytes, budgets.max_size_bytes, units.size),
        ("--max-latency", latency, budgets.max_latency_ns, units.duration),
        ("--max-memory", memory, budgets.max_memory_bytes, units.size),
    ):
        if value is not None and allowed is not None and value > allowed:
            about = " emulated" if option == "--max-latency" and measured is not None and measured.emulated else ""
            text = f"{shown(value)}{about} ({option} {shown(allowed)})"
            found.append(Miss(budget=option, excess=value / max(1, allowed) - 1, text=text))
    return tuple(found)


def failure(
    missed: Sequence[Miss], score: Score | None, points: Sequence[Made], recipe: Recipe, tried: Sequence[Any] = ()
) -> BudgetError:
    """What a run ends with that holds not all of its budgets.

    Args:
        missed: the budgets that do not hold; at least one.
        score: of the nearest result.
        points: what its steps made.
        recipe: that they belong to, for the way out.
        tried: the account of every attempt, as JSON values.
    """
    details: dict[str, Any] = {"files": _files(points), "missed": decode.to_json(list(missed))}
    if score is not None:
        details["score"] = {"float": score.reference, **decode.to_json(score)}
    if tried:
        details["attempts"] = list(tried)
    first = missed[0]
    message = "; ".join(miss.text for miss in missed)
    if first.budget == "--max-drop" and score is not None and score.final is not None:
        assert score.drop is not None
        message = (
            f"{score.metric} dropped by {score.drop:.2f} points from {score.reference:.4f} to {score.final:.4f} "
            f"({score.count} rows) with the step {points[-1].name!r}, more than {first.text.partition('(')[2][:-1]}"
        )
        message += "".join(f"; {miss.text}" for miss in missed[1:])
    else:
        message = f"the result of {recipe.name} is over budget: {message}"
    if len(tried) > 1:
        message = f"no strength of {recipe.name} holds every budget ({len(tried)} tried); nearest miss: {message}"
    return BudgetError(message, hint=_way_out(recipe, first), details=details)


def check_feeding(budgets: Budgets, doubt: Notice | None, points: Sequence[Made]) -> None:
    """Raises where there is a budget, but the float model does not get what it was trained on: no drop would show it.

    Raises:
        BudgetError: see there.
    """
    if budgets.max_drop is not None and doubt is not None:
        raise BudgetError(doubt.message, hint=doubt.hint, details={"files": _files(points)})


def _files(points: Sequence[Made]) -> list[dict[str, str]]:
    return [{"step": made.name, "path": str(made.model or made.tflite)} for made in points]


def _way_out(recipe: Recipe, miss: Miss) -> str:
    if miss.budget != "--max-drop":
        hints = ["--recipe filters-int8 makes it smaller and faster"] if recipe.name != "filters-int8" else []
        return "; ".join([*hints, "or allow more; the intermediate files are named in --json"])
    hints = ["check that the data are preprocessed as in training (--scale, --mean, --std)"]
    if recipe.mode in ("int8", "int8-float-io"):
        hints.append("try --recipe selective-int8, qat-int8 or float16")
    if any(isinstance(step, (PruneStep, FiltersStep)) for step in recipe.steps):
        hints.append("fine-tune for more epochs")
    return "; ".join(hints) + "; the intermediate files are named in --json"
