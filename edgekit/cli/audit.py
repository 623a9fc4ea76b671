"""edgekit audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, exit_with, new_app
from edgekit.cli.output import Output

app = new_app("Is a .tflite really full-integer, and which runtime does it need?")


@command(app, "audit", example="edgekit audit model.tflite --device pi4")
def audit(
    path: Annotated[Path, typer.Argument(metavar="MODEL.tflite", help="The file to audit.")],
    *,
    # not called device: a project's board is where it deploys to, and no reason to ask it here
    board: Annotated[
        str | None, typer.Option("--device", help="Also: does this board's runtime have these op versions?")
    ] = None,
    runtime: o.Runtime = "auto",
    way: o.BoardOptions,
    out: Output,
) -> None:
    """Name every op that is not integer, every select-TF op, and the oldest runtime that can run the file."""
    from edgekit.core.decode import to_json
    from edgekit.report.terminal import facts_table
    from edgekit.verbs.inspect import audit as examine

    found = examine(path)
    document = {"model": str(path), "audit": to_json(found)}
    rows: list[tuple[str, object]] = [
        ("model", path),
        ("full-integer", "yes" if found.full_integer else "no"),
        ("float ops", ", ".join(found.float_ops) or "none"),
        ("select-TF ops", ", ".join(found.flex_ops) or "none"),
        ("needs at least", found.min_runtime),
    ]
    lacking: tuple[str, ...] = ()
    if board is not None:
        from edgekit.verbs.boards import open_board
        from edgekit.verbs.deploy import lacking_ops
        from edgekit.verbs.runtimes import check_runtime

        with open_board(board, way.reach(), check_runtime(runtime), out.on_event) as opened:
            lacking = lacking_ops(found, opened)
            used = f"{opened.runtime.name} {opened.runtime.version}"
        document["device"] = {"name": board, "runtime": used, "lacking": list(lacking)}
        rows.append((f"on {board}, {used}", f"lacks {', '.join(lacking)}" if lacking else "has every op version"))
    out.answer(document, facts_table(rows), *(f"- {problem}" for problem in found.problems))
    if lacking:
        exit_with(4)
