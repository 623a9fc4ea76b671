"""edgekit cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.made import needed, show_trained, without_project_output
from edgekit.cli.output import Output

app = new_app("Give the weights of each layer a few shared values, with fine-tuning.")


@command(app, "cluster", example="edgekit cluster model.keras --data data.npz --clusters 16 -o clustered.keras")
def cluster(
    model: Annotated[Path | None, typer.Argument(envvar="EDGEKIT_MODEL", help="Keras file or SavedModel.")] = None,
    *,
    rows: o.TrainingDataOptions,
    raw: o.PreprocessingOptions,
    clusters: Annotated[int | None, typer.Option("--clusters", help="Distinct values per layer (16).")] = None,
    initialization: Annotated[
        str | None,
        typer.Option("--initialization", help="kmeans++, linear, density-based, random (kmeans++)."),
    ] = None,
    preserve_sparsity: Annotated[bool, typer.Option("--preserve-sparsity", help="Zeros stay zero.")] = False,
    tuning: o.TuningOptions,
    making: o.MakingOptions,
    out: Output,
) -> None:
    """Give the weights of each layer a few shared values; the file gets smaller when it is compressed."""
    from edgekit.verbs.techniques import cluster as carry_out

    made = carry_out(
        needed(model, "MODEL"),
        **rows.arguments(),
        **raw.arguments(),
        **without_project_output(making).arguments(),
        on_event=out.on_event,
        clusters=clusters,
        initialization=initialization,
        preserve_sparsity=preserve_sparsity,
        **tuning.arguments(),
    )
    show_trained(made, out)
