"""Results from one store to another: as a file of lines, or straight from another lab's store."""

from __future__ import annotations

import base64
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgekit.core.decode import to_json
from edgekit.core.errors import StoreError, UsageError
from edgekit.core.notice import Notice
from edgekit.results import rows
from edgekit.results.database import Database, Transaction
from edgekit.results.lines import MOST_LINE_BYTES, Entry, entry_of, fingerprint, from_line, to_line
from edgekit.results.query import Query
from edgekit.results.schema import MIGRATIONS, migrate, version_of
from edgekit.results.store import Store

_STORE_BEGINS = b"SQLite format 3\0"
_LINES_BEGIN = b'{"'
_NAMED = 10  # so many bad lines are named
_SAY_NOTHING = ("results", "data", "edgekit", "share", ".local")  # parts of the path that every store has


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What came of taking results in.

    Attributes:
        added: results that were not there.
        known: that were there already, the same.
        restored: of the known ones: their lost samples came back.
        left_out: sources that could not be taken in, with the reason.
    """

    added: int
    known: int
    restored: int
    left_out: tuple[str, ...]


def lines_of(store: Store, query: Query, notices: list[Notice]) -> Iterator[str]:
    """Every matching result as a line, oldest first; one at a time is in memory.

    What is damaged is left out and lost samples are missing, each with a notice.

    Args:
        store: to read from.
        query: what is wanted.
        notices: gets what the user should know.

    Raises:
        UsageError: no such kind.
        StoreError: the store cannot be read.
    """
    condition, given = query.condition()
    with store.database.reading() as transaction:
        sql = f"SELECT id FROM runs WHERE {condition} ORDER BY created, id"  # noqa: S608 - our own text
        names = [str(row["id"]) for row in transaction.execute(sql, given)]
    for name in names:
        if not rows.is_whole(name):
            message = f"left out: {rows.shown(name)}: its id is damaged"
            notices.append(Notice(code="result-damaged", message=message))
            continue
        try:
            with store.database.reading() as transaction:
                found = rows.select(transaction, "id = :id", {"id": name})
            result = rows.to_result(found[0], store.url)
        except StoreError as error:
            notices.append(Notice(code="result-damaged", message=f"left out: {error.message}"))
            continue
        samples = None
        if result.kind == "measurement":
            with suppress(StoreError):
                samples = store.packed_samples(result)
            if samples is None:
                notices.append(
                    Notice(code="samples-lost", message=f"{name} goes without its raw samples: they are gone")
                )
        yield to_line(result, samples)


def take_in_lines(store: Store, stream: IO[bytes], *, name: str, lab: str, skip_damaged: bool = False) -> Taken:
    """Takes in what :func:`lines_of` wrote: everything or, where something is wrong, nothing.

    The same result again is no error, so that a file may be imported twice and files may overlap.

    Args:
        store: to write to.
        stream: of lines.
        name: of the file, for messages.
        lab: whose results they are, where they do not say.
        skip_damaged: leave out what is damaged instead of taking in nothing.

    Raises:
        UsageError: a store, and no lines.
        StoreError: damaged lines, each named by its number; or a result that is here with another content.
    """
    bad: list[str] = []

    def entries() -> Iterator[Entry]:
        number = 0
        while line := stream.readline(MOST_LINE_BYTES):
            number += 1
            if number == 1 and line.startswith(_STORE_BEGINS):
                raise UsageError(
                    f"{name} is a store, not an export of one", hint="edgekit results merge FILE takes it in"
                )
            where = f"{name}, line {number}"
            if not line.strip():
                continue
            try:
                if len(line) == MOST_LINE_BYTES:
                    raise StoreError("longer than any result")
                yield from_line(line, source=where, lab=lab)
            except StoreError as error:
                bad.append(f"line {number}: {error.message}")

    return _taken(store, entries(), bad, name=name, skip_damaged=skip_damaged)


def merge(store: Store, other: str, *, lab: str | None = None, skip_damaged: bool = False) -> Taken:
    """Takes in everything of another store, which is only read. Its raw samples come along.

    Args:
        store: to write to.
        other: the path of an SQLite file, or a database URL.
        lab: whose store it is; None: named after the file or the database.
        skip_damaged: see :func:`take_in_lines`.

    Raises:
        UsageError: there is no such store.
        StoreError: it cannot be read, is damaged, or has a result that is here with another content.
    """
    bad: list[str] = []
    name = lab or _called(Database(other))
    with _opened(other) as (source, folder):

        def entries() -> Iterator[Entry]:
            with source.database.reading() as transaction:
                names = [str(row["id"]) for row in transaction.execute("SELECT id FROM runs ORDER BY created, id")]
            for one in names:
                try:
                    yield _entry(source, one, folder, name)
                except StoreError as error:
                    bad.append(f"{one}: {error.message}")

        return _taken(store, entries(), bad, name=source.url if folder is None else other, skip_damaged=skip_damaged)


def _taken(store: Store, entries: Iterable[Entry], bad: list[str], *, name: str, skip_damaged: bool) -> Taken:
    """All entries in one transaction."""
    counts = {"added": 0, "known": 0, "restored": 0}
    with store.database.writing() as transaction:
        for entry in entries:
            if bad and not skip_damaged:
                continue  # nothing will be kept, but all damage is to be named
            try:
                counts[_put(transaction, store, entry)] += 1
            except StoreError as error:
                bad.append(f"{entry.source}: {error.message}")
        if bad and not skip_damaged:
            more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
            raise StoreError(
                f"nothing was taken in from {name}: {'; '.join(bad[:_NAMED])}{more}",
                hint="ask for a new export, or take in the rest with --skip-damaged",
                details={"damaged": [*bad]},
            )
    known = counts["known"] + counts["restored"]
    return Taken(added=counts["added"], known=known, restored=counts["restored"], left_out=tuple(bad))


def _put(transaction: Transaction, store: Store, entry: Entry) -> str:
    name = entry.row["id"]
    there = rows.select(transaction, "id = :id", {"id": name})
    if not there:
        rows.insert(transaction, entry.row, entry.details, entry.samples)
        return "added"
    result = rows.to_result(there[0], store.url)
    if fingerprint(to_json(result)) != entry.fingerprint:
        raise StoreError(
            f"the result {name} is here already with another content (here: {result.kind} of {result.model}, "
            f"{result.created[:16]}); one of the two was changed, and neither is overwritten"
        )
    kept = transaction.execute("SELECT run_id FROM samples WHERE run_id = :id", {"id": name})
    path = result.document.get("samples_file")
    if entry.samples is not None and not kept and not (isinstance(path, str) and Path(path).is_file()):
        rows.insert_samples(transaction, name, entry.samples)
        return "restored"
    return "known"


def _entry(source: Store, name: str, folder: Path | None, lab: str) -> Entry:
    with source.database.reading() as transaction:
        result = rows.to_result(rows.select(transaction, "id = :id", {"id": name})[0], source.url)
    samples = source.packed_samples(result) if result.kind == "measurement" else None
    beside = folder / "samples" / f"{name}.json.gz" if folder is not None else None
    if samples is None and beside is not None and result.kind == "measurement" and beside.is_file():
        samples = beside.read_bytes()  # a data folder that was copied: its paths are those of where it came from
    text = None if samples is None else base64.b64encode(samples).decode()
    return entry_of(to_json(result), text, source=name, lab=lab)


@contextmanager
def _opened(place: str) -> Iterator[tuple[Store, Path | None]]:
    """Another store, and its folder if it is a file: a copy of it, since an older one is brought up to date."""
    database = Database(place)
    if database.file is None:
        version = version_of(database)
        if version == 0:
            raise UsageError(f"{database.shown} is not a store of edgekit")
        if version < len(MIGRATIONS):
            raise StoreError(
                f"the store {database.shown} is of an older version ({version}, not {len(MIGRATIONS)}), "
                "and merging does not change it",
                hint="whoever owns it opens it once with this edgekit: `EDGEKIT_STORE=URL edgekit results list`",
            )
        yield Store(database), None
        return
    if not database.file.is_file():
        raise UsageError(f"no such store: {database.file}", hint="name a results.sqlite, or a database URL")
    if _begins(database.file, _LINES_BEGIN):
        hint = f"edgekit results import {database.file}"
        raise UsageError(f"{database.file} holds lines of JSON, and is no store", hint=hint)
    folder = Path(tempfile.mkdtemp(prefix="edgekit-merge-"))
    try:
        copy = folder / database.file.name
        _copy(database.file, copy)
        copied = Database(str(copy))
        with copied.reading() as transaction:
            if "schema_version" not in transaction.tables():
                raise UsageError(f"{database.file} is not a store of edgekit")
        migrate(copied)
        yield Store(copied), database.file.parent
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _begins(path: Path, what: bytes) -> bool:
    with suppress(OSError), path.open("rb") as stream:
        return stream.read(len(what)) == what
    return False


def _copy(path: Path, copy: Path) -> None:
    """Everything that was committed, also what still stands in the write-ahead log.

    Raises:
        StoreError: damaged, or not a database.
    """
    try:
        try:
            _back_up(f"{path.absolute().as_uri()}?mode=ro", copy)
        except sqlite3.OperationalError:  # its folder cannot be written to, so nobody else writes there either
            _back_up(f"{path.absolute().as_uri()}?immutable=1", copy)
    except sqlite3.Error as error:
        raise StoreError(
            f"the store {path} is damaged or not a database ({error})",
            hint=f"where its owner still can: `EDGEKIT_STORE={path} edgekit results export --format jsonl`",
        ) from error


def _back_up(source: str, target: Path) -> None:
    with closing(sqlite3.connect(source, uri=True)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _called(database: Database) -> str:
    """``labb.sqlite`` → ``labb``, ``labb/data/results.sqlite`` too; ``postgresql://me@host/lab`` → ``host/lab``."""
    if database.file is not None:
        path = database.file.absolute()
        names = [path.stem, *(folder.name for folder in path.parents)]
        return next((name for name in names if name and name not in _SAY_NOTHING), "other")
    return re.sub(r"^[^:]+://([^@/]*@)?", "", database.shown).partition("?")[0].strip("/") or "other"
