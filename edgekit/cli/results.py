"""edgekit results list, show, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.invocation import command, new_app
from edgekit.cli.output import Output

app = new_app("List, show and export what was measured, made and deployed.")

Kind = Annotated[str | None, typer.Option("--kind", help="measurement, artifact or deployment.")]
OfDevice = Annotated[
    str | None, typer.Option("--device", help="Only of this board; 'pi4 (emulated)' is another one than pi4.")
]
OfModel = Annotated[str | None, typer.Option("--model", help="Only of this model: name, or beginning of its SHA-256.")]


@command(app, "results list", example="edgekit results list --device pi4")
def list_(
    *,
    kind: Kind = None,
    device: OfDevice = None,
    model: OfModel = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 20,
    out: Output,
) -> None:
    """List kept results, newest first."""
    from edgekit.core.decode import to_json
    from edgekit.report.terminal import results_table
    from edgekit.results.record import KINDS
    from edgekit.results.store import open_store

    store = open_store()
    out.notices(store.notices)
    found = store.list(kind, device, model, limit)  # type: ignore[arg-type]  # the store names an unknown kind
    document = {"store": store.url, "kinds": list(KINDS), "results": to_json(found)}
    out.answer(
        document, results_table(found) if found else "nothing is kept yet: `edgekit demo` makes the first result"
    )


@command(app, "results show", example="edgekit results show 3f2a")
def show(
    result: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    *,
    out: Output,
) -> None:
    """Show one kept result, whole."""
    import json

    from edgekit.core.decode import to_json
    from edgekit.report.clean import clean
    from edgekit.results.store import open_store

    found = open_store().get(result)
    out.answer({"result": to_json(found)}, _Plain(clean(json.dumps(to_json(found), indent=2, ensure_ascii=False))))


@command(app, "results export", example="edgekit results export --format csv -o results.csv")
def export(
    *,
    form: Annotated[str, typer.Option("--format", help="csv, markdown or json.")] = "csv",
    kind: Kind = None,
    device: OfDevice = None,
    model: OfModel = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: standard output.")] = None,
    out: Output,
) -> None:
    """Write kept results to a file, oldest first."""
    from edgekit.core import files
    from edgekit.report.export import export_results
    from edgekit.results.store import open_store

    found = open_store().list(kind, device, model, None)[::-1]  # type: ignore[arg-type]  # as above
    text = export_results(found, form)
    if output is not None:
        files.write_bytes(output, text.encode())
    document = {"path": str(output) if output else None, "format": form, "count": len(found)}
    if output is None:
        document["text"] = text
    out.answer(document, f"{output}: {len(found)} results" if output else _Plain(text))


class _Plain:
    """Text that rich prints as it is, however long its lines are."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: object, options: object) -> object:
        from rich.segment import Segment

        yield Segment(self._text if self._text.endswith("\n") else self._text + "\n")
