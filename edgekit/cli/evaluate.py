"""edgekit evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.output import Output
from edgekit.core import units

app = new_app("The score of a model file on a dataset.")


@command(app, "evaluate", example="edgekit evaluate model.tflite --data test.npz --scale 1/255")
def evaluate(
    path: Annotated[Path, typer.Argument(metavar="MODEL", help=".tflite, Keras file or SavedModel folder.")],
    *,
    data: o.Data = None,
    evaluation: o.Evaluation = None,
    scale: o.Scale = None,
    mean: o.Mean = None,
    std: o.Std = None,
    preprocess: o.Preprocess = None,
    metric: o.Metric = "auto",
    trust_model: o.TrustModel = False,
    no_cache: o.NoCache = False,
    out: Output,
) -> None:
    """Score a model on this machine with LiteRT, batch by batch."""
    from edgekit.core.decode import to_json
    from edgekit.core.errors import UsageError
    from edgekit.report import words
    from edgekit.report.terminal import facts_table
    from edgekit.verbs.evaluate import evaluate as score

    source = evaluation or data
    if source is None:
        raise UsageError("there are no rows to score with", hint=f"edgekit evaluate {path} --data FILE")
    found = score(
        path,
        data=source,
        scale=scale,
        mean=mean,
        std=std,
        preprocess=preprocess,
        metric=metric,
        trust_model=trust_model,
        use_cache=not no_cache,
        on_event=out.on_event,
    )
    document = {
        "model": str(path),
        "score": {"metric": found.metric, "float": None, "final": found.value, "drop": None, "count": found.count},
        "evaluation": to_json(found),
    }
    rows: list[tuple[str, object]] = [
        ("model", path),
        (found.metric, words.score(found.value, found.metric)),
        ("rows", f"{found.count:,} in {units.seconds(found.seconds)}"),
    ]
    out.answer(document, facts_table(rows), *found.notes)
