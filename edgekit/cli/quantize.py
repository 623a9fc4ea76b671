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
    scale: o.Scale = None,
    mean: o.Mean = None,
    std: o.Std = None,
    preprocess: o.Preprocess = None,
    mode: Annotated[
        str, typer.Option("--mode", help="int8, int8-float-io, int16x8, dynamic, float16, float32.")
    ] = "int8",
    output: o.Output_ = None,
    metric: o.Metric = "auto",
    max_drop: o.MaxDrop = None,
    allow_float_fallback: o.AllowFloat = False,
    trust_model: o.TrustModel = False,
    no_cache: o.NoCache = False,
    out: Output,
) -> None:
    """Convert to a .tflite of one numeric mode, calibrated with representative rows."""
    from edgekit.verbs.optimize import quantize as carry_out

    artifact = carry_out(
        needed(model, "MODEL"),
        data=data,
        representative=representative,
        evaluation=evaluation,
        scale=scale,
        mean=mean,
        std=std,
        preprocess=preprocess,
        mode=mode,
        output=output,
        metric=metric,
        max_drop=max_drop,
        allow_float_fallback=allow_float_fallback,
        trust_model=trust_model,
        use_cache=not no_cache,
        on_event=out.on_event,
    )
    show_artifact(artifact, out)
