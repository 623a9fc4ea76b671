"""edgekit quantize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.made import needed, show_artifact
from edgekit.cli.output import Output

app = new_app("Convert to a .tflite: int8, int16x8, dynamic, float16.")


@command(app, "quantize", example="edgekit quantize model.keras --data data.npz --mode int8 -o model.tflite")
def quantize(
    model: Annotated[
        Path | None, typer.Argument(envvar="EDGEKIT_MODEL", help="Keras file, SavedModel, .tflite.")
    ] = None,
    *,
    data: o.Data = None,
    representative: o.Representative = None,
    evaluation: o.Evaluation = None,
    raw: o.PreprocessingOptions,
    mode: Annotated[
        str, typer.Option("--mode", help="int8, int8-float-io, int16x8, dynamic, float16, float32.")
    ] = "int8",
    allow_float_fallback: o.AllowFloat = False,
    making: o.MakingOptions,
    out: Output,
) -> None:
    """Convert to a .tflite of one numeric mode, calibrated with representative rows."""
    from edgekit.verbs.optimize import quantize as carry_out

    artifact = carry_out(
        needed(model, "MODEL"),
        data=data,
        representative=representative,
        evaluation=evaluation,
        **raw.arguments(),
        mode=mode,
        allow_float_fallback=allow_float_fallback,
        **making.arguments(),
        on_event=out.on_event,
    )
    show_artifact(artifact, out)
