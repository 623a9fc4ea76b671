"""Is everything in the store whole? Every row, every document, every file of samples."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from edgekit.core.errors import StoreError
from edgekit.results import rows, waiting
from edgekit.results.lines import check_samples, entry_of
from edgekit.results.record import KINDS
from edgekit.results.schema import DETAIL_TABLES
from edgekit.results.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing that is wrong.

    Attributes:
        where: a result's id, or ``store``.
        message: what is wrong.
        hint: what helps.
    """

    where: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was looked at.

    Attributes:
        results, samples: how many are whole.
        waiting: results that wait in files until the store can take them.
        damage: everything that is wrong; empty: nothing is.
    """

    results: int
    samples: int
    waiting: int
    damage: tuple[Damage, ...]


_BACK_UP = "restore it from a back-up, or import it again from where it was exported: `edgekit results import FILE`"


def check(store: Store) -> Checked:
    """Reads everything once; changes nothing.

    Raises:
        StoreError: the store cannot be read at all.
    """
    damage: list[Damage] = []
    with store.database.reading() as transaction:
        if store.database.file is not None:
            for row in transaction.execute("PRAGMA integrity_check(20)"):
                (text,) = row.values()
                if text != "ok":
                    hint = "save what can be read: `edgekit results export --format jsonl -o saved.jsonl`"
                    damage.append(Damage(where="store", message=str(text)[:300], hint=hint))
        names = [str(row["id"]) for row in transaction.execute("SELECT id FROM runs ORDER BY created, id")]
        detailed = {
            (kind, str(row["run_id"]))
            for kind, table in DETAIL_TABLES.items()
            for row in transaction.execute(f"SELECT run_id FROM {table}")  # noqa: S608 - our own names
        }
    whole = samples = 0
    for name in names:
        if not rows.is_whole(name):
            damage.append(Damage(where=rows.shown(name), message="its id is damaged", hint=_BACK_UP))
            continue
        try:
            samples += _one(store, name, detailed)
            whole += 1
        except StoreError as error:
            damage.append(Damage(where=name, message=error.message, hint=error.hint or _BACK_UP))
    return Checked(results=whole, samples=samples, waiting=len(waiting.waiting_paths()), damage=tuple(damage))


def _one(store: Store, name: str, detailed: set[tuple[str, str]]) -> int:
    """How many sets of samples a result has: 0 or 1.

    Raises:
        StoreError: something about it is damaged.
    """
    with store.database.reading() as transaction:
        (row,) = rows.select(transaction, "id = :id", {"id": name})
    result = rows.to_result(row, store.url)
    if result.kind not in KINDS:
        raise StoreError(f"its kind {result.kind!r} is unknown")
    entry_of({**row, "document": result.document}, None, source=name, lab="")
    if result.kind in DETAIL_TABLES and (result.kind, name) not in detailed:
        raise StoreError(f"its row in the table {DETAIL_TABLES[result.kind]} is gone")
    if result.kind != "measurement":
        return 0
    content = store.packed_samples(result)
    if content is None:
        raise StoreError(f"its raw samples are gone: {result.document.get('samples_file')}")
    check_samples(base64.b64encode(content).decode())
    return 1
