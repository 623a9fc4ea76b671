"""edgekit distill."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.made import needed, show_trained, without_project_output
from edgekit.cli.output import Output

app = new_app("Train a smaller model on the outputs of this one.")


@command(app, "distill", example="edgekit distill teacher.keras --data data.npz --width 0.5 -o student.keras")
def distill(
    model: Annotated[Path | None, typer.Argument(envvar="EDGEKIT_MODEL", help="The teacher: a Keras file.")] = None,
    *,
    rows: o.TrainingDataOptions,
    raw: o.PreprocessingOptions,
    student: Annotated[
        str | None, typer.Option("--student", help="Keras file of the smaller model (default: derived).")
    ] = None,
    width: Annotated[
        float | None, typer.Option("--width", help="Fraction of the channels of a derived student (0.5).")
    ] = None,
    derive: Annotated[
        str | None,
        typer.Option("--derive", help="filters: from the teacher's best filters; width: new weights (filters)."),
    ] = None,
    features: Annotated[bool, typer.Option("--features", help="Learn the feature maps too.")] = False,
    tuning: o.TuningOptions,
    making: o.MakingOptions,
    out: Output,
) -> None:
    """Train a smaller model to give the outputs of a larger one; needs no labels, and uses those there are."""
    from edgekit.verbs.techniques import distill as carry_out

    made = carry_out(
        needed(model, "MODEL"),
        **rows.arguments(),
        **raw.arguments(),
        **without_project_output(making).arguments(),
        on_event=out.on_event,
        student=student,
        width=width,
        derive=derive,
        features=features,
        **tuning.arguments(),
    )
    show_trained(made, out)
