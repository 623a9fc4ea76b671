"""edgekit results check."""

from __future__ import annotations

from edgekit.cli.invocation import command, exit_with
from edgekit.cli.output import Output
from edgekit.cli.results.app import app


@command(app, "results check", example="edgekit results check")
def check(*, out: Output) -> None:
    """Read everything that is kept, and name what is damaged. Changes nothing; exit status 6 where something is."""
    from edgekit.core.decode import to_json
    from edgekit.report.terminal import rows_table
    from edgekit.report.words import count
    from edgekit.results.check import check as look_at
    from edgekit.results.store import open_store

    store = open_store()
    out.notices(store.notices)
    found = look_at(store)
    whole = f"{store.url}: {count(found.results, 'result')} and {found.samples} sets of raw samples are whole"
    table = rows_table(("result", "damage"), [(one.where, one.message) for one in found.damage])
    document = {"store": store.url, **to_json(found)}
    out.answer(document, *([table] if found.damage else []), whole)
    for hint in dict.fromkeys(one.hint for one in found.damage):
        out.say(f"hint: {hint}")
    if found.damage:
        exit_with(6)
