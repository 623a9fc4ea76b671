"""edgekit results list, show, history."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.invocation import command
from edgekit.cli.output import Output
from edgekit.cli.plain import Plain
from edgekit.cli.results.app import QueryOptions, app

_NOTHING = "nothing is kept yet: `edgekit demo` makes the first result"


@command(app, "results list", example="edgekit results list --device pi4 --last 7d --verdict valid")
def list_(
    *,
    options: QueryOptions,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 20,
    out: Output,
) -> None:
    """List kept results, newest first."""
    from edgekit.core.decode import to_json
    from edgekit.report.terminal import results_table
    from edgekit.results.query import Query
    from edgekit.results.record import KINDS
    from edgekit.results.store import open_store

    query = options.query()
    store = open_store()
    seen = store.list(limit=limit + 1, query=query)
    out.notices(store.notices)
    found = seen[:limit]
    document = {
        "store": store.url,
        "kinds": list(KINDS),
        "results": to_json(found),
        "more": len(seen) > limit,
        "warnings": to_json(store.notices),
    }
    nothing = "no result is like that" if query != Query() else _NOTHING
    more = [f"the newest {limit}; there are more: --limit {limit * 5}"] if len(seen) > limit else []
    out.answer(document, results_table(found) if found else nothing, *more)


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
    lines = json.dumps(to_json(found), indent=2, ensure_ascii=False).split("\n")
    out.answer({"result": to_json(found)}, Plain("\n".join(map(clean, lines))))


@command(app, "results history", example="edgekit results history digits --device pi4")
def history(
    model: Annotated[str, typer.Argument(help="Name, or beginning of the SHA-256 of it or of its trained model.")],
    *,
    device: Annotated[str, typer.Option("--device", envvar="EDGEKIT_DEVICE", help="The board.")],
    out: Output,
) -> None:
    """Show one model on one board over time, with changes marked.

    Nothing in it was run side by side: a change may be drift. `edgekit compare` says for certain.
    """
    from edgekit.core.decode import to_json
    from edgekit.core.errors import UsageError
    from edgekit.report.history import history_tables
    from edgekit.results.history import CAVEAT
    from edgekit.results.history import history as points_of
    from edgekit.results.store import open_store

    store = open_store()
    points = points_of(store, model, device)
    out.notices(store.notices)
    if not points:
        raise UsageError(
            f"nothing was measured of {model!r} on {device!r}", hint="`edgekit results list --kind measurement`"
        )
    document = {
        "model": model,
        "device": device,
        "caveat": CAVEAT,
        "points": to_json(points),
        "warnings": to_json(store.notices),
    }
    out.answer(document, *history_tables(points))
