"""edgekit optimize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.made import needed, show_artifact
from edgekit.cli.output import Output

app = new_app("The steps of a recipe in order, scored after each.")


@command(app, "optimize", example="edgekit optimize model.keras --data data.npz --recipe prune-int8 -o model.tflite")
def optimize(
    model: Annotated[
        Path | None, typer.Argument(envvar="EDGEKIT_MODEL", help="Keras file, SavedModel, .tflite.")
    ] = None,
    *,
    data: o.Data = None,
    representative: o.Representative = None,
    evaluation: o.Evaluation = None,
    training: o.Training = None,
    raw: o.PreprocessingOptions,
    recipe: Annotated[
        str, typer.Option("--recipe", envvar="EDGEKIT_RECIPE", help="Built-in name, or a recipe.toml of your own.")
    ] = "int8",
    list_recipes: Annotated[bool, typer.Option("--list-recipes", help="What recipes there are, and exit.")] = False,
    allow_float_fallback: o.AllowFloat = False,
    making: o.MakingOptions,
    out: Output,
) -> None:
    """Carry out a recipe: prune, quantize, convert; score, audit; write a .tflite with its manifest."""
    if list_recipes:
        _list(out)
        return
    from edgekit.verbs.optimize import optimize as carry_out

    artifact = carry_out(
        needed(model, "MODEL"),
        data=data,
        representative=representative,
        evaluation=evaluation,
        training=training,
        **raw.arguments(),
        recipe=recipe,
        allow_float_fallback=allow_float_fallback,
        **making.arguments(),
        on_event=out.on_event,
    )
    show_artifact(artifact, out)


def _list(out: Output) -> None:
    from edgekit.optimize.recipe import BUILTIN
    from edgekit.report.terminal import rows_table

    rows = [(recipe.name, recipe.description) for recipe in BUILTIN.values()]
    out.answer({"recipes": list(BUILTIN.values())}, rows_table(("recipe", "what it is for"), rows))
