"""What users write, as recipes, steps and requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from edgekit.optimize.recipe import Recipe
    from edgekit.optimize.request import Request
    from edgekit.optimize.steps import Step


def recipe_of(recipe: str | PathLike[str] | Recipe) -> Recipe:
    """A recipe as a user may give it: a built-in name, a TOML file, or the record."""
    from os import fspath

    from edgekit.optimize.recipe import Recipe, load_recipe

    return recipe if isinstance(recipe, Recipe) else load_recipe(fspath(recipe))


def request_of(
    model: str | PathLike[str],
    recipe: Recipe,
    output: str | PathLike[str] | None,
    sources: dict[str, str | None],
    preprocessing: dict[str, Any],
    **options: Any,
) -> Request:
    """The request for a recipe on a model; ``options`` are the request's own fields."""
    from pathlib import Path

    from edgekit.optimize.request import Request
    from edgekit.verbs.datasets import choice

    source = Path(model)
    out = Path(output) if output is not None else Path(f"{source.stem}-{recipe.name}.tflite")
    return Request(model=source, recipe=recipe, data=choice(sources, preprocessing), output=out, **options)


def step_of(kind: type[Step], parameters: Mapping[str, Any], verb: str) -> Step:
    """A step from the parameters that a user gave to ``verb``.

    Raises:
        UsageError: one that there is not, or that does not fit.
    """
    from edgekit.core import decode
    from edgekit.core.errors import UsageError

    try:
        return decode.from_json(kind, dict(parameters), source=verb)
    except ValueError as error:
        raise UsageError(f"{verb}: {error}") from None
