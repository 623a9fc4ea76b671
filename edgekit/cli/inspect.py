"""edgekit inspect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.output import Output
from edgekit.core import units

if TYPE_CHECKING:
    from edgekit.core.artifact import TensorSpec
    from edgekit.model.description import Flatbuffer, ModelDescription, Network

app = new_app("What is in a model file: layers or ops, sizes, inputs and outputs.")


@command(app, "inspect", example="edgekit inspect model.keras --diagnose --data data.npz --device pi4")
def inspect(
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="Keras file, SavedModel folder or .tflite.")],
    *,
    diagnose: Annotated[
        bool,
        typer.Option(
            "--diagnose", help="Where work, bytes and time are, what to do about it, and the recipe for that."
        ),
    ] = False,
    data: o.Data = None,
    raw: o.PreprocessingOptions,
    # not called device: a project's board is where it deploys to, and no reason to diagnose there
    board: Annotated[
        str | None, typer.Option("--device", help="With --diagnose: take the time of each layer on this board.")
    ] = None,
    recipe_out: Annotated[
        Path | None, typer.Option("--recipe-out", help="With --diagnose: write the recipe to this .toml file.")
    ] = None,
    way: o.BoardOptions,
    trust_model: o.TrustModel = False,
    custom: o.Custom = None,
    out: Output,
) -> None:
    """Show format, inputs and outputs, layers or ops, parameters, MACs, sizes; for a .tflite what it needs to run."""
    from edgekit.core.decode import to_json
    from edgekit.core.errors import UsageError
    from edgekit.report.terminal import facts_table
    from edgekit.verbs.inspect import inspect as read

    if diagnose:
        _diagnose(
            path,
            {
                "data": data,
                "device": board,
                "trust_model": trust_model,
                "custom": tuple(custom or ()),
                **raw.arguments(),
            },
            way,
            recipe_out,
            out,
        )
        return
    for option, value in (("--device", board), ("--recipe-out", recipe_out)):
        if value is not None:
            raise UsageError(f"{option} is for --diagnose", hint=f"edgekit inspect {path} --diagnose {option} {value}")
    found = read(path, trust_model=trust_model, custom=tuple(custom or ()), on_event=out.on_event)
    out.notices(found.notices)
    parts: list[Any] = [facts_table(_facts(found))]
    if found.network is not None:
        parts.append(_layers(found.network))
    if found.flatbuffer is not None:
        parts.append(_ops(found.flatbuffer))
    out.answer(to_json(found), *parts)


def _diagnose(path: Path, options: dict[str, Any], way: o.BoardOptions, recipe_out: Path | None, out: Output) -> None:
    from edgekit.cli.diagnosis import document, recipe_part, renderables
    from edgekit.core import files
    from edgekit.core.errors import UsageError
    from edgekit.verbs.diagnose import diagnose

    if recipe_out is not None:
        if recipe_out.suffix != ".toml":
            raise UsageError(f"{recipe_out} does not end in .toml", hint=f"--recipe-out {recipe_out}.toml")
        files.check_writable(recipe_out)
    found = diagnose(path, **options, reach=way.reach(), on_event=out.on_event)
    out.notices(found.notices)
    if recipe_out is not None and found.recipe_text is None:
        out.say(f"{recipe_out} was not written: there is nothing left to do for this model")
    last = recipe_part(found)
    if recipe_out is not None and found.recipe_text is not None:
        files.write_bytes(recipe_out, found.recipe_text.encode())
        last = ["", f"wrote {recipe_out}: edgekit optimize {path} --recipe {recipe_out} --data DATA"]
    out.answer(document(found), *renderables(found), *last)


def _facts(found: ModelDescription) -> list[tuple[str, object]]:
    library = f"{found.format.name}"
    if found.format.library_version:
        library += f", written by {found.format.library} {found.format.library_version}"
    rows: list[tuple[str, object]] = [
        ("model", found.path),
        ("format", library),
        ("size", f"{units.size(found.size_bytes)}, {units.size(found.gzip_bytes)} compressed"),
        ("parameters", f"{found.parameters:,}"),
        ("MACs per inference", None if found.macs is None else f"{found.macs:,}"),
        *((f"input {spec.name}", tensor(spec)) for spec in found.inputs),
        *((f"output {spec.name}", tensor(spec)) for spec in found.outputs),
    ]
    flat = found.flatbuffer
    if flat is not None:
        stored = f", {flat.sparse_tensors} tensors in the sparse encoding" if flat.sparse_tensors else ""
        rows += [
            ("quantization", flat.quantization),
            ("weights", ", ".join(f"{kind} {units.size(size)}" for kind, size in flat.weights_bytes.items())),
            ("zeros among weights", None if flat.sparsity is None else f"{flat.sparsity:.1%}{stored}"),
            ("needs at least", flat.min_runtime),
        ]
    network = found.network
    if network is not None and network.training is not None:
        rows.append(("compiled with", f"{network.training.loss}, {network.training.optimizer}"))
    if network is not None and any(network.last_activations):
        rows.append(("last activation", ", ".join(name or "unknown" for name in network.last_activations)))
    return rows


def tensor(spec: TensorSpec) -> str:
    """``int8 [1, 28, 28, 1]  scale 0.0039, zero point -128``."""
    shape = ", ".join("?" if size < 0 else str(size) for size in spec.shape)
    quantized = f"  scale {spec.scale:.6g}, zero point {spec.zero_point}" if spec.scale is not None else ""
    return f"{spec.dtype} [{shape}]{quantized}"


def _layers(network: Network) -> Any:
    from edgekit.report.terminal import rows_table

    total = sum(layer.macs or 0 for layer in network.layers) or 1
    rows = [
        (
            layer.name,
            layer.type,
            "×".join(str(n) for n in layer.output_shape[1:]),
            f"{layer.parameters:,}",
            "–" if layer.macs is None else f"{layer.macs / total:.1%}",
        )
        for layer in network.layers
    ]
    return rows_table(("layer", "type", "output", "parameters", "MACs"), rows, right=(3, 4))


def _ops(flat: Flatbuffer) -> Any:
    from edgekit.report.terminal import rows_table

    rows = [
        (
            op.name,
            op.version,
            op.count,
            "–" if not op.macs else f"{op.macs / max(flat.macs, 1):.1%}",
            " ".join(op.dtypes),
        )
        for op in flat.ops
    ]
    return rows_table(("op", "version", "count", "MACs", "dtypes"), rows, right=(1, 2, 3))
