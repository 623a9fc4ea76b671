"""edgekit evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.output import Output
from edgekit.core import units

if TYPE_CHECKING:
    from edgekit.verbs.evaluate import BoardEvaluation

app = new_app("The score of a model file on a dataset.")


@command(app, "evaluate", example="edgekit evaluate model.tflite --data test.npz --scale 1/255 --device pi4")
def evaluate(
    path: Annotated[Path, typer.Argument(metavar="MODEL", help=".tflite, Keras file or SavedModel folder.")],
    *,
    data: o.Data = None,
    evaluation: o.Evaluation = None,
    raw: o.PreprocessingOptions,
    metric: o.Metric = "auto",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Score so many rows, evenly spread (default: all; on a board 200)."),
    ] = None,
    # not called device: a project's board is where it deploys to, and no reason to score there
    board: Annotated[
        str | None, typer.Option("--device", help="Run the rows on this board, and compare with this machine.")
    ] = None,
    runtime: o.Runtime = "auto",
    way: o.BoardOptions,
    trust_model: o.TrustModel = False,
    custom: o.Custom = None,
    no_cache: o.NoCache = False,
    out: Output,
) -> None:
    """Score a model with LiteRT on this machine, or on a board."""
    from edgekit.core.decode import to_json
    from edgekit.core.errors import UsageError
    from edgekit.report import words
    from edgekit.report.terminal import facts_table
    from edgekit.verbs.evaluate import BoardEvaluation
    from edgekit.verbs.evaluate import evaluate as score

    source = evaluation or data
    if source is None:
        raise UsageError("there are no rows to score with", hint=f"edgekit evaluate {path} --data FILE")
    found = score(
        path,
        data=source,
        **raw.arguments(),
        metric=metric,
        limit=limit,
        device=board,
        runtime=runtime,
        reach=way.reach(),
        trust_model=trust_model,
        custom=tuple(custom or ()),
        use_cache=not no_cache,
        on_event=out.on_event,
    )
    document: dict[str, Any] = {
        "model": str(path),
        "score": {"metric": found.metric, "float": None, "final": found.value, "drop": None, "count": found.count},
        "evaluation": to_json(found),
    }
    rows: list[tuple[str, object]] = [
        ("model", path),
        (found.metric, words.score(found.value, found.metric)),
        ("rows", f"{found.count:,} in {units.seconds(found.seconds)}"),
    ]
    if isinstance(found, BoardEvaluation):
        if found.emulated:
            rows[-1] = ("rows", f"{rows[-1][1]} (emulated)")
        more, lines = _of_board(found)
        document |= more
        rows += lines
        out.notices(found.notices)
    out.answer(document, facts_table(rows), *found.notes)


def _of_board(found: BoardEvaluation) -> tuple[dict[str, Any], list[tuple[str, object]]]:
    """What a board adds to the document and to the table."""
    from edgekit.core.decode import to_json
    from edgekit.report import words

    agreement = {
        "same_class": found.same_class,
        "max_abs_difference": found.max_abs_difference,
        "cosine": found.cosine,
    }
    document: dict[str, Any] = {
        "device": found.device,
        "emulated": found.emulated,
        "runtime": to_json(found.runtime),
        "agreement": agreement,
    }
    lines: list[tuple[str, object]] = [("on", f"{words.device(document)}, {words.runtime(document)}")]
    if found.here is not None:
        lines.append((f"{found.metric} here", words.score(found.here, found.metric)))
    if found.same_class is not None:
        lines.append(("same class as here", f"{found.same_class:.2%}"))
    lines += [("largest difference", f"{found.max_abs_difference:.4g}"), ("cosine", f"{found.cosine:.6f}")]
    return document, lines
