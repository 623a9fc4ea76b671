"""edgekit convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.made import needed, show_artifact
from edgekit.cli.output import Output

app = new_app("Convert to a float32 .tflite.")


@command(app, "convert", example="edgekit convert model.keras -o model.tflite")
def convert(
    model: Annotated[
        Path | None, typer.Argument(envvar="EDGEKIT_MODEL", help="Keras file, SavedModel, .tflite.")
    ] = None,
    *,
    data: o.Data = None,
    evaluation: o.Evaluation = None,
    raw: o.PreprocessingOptions,
    making: o.MakingOptions,
    out: Output,
) -> None:
    """Convert to a float32 .tflite, the baseline of everything else."""
    from edgekit.verbs.techniques import convert as carry_out

    artifact = carry_out(
        needed(model, "MODEL"),
        data=data,
        evaluation=evaluation,
        **raw.arguments(),
        **making.arguments(),
        on_event=out.on_event,
    )
    show_artifact(artifact, out)
