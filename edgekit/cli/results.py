"""edgekit results list, show, history, export, import, merge, check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.invocation import command, exit_with, new_app
from edgekit.cli.output import Output
from edgekit.cli.plain import Plain

if TYPE_CHECKING:
    from edgekit.core.notice import Notice
    from edgekit.results.query import Query
    from edgekit.results.transfer import Taken

app = new_app(
    "What was measured, made and deployed: list it, follow it, take it elsewhere.",
    example="edgekit results list --device pi4 --last 7d",
)

Lab = Annotated[str | None, typer.Option("--lab", help="Whose results they are; default: as the file is called.")]
SkipDamaged = Annotated[
    bool, typer.Option("--skip-damaged", help="Leave out what is damaged instead of taking in nothing.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    """Which results."""

    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", help="measurement, artifact, deployment, comparison, gate, profile or selftest (default: all)."
        ),
    ] = None
    device: Annotated[
        str | None, typer.Option("--device", help="Only of this board; 'pi4 (emulated)' is another one than pi4.")
    ] = None
    model: Annotated[
        str | None, typer.Option("--model", help="Only of this model: name, or beginning of its SHA-256.")
    ] = None
    since: Annotated[str | None, typer.Option("--since", help="From this day on: 2026-11-01 or 2026-11-01T12:30.")] = (
        None
    )
    until: Annotated[str | None, typer.Option("--until", help="To this day, it included (times are UTC).")] = None
    last: Annotated[str | None, typer.Option("--last", help="Only so far back: 7d, 12h, 30min, 2w.")] = None
    verdict: Annotated[
        str | None, typer.Option("--verdict", help="valid, unstable, invalid; faster, …; passed, failed.")
    ] = None
    lab: Annotated[str | None, typer.Option("--lab", help="Only what was taken in from this lab.")] = None

    def query(self) -> Query:
        """For the store.

        Raises:
            UsageError: not a date, or two options that contradict each other.
        """
        from edgekit.core.errors import UsageError
        from edgekit.results.query import Query, before_now, moment

        if self.since and self.last:
            raise UsageError("--since and --last both say how far back", hint="give one of them")
        since = moment(self.since, option="--since") if self.since else None
        return Query(
            kind=self.kind,
            device=self.device,
            model=self.model,
            since=before_now(self.last, option="--last") if self.last else since,
            until=moment(self.until, option="--until", end=True) if self.until else None,
            verdict=self.verdict,
            lab=self.lab,
        )


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


_NOTHING = "nothing is kept yet: `edgekit demo` makes the first result"


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
    out.answer(document, f"{output}: {_results(len(found))}" if output else Plain(text))
    _end_by_damage(store.notices)


def _export_lines(query: Query, output: Path | None, out: Output) -> None:
    """One line after the other, however many there are; exit status 6 where something damaged was left out."""
    import sys

    from edgekit.core import files
    from edgekit.core.errors import UsageError
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
        out.answer(document, f"{output}: {_results(count)}")
    _end_by_damage(notices)


def _end_by_damage(notices: Sequence[Notice]) -> None:
    """Exit status 6 where something damaged was left out of what was to be saved."""
    if any(notice.code == "result-damaged" for notice in notices):
        exit_with(6)


@command(app, "results import", example="edgekit results import results.jsonl --lab munich")
def import_(
    file: Annotated[Path, typer.Argument(help="What `results export --format jsonl` wrote; - is standard input.")],
    *,
    lab: Lab = None,
    skip_damaged: SkipDamaged = False,
    out: Output,
) -> None:
    """Take in results with their raw samples. Those that are here already are skipped; all others, or none."""
    import shutil
    import sys
    import tempfile

    from edgekit.core.errors import UsageError
    from edgekit.results.store import open_store
    from edgekit.results.transfer import take_in_lines

    def take_in(stream: IO[bytes], name: str) -> Taken:
        named = lab or name.partition(".")[0] or name
        return take_in_lines(open_store(), stream, name=name, lab=named, skip_damaged=skip_damaged)

    if str(file) == "-":
        with tempfile.TemporaryFile() as stream:  # the store is not to be locked while a network is waited for
            shutil.copyfileobj(sys.stdin.buffer, stream)
            stream.seek(0)
            taken = take_in(stream, "standard input")
    else:
        try:
            with file.open("rb") as opened:
                taken = take_in(opened, file.name)
        except OSError as error:
            raise UsageError(f"cannot read {file}: {error.strerror}") from error
    _tell(taken, str(file), out)


@command(app, "results merge", example="edgekit results merge /mnt/labb/results.sqlite --lab labb")
def merge(
    stores: Annotated[list[str], typer.Argument(metavar="STORE...", help="Files or database URLs; only read.")],
    *,
    lab: Lab = None,
    skip_damaged: SkipDamaged = False,
    out: Output,
) -> None:
    """Take in everything of other stores, raw samples too. Each result keeps the name of its lab."""
    from edgekit.core.errors import UsageError
    from edgekit.results.store import open_store
    from edgekit.results.transfer import merge as merge_store

    if lab and len(stores) > 1:
        raise UsageError("--lab names one lab, and there are several stores", hint="merge them one by one")
    store = open_store()
    taken = [merge_store(store, other, lab=lab, skip_damaged=skip_damaged) for other in stores]
    documents = [{"store": other, **_document(one)} for other, one in zip(stores, taken)]
    out.answer({"stores": documents}, *(_sentence(one, other) for other, one in zip(stores, taken)))
    _end(taken, out)


@command(app, "results check", example="edgekit results check")
def check(*, out: Output) -> None:
    """Read everything that is kept, and name what is damaged. Changes nothing; exit status 6 where something is."""
    from edgekit.core.decode import to_json
    from edgekit.report.terminal import rows_table
    from edgekit.results.check import check as look_at
    from edgekit.results.store import open_store

    store = open_store()
    out.notices(store.notices)
    found = look_at(store)
    whole = f"{store.url}: {_results(found.results)} and {found.samples} sets of raw samples are whole"
    table = rows_table(("result", "damage"), [(one.where, one.message) for one in found.damage])
    document = {"store": store.url, **to_json(found)}
    out.answer(document, *([table] if found.damage else []), whole)
    for hint in dict.fromkeys(one.hint for one in found.damage):
        out.say(f"hint: {hint}")
    if found.damage:
        exit_with(6)


def _tell(taken: Taken, name: str, out: Output) -> None:
    out.answer({"path": name, **_document(taken)}, _sentence(taken, name))
    _end([taken], out)


def _results(count: int) -> str:
    from edgekit.report.words import count as counted

    return counted(count, "result")


def _document(taken: Taken) -> dict[str, Any]:
    from edgekit.core.decode import to_json

    return dict(to_json(taken))


def _sentence(taken: Taken, name: str) -> str:
    restored = f", the lost samples of {taken.restored} came back" if taken.restored else ""
    return f"{name}: {_results(taken.added)} taken in, {taken.known} here already{restored}"


def _end(taken: Sequence[Taken], out: Output) -> None:
    left_out = [text for one in taken for text in one.left_out]
    for text in left_out:
        out.say(f"left out: {text}")
    if left_out:
        exit_with(6)
