"""edgekit evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeGuard

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.output import Output
from edgekit.core import units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.core.events import EventSink
    from edgekit.optimize.score import Evaluation
    from edgekit.verbs.boards import Reach
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
        str | None,
        typer.Option("--device", help="Run the rows on these boards (pi4 or pi4,pi5), and compare with this machine."),
    ] = None,
    runtime: o.Runtime = "auto",
    way: o.BoardOptions,
    trust_model: o.TrustModel = False,
    custom: o.Custom = None,
    no_cache: o.NoCache = False,
    out: Output,
) -> None:
    """Score a model with LiteRT on this machine, or on boards, side by side."""
    from edgekit.cli.reaching import device_names
    from edgekit.core.errors import UsageError
    from edgekit.verbs.evaluate import evaluate as score

    source = evaluation or data
    if source is None:
        raise UsageError("there are no rows to score with", hint=f"edgekit evaluate {path} --data FILE")
    names = device_names(board) if board is not None else []
    options: dict[str, Any] = {
        "data": source,
        **raw.arguments(),
        "metric": metric,
        "limit": limit,
        "runtime": runtime,
        "trust_model": trust_model,
        "custom": tuple(custom or ()),
        "use_cache": not no_cache,
    }
    if len(names) > 1:
        _several(path, names, options, way.reach(), out)
        return
    device = names[0] if names else None
    found = score(path, device=device, reach=way.reach(), on_event=out.on_event, **options)
    document = {"model": str(path), **_document(found)}
    out.notices(found.notices if _on_board(found) else ())
    out.answer(document, _table(path, found), *found.notes)


def _several(path: Path, names: Sequence[str], options: dict[str, Any], reach: Reach, out: Output) -> None:
    """A model that is no .tflite becomes one first: else every board would convert it."""
    from edgekit.cli.fleet import answer, side_by_side
    from edgekit.model.format import detect_format
    from edgekit.optimize.pipeline import float32
    from edgekit.report import words
    from edgekit.report.terminal import rows_table
    from edgekit.verbs.evaluate import evaluate as score
    from edgekit.verbs.fleet import check_boards

    check_boards(names, reach)
    model = path
    if detect_format(path).name != "tflite":
        making = {"trust": options["trust_model"], "custom": options["custom"], "reuse": options["use_cache"]}
        model = float32(path, **making, on_event=out.on_event)

    def work(board: str, reach: Reach, on_event: EventSink) -> Evaluation:
        return score(model, device=board, reach=reach, on_event=on_event, **options)

    outcomes = side_by_side(out, names, work, reach=reach)
    done = [outcome.result for outcome in outcomes if outcome.result and _on_board(outcome.result)]
    out.notices(tuple(dict.fromkeys(notice for found in done for notice in found.notices)))
    documents = {found.device: _document(found) for found in done}
    rows = [
        (
            words.device(documents[found.device]),
            words.score(found.value, found.metric),
            words.score(found.here, found.metric),
            words.NOTHING if found.same_class is None else f"{found.same_class:.2%}",
            f"{found.max_abs_difference:.4g}",
            _rows(found),
        )
        for found in done
    ]
    headers = ("board", done[0].metric if done else "", "here", "same class", "difference", "rows")
    answer(
        out,
        outcomes,
        documents,
        *([rows_table(headers, rows, right=(1, 2, 3, 4))] if rows else []),
        *dict.fromkeys(note for found in done for note in found.notes),
        more={"model": str(path)},
    )


def _document(found: Evaluation) -> dict[str, Any]:
    """The contract's fields of an evaluation."""
    from edgekit.core.decode import to_json

    score = {"metric": found.metric, "float": None, "final": found.value, "drop": None, "count": found.count}
    return {"score": score, "evaluation": to_json(found), **(_of_board(found) if _on_board(found) else {})}


def _table(path: Path, found: Evaluation) -> Any:
    from edgekit.report import words
    from edgekit.report.terminal import facts_table

    rows: list[tuple[str, object]] = [
        ("model", path),
        (found.metric, words.score(found.value, found.metric)),
        ("rows", _rows(found)),
    ]
    if _on_board(found):
        rows += _lines_of_board(found)
    return facts_table(rows)


def _rows(found: Evaluation) -> str:
    emulated = " (emulated)" if _on_board(found) and found.emulated else ""
    return f"{found.count:,} in {units.seconds(found.seconds)}{emulated}"


def _on_board(found: Evaluation) -> TypeGuard[BoardEvaluation]:
    from edgekit.verbs.evaluate import BoardEvaluation

    return isinstance(found, BoardEvaluation)


def _of_board(found: BoardEvaluation) -> dict[str, Any]:
    """What a board adds to the document."""
    from edgekit.core.decode import to_json

    agreement = {
        "same_class": found.same_class,
        "max_abs_difference": found.max_abs_difference,
        "cosine": found.cosine,
    }
    return {
        "device": found.device,
        "emulated": found.emulated,
        "runtime": to_json(found.runtime),
        "agreement": agreement,
        "same_outputs": found.same_outputs,
        "difference": found.difference,
        "batches": found.batches,
        "resumed": found.resumed,
    }


def _lines_of_board(found: BoardEvaluation) -> list[tuple[str, object]]:
    """What a board adds to the table."""
    from edgekit.report import words

    document = _of_board(found)
    lines: list[tuple[str, object]] = [("on", f"{words.device(document)}, {words.runtime(document)}")]
    if found.here is not None:
        lines.append((f"{found.metric} here", words.score(found.here, found.metric)))
    if found.same_class is not None:
        lines.append(("same class as here", f"{found.same_class:.2%}"))
    lines += [("largest difference", f"{found.max_abs_difference:.4g}"), ("cosine", f"{found.cosine:.6f}")]
    return lines
