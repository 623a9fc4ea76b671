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
    rows: o.DataOptions,
    raw: o.PreprocessingOptions,
    mode: Annotated[
        str, typer.Option("--mode", help="int8, int8-float-io, int16x8, dynamic, float16, float32.")
    ] = "int8",
    selective: Annotated[
        bool, typer.Option("--selective", help="Find the layers that lose the accuracy, and keep those in float.")
    ] = False,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", help="A layer to keep out of int8, by name; may be repeated.")
    ] = None,
    equalize: Annotated[bool, typer.Option("--equalize", help="Cross-layer equalisation first.")] = False,
    bias_correction: Annotated[bool, typer.Option("--bias-correction", help="Correct mean errors in biases.")] = False,
    ranges: Annotated[
        str | None, typer.Option("--ranges", help="Of activations: minmax, percentile or mse (minmax).")
    ] = None,
    qat: Annotated[bool, typer.Option("--qat", help="Train with the quantization; int8 and int8-float-io.")] = False,
    preserve: Annotated[
        str | None, typer.Option("--preserve", help="What --qat keeps: none, sparsity, clusters, both (none).")
    ] = None,
    calibration_curve: Annotated[
        bool, typer.Option("--calibration-curve", help="Say how many rows are enough to calibrate with, and exit.")
    ] = False,
    tuning: o.TuningOptions,
    uint8_input: Annotated[
        bool, typer.Option("--uint8-input", help="Take --scale, --mean, --std into the model: feed it camera bytes.")
    ] = False,
    allow_float_fallback: o.AllowFloat = False,
    making: o.MakingOptions,
    out: Output,
) -> None:
    """Convert to a .tflite of one numeric mode, calibrated with representative rows."""
    from edgekit.core.errors import UsageError
    from edgekit.verbs.techniques import quantize as carry_out

    if calibration_curve:
        _curve(needed(model, "MODEL"), rows, raw, mode, making, out)
        return
    choices = {
        "--selective": selective,
        "--keep": keep,
        "--equalize": equalize,
        "--bias-correction": bias_correction,
        "--ranges": ranges,
    }
    training = {f"--{key.replace('_', '-')}": True for key in tuning.arguments()} | {"--preserve": preserve}
    wrong = [option for option, value in (choices if qat else training).items() if value]
    if wrong:
        raise UsageError(
            f"{wrong[0]} does not go {'with' if qat else 'without'} --qat",
            hint="--qat learns the ranges itself" if qat else "add --qat to train with the quantization",
        )
    given = {option[2:].replace("-", "_"): value for option, value in choices.items() if value}
    artifact = carry_out(
        needed(model, "MODEL"),
        **rows.arguments(),
        **raw.arguments(),
        mode=mode,
        qat=qat,
        preserve=preserve,
        **given,
        **tuning.arguments(),
        uint8_input=uint8_input,
        allow_float_fallback=allow_float_fallback,
        **making.arguments(),
        on_event=out.on_event,
    )
    show_artifact(artifact, out)


def _curve(
    model: Path, rows: o.DataOptions, raw: o.PreprocessingOptions, mode: str, making: o.MakingOptions, out: Output
) -> None:
    from edgekit.core.decode import to_json
    from edgekit.report import words
    from edgekit.report.terminal import rows_table
    from edgekit.verbs.optimize import calibration_curve

    given = {key: value for key, value in rows.arguments().items() if key != "evaluation"}
    found = calibration_curve(
        model,
        **given,
        **raw.arguments(),
        mode=mode,
        metric=making.metric,
        trust_model=making.trust_model,
        custom=tuple(making.custom or ()),
        use_cache=not making.no_cache,
        on_event=out.on_event,
    )
    table = [
        (
            point.count,
            f"{point.missing_mean:.1%}",
            f"{point.missing_max:.1%}",
            words.score(point.figures.score, found.metric),
            words.NOTHING if point.figures.snr_db is None else f"{point.figures.snr_db:.1f} dB",
            words.NOTHING if point.figures.cosine is None else f"{point.figures.cosine:.5f}",
        )
        for point in found.points
    ]
    headers = ("rows", "range missed", "at most", found.metric, "SNR", "cosine")
    out.answer({"curve": to_json(found)}, rows_table(headers, table, right=(0, 1, 2, 3, 4, 5)), found.verdict)
