"""edgekit prune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.made import needed, show_trained, without_project_output
from edgekit.cli.output import Output

app = new_app("Set small weights to zero, or remove filters, with fine-tuning.")


@command(app, "prune", example="edgekit prune model.keras --data data.npz --sparsity 0.5 -o pruned.keras")
def prune(
    model: Annotated[Path | None, typer.Argument(envvar="EDGEKIT_MODEL", help="Keras file or SavedModel.")] = None,
    *,
    rows: o.TrainingDataOptions,
    raw: o.PreprocessingOptions,
    sparsity: Annotated[
        float | None,
        typer.Option("--sparsity", help="Final fraction of zeros (0.5); of filters removed (0.3)."),
    ] = None,
    initial_sparsity: Annotated[float | None, typer.Option("--initial-sparsity", help="Where it begins.")] = None,
    pattern: Annotated[str, typer.Option("--pattern", help="unstructured, block, 2:4, filters.")] = "unstructured",
    criterion: Annotated[
        str | None,
        typer.Option("--criterion", help="Ranks filters: l1, l2, bn-scale, geometric-median, taylor (l1)."),
    ] = None,
    scope: Annotated[
        str | None, typer.Option("--scope", help="Of that fraction: per-layer, global, sensitivity (per-layer).")
    ] = None,
    iterations: Annotated[int | None, typer.Option("--iterations", help="Rounds of removing and fine-tuning.")] = None,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", help="A layer whose filters stay, by name; may be repeated.")
    ] = None,
    tuning: o.TuningOptions,
    making: o.MakingOptions,
    out: Output,
) -> None:
    """Set the smallest weights to zero, or remove whole filters; writes a model of the kind that was given."""
    from edgekit.core.errors import UsageError
    from edgekit.verbs.techniques import prune as carry_out

    filters = {"criterion": criterion, "scope": scope, "iterations": iterations, "skip": skip}
    weights = {"initial_sparsity": initial_sparsity}
    wrong = [key for key, value in (weights if pattern == "filters" else filters).items() if value is not None]
    if wrong:
        raise UsageError(
            f"--{wrong[0].replace('_', '-')} does not go with --pattern {pattern}",
            hint="leave it out" if pattern == "filters" else "it is for --pattern filters",
        )
    made = carry_out(
        needed(model, "MODEL"),
        **rows.arguments(),
        **raw.arguments(),
        **without_project_output(making).arguments(),
        on_event=out.on_event,
        sparsity=sparsity,
        pattern=pattern,
        **(filters if pattern == "filters" else weights),
        **tuning.arguments(),
    )
    show_trained(made, out, _layers(made.steps[-1].details))


def _layers(details: dict[str, Any]) -> Any:
    """What became of each layer."""
    from edgekit.cli.made import group_table
    from edgekit.report.terminal import rows_table

    if "groups" in details:
        return group_table(details)
    rows = [
        (layer["name"], layer["type"], f"{layer['weights']:,}", f"{layer['zeros'] / max(layer['weights'], 1):.1%}")
        for layer in details["layers"]
    ]
    rows += [(layer["name"], layer["type"], "", f"not pruned: {layer['reason']}") for layer in details["unpruned"]]
    return rows_table(("layer", "type", "weights", "zeros"), rows, right=(2,))
