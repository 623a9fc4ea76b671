"""edgekit prune."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli import documents
from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.made import needed, score_lines
from edgekit.cli.output import Output
from edgekit.core import units

app = new_app("Set small weights to zero, with fine-tuning.")


@command(app, "prune", example="edgekit prune model.keras --data data.npz --sparsity 0.5 -o pruned.keras")
def prune(
    model: Annotated[Path | None, typer.Argument(envvar="EDGEKIT_MODEL", help="Keras file or SavedModel.")] = None,
    *,
    data: o.Data = None,
    training: o.Training = None,
    evaluation: o.Evaluation = None,
    raw: o.PreprocessingOptions,
    sparsity: Annotated[float, typer.Option("--sparsity", help="Final fraction of zeros, 0 to 0.99.")] = 0.5,
    initial_sparsity: Annotated[float | None, typer.Option("--initial-sparsity", help="Where it begins.")] = None,
    pattern: Annotated[str, typer.Option("--pattern", help="unstructured, block, 2:4, filters.")] = "unstructured",
    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs of fine-tuning (default 4).")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Rows per training step (64).")] = None,
    optimizer: Annotated[str | None, typer.Option("--optimizer", help="adam or sgd.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Of the optimizer (0.001).")] = None,
    loss: Annotated[str | None, typer.Option("--loss", help="Keras's name; default: the model's own.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of shuffling and random layers.")] = None,
    making: o.MakingOptions,
    out: Output,
) -> None:
    """Set the smallest weights to zero with fine-tuning; writes a model of the kind that was given."""
    from edgekit.cli.project import read_project
    from edgekit.core.decode import to_json
    from edgekit.report.terminal import steps_table
    from edgekit.verbs.optimize import prune as carry_out

    if making.output is not None and str(making.output) == read_project(Path.cwd()).output:
        making = dataclasses.replace(making, output=None)  # edgekit.toml names what the whole recipe makes
    made = carry_out(
        needed(model, "MODEL"),
        data=data,
        training=training,
        evaluation=evaluation,
        **raw.arguments(),
        **making.arguments(),
        on_event=out.on_event,
        sparsity=sparsity,
        initial_sparsity=initial_sparsity,
        pattern=pattern,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        loss=loss,
        seed=seed,
    )
    out.notices(made.notices)
    document = {
        "artifact": {
            key: to_json(getattr(made, key))
            for key in ("path", "format", "sha256", "size_bytes", "gzip_bytes", "inputs", "outputs")
        },
        "steps": [documents.of_step(step) for step in made.steps],
        "score": documents.of_score(made.score),
        "warnings": to_json(made.notices),
    }
    out.answer(
        document,
        _layers(made.steps[-1].details),
        steps_table(made.steps, metric=made.score.metric if made.score else None),
        *score_lines(made.score),
        f"{made.path}  {units.size(made.size_bytes)}, {units.size(made.gzip_bytes)} compressed",
    )


def _layers(details: dict[str, Any]) -> Any:
    """What became of each layer."""
    from edgekit.report.terminal import rows_table

    rows = [
        (layer["name"], layer["type"], f"{layer['weights']:,}", f"{layer['zeros'] / max(layer['weights'], 1):.1%}")
        for layer in details["layers"]
    ]
    rows += [(layer["name"], layer["type"], "", f"not pruned: {layer['reason']}") for layer in details["unpruned"]]
    return rows_table(("layer", "type", "weights", "zeros"), rows, right=(2,))
