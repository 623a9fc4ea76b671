"""edgekit optimize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.made import needed, show_artifact
from edgekit.cli.output import Output
from edgekit.cli.reaching import one_thread_count

app = new_app("The steps of a recipe in order, scored after each.")


@command(app, "optimize", example="edgekit optimize model.keras --data data.npz --recipe filters-int8 -o model.tflite")
def optimize(
    model: Annotated[
        Path | None, typer.Argument(envvar="EDGEKIT_MODEL", help="Keras file, SavedModel, .tflite.")
    ] = None,
    *,
    rows: o.DataOptions,
    raw: o.PreprocessingOptions,
    recipe: Annotated[
        str, typer.Option("--recipe", envvar="EDGEKIT_RECIPE", help="Built-in name, or a recipe.toml of your own.")
    ] = "int8",
    list_recipes: Annotated[bool, typer.Option("--list-recipes", help="What recipes there are, and exit.")] = False,
    forecast: Annotated[
        bool, typer.Option("--forecast", help="Say what each step will buy, before anything is trained, and exit.")
    ] = False,
    budgets: o.BudgetOptions,
    # not called device: a project's board is where it deploys to, and no reason to measure every step there
    board: Annotated[
        str | None, typer.Option("--device", help="Measure latency and memory of every step on this board.")
    ] = None,
    num_threads: o.NumThreads = None,
    way: o.BoardOptions,
    uint8_input: Annotated[
        bool, typer.Option("--uint8-input", help="Take --scale, --mean, --std into the model: feed it camera bytes.")
    ] = False,
    allow_float_fallback: o.AllowFloat = False,
    making: o.MakingOptions,
    out: Output,
) -> None:
    """Carry out a recipe: change, convert, score, audit; write a .tflite with its manifest.

    With a budget (--max-drop, --max-size, --max-latency, --max-memory) the steps back off until all hold.
    """
    if list_recipes:
        _list(out)
        return
    if forecast:
        _forecast(needed(model, "MODEL"), recipe, board, way, making, out)
        return
    from edgekit.verbs.optimize import optimize as carry_out

    artifact = carry_out(
        needed(model, "MODEL"),
        **rows.arguments(),
        **raw.arguments(),
        recipe=recipe,
        **budgets.arguments(),
        device=board,
        num_threads=one_thread_count(num_threads) if board is not None else None,
        reach=way.reach(),
        uint8_input=uint8_input,
        allow_float_fallback=allow_float_fallback,
        **making.arguments(),
        on_event=out.on_event,
    )
    show_artifact(artifact, out)


def _forecast(
    model: Path, recipe: str, board: str | None, way: o.BoardOptions, making: o.MakingOptions, out: Output
) -> None:
    from edgekit.core.decode import to_json
    from edgekit.report.terminal import forecast_table
    from edgekit.verbs.optimize import forecast

    found = forecast(
        model,
        recipe=recipe,
        device=board,
        reach=way.reach(),
        trust_model=making.trust_model,
        custom=tuple(making.custom or ()),
        use_cache=not making.no_cache,
        on_event=out.on_event,
    )
    out.answer({"forecast": to_json(found)}, forecast_table(to_json(found)))


def _list(out: Output) -> None:
    from edgekit.core.decode import to_json
    from edgekit.optimize.recipe import BUILTIN
    from edgekit.report.terminal import rows_table

    recipes = list(BUILTIN.values())
    rows = [(one.name, f"{one.description}\nneeds {one.needs}\nbuys {one.buys}") for one in recipes]
    out.answer(
        {"recipes": [{**to_json(recipe), "needs": recipe.needs} for recipe in recipes]},
        rows_table(("recipe", "what it does, needs and buys"), rows),
    )
