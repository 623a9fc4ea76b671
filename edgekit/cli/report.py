"""edgekit report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.invocation import command, new_app
from edgekit.cli.output import Output

if TYPE_CHECKING:
    from datetime import datetime

app = new_app("What was measured, as a page, a pull request's text, or rows.")
PAGE = Path("report.html")


@command(app, "report", example="edgekit report --device pi4 -o report.html")
def report(
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Default: report.html; other formats go to standard output."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Only of this board; 'pi4 (emulated)' is another one than pi4.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Only of this model: name, or beginning of its SHA-256.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only from then on: 7d, 36h, 2026-11-01, 2026-11-01T12:00.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="html, markdown, csv or json.")] = "html",
    out: Output,
) -> None:
    """Write a report of the kept results: one page that opens from disk and loads nothing from anywhere."""
    from edgekit.cli.plain import Plain
    from edgekit.core import files
    from edgekit.core.decode import to_json
    from edgekit.report.clean import clean
    from edgekit.report.summary import answers
    from edgekit.results.store import open_store
    from edgekit.verbs.report import report as make

    begin = _moment(since)
    target = output or (PAGE if form == "html" else None)
    if target is not None:
        files.check_writable(target)
    store = open_store()
    made = make(store, form=form, device=device, model=model, since=begin)
    out.notices(store.notices)
    document = {
        "path": str(target) if target else None,
        "format": form,
        "count": len(made.collected.results),
        "summary": to_json(answers(made.collected)),
        "warnings": to_json(store.notices),
    }
    if target is None:
        out.answer({**document, "text": made.text}, Plain(made.text))
        return
    files.write_bytes(target, made.text.encode())
    told = [
        clean(f"{one.model} on {one.board}: {one.headline}, {one.verdict.upper()}") for one in answers(made.collected)
    ]
    nothing = "nothing was measured yet that it could show: `edgekit demo` makes the first result"
    out.answer(document, *(told or [nothing]), f"report: {target.absolute()}")


def _moment(since: str | None) -> datetime | None:
    """``7d`` is how long ago; anything else is a date."""
    from edgekit.results.query import before_now, moment

    if since is None:
        return None
    ago = since.strip()[-1:].isalpha() and not since.strip().endswith("Z")
    return before_now(since, option="--since") if ago else moment(since, option="--since")
