"""edgekit results export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.invocation import command, exit_with
from edgekit.cli.output import Output
from edgekit.cli.plain import Plain
from edgekit.cli.results.app import QueryOptions, app

if TYPE_CHECKING:
    from edgekit.core.notice import Notice
    from edgekit.results.query import Query


@command(app, "results export", example="edgekit results export --format jsonl -o results.jsonl")
def export(
    *,
    form: Annotated[
        str, typer.Option("--format", help="csv, markdown, json, or jsonl: a line each with its raw samples.")
    ] = "csv",
    options: QueryOptions,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: standard output.")] = None,
    out: Output,
) -> None:
    """Write kept results to a file, oldest first."""
    from edgekit.core import files
    from edgekit.report.export import export_results
    from edgekit.report.words import count as count_of
    from edgekit.results.store import open_store

    query = options.query()
    if form == "jsonl":
        _export_lines(query, output, out)
        return
    store = open_store()
    found = store.list(limit=None, query=query)[::-1]
    out.notices(store.notices)
    text = export_results(found, form)
    if output is not None:
        files.write_bytes(output, text.encode())
    document = {
        "path": str(output) if output else None,
        "format": form,
        "count": len(found),
        "warnings": [notice.message for notice in store.notices],
    }
    if output is None:
        document["text"] = text
    out.answer(document, f"{output}: {count_of(len(found), 'result')}" if output else Plain(text))
    _end_by_damage(store.notices)


def _export_lines(query: Query, output: Path | None, out: Output) -> None:
    """One line after the other, however many there are; exit status 6 where something damaged was left out."""
    import sys

    from edgekit.core import files
    from edgekit.core.errors import UsageError
    from edgekit.report.words import count as count_of
    from edgekit.results.store import open_store
    from edgekit.results.transfer import lines_of

    if output is None and out.as_json:
        raise UsageError("--json and the lines both want standard output", hint="-o results.jsonl")
    notices: list[Notice] = []
    count = 0
    lines = lines_of(open_store(), query, notices)
    if output is None:
        for line in lines:
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
    else:
        with files.appearing(output) as temporary, temporary.open("w", encoding="utf-8") as stream:
            for count, line in enumerate(lines, 1):  # noqa: B007 - how many there were
                stream.write(line + "\n")
    out.notices(notices)
    if output is not None:
        document = {"path": str(output), "format": "jsonl", "count": count, "warnings": [n.message for n in notices]}
        out.answer(document, f"{output}: {count_of(count, 'result')}")
    _end_by_damage(notices)


def _end_by_damage(notices: Sequence[Notice]) -> None:
    """Exit status 6 where something damaged was left out of what was to be saved."""
    if any(notice.code == "result-damaged" for notice in notices):
        exit_with(6)
