"""Rows of the tables: written, read, and turned into results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from edgekit.core.errors import StoreError
from edgekit.results import figures
from edgekit.results.database import Transaction
from edgekit.results.record import StoredResult
from edgekit.results.schema import DETAIL_TABLES

_HINT = "`edgekit results check` names all damage; `edgekit results export --format jsonl` saves the rest"
_COLUMNS = ("id", "kind", "created", "edgekit", "device", "model", "model_sha256", "verdict", "document", "lab")
_SUM = "row_sha256"


def insert(
    transaction: Transaction, row: Mapping[str, Any], details: Mapping[str, Any], samples: str | None = None
) -> None:
    """Adds a result: its row, the columns of its kind, and its samples as base64 of gzip."""
    transaction.insert("runs", {**row, _SUM: _sum(row)})
    if row["kind"] in DETAIL_TABLES:
        transaction.insert(DETAIL_TABLES[row["kind"]], {"run_id": row["id"], **details})
    if samples is not None:
        insert_samples(transaction, row["id"], samples)


def insert_samples(transaction: Transaction, result_id: str, samples: str) -> None:
    """Adds the samples of a result that is there."""
    transaction.insert("samples", {"run_id": result_id, "gzip_base64": samples})


def select(
    transaction: Transaction, condition: str, parameters: Mapping[str, Any], order: str = ""
) -> list[dict[str, Any]]:
    """Rows under a condition; condition and order are our text, a user's comes as parameters."""
    sql = f"SELECT {', '.join((*_COLUMNS, _SUM))} FROM runs WHERE {condition} {order}"  # noqa: S608 - see above
    return transaction.execute(sql, parameters)


def to_result(row: Mapping[str, Any], store: str) -> StoredResult:
    """A row as a record.

    Raises:
        StoreError: its document is damaged.
    """
    try:
        damaged = [name for name, value in row.items() if isinstance(value, str) and not is_whole(value)]
        if damaged:
            raise ValueError(f"no UTF-8 text in {', '.join(damaged)}")
        if row.get(_SUM) not in (None, _sum(row)):
            raise ValueError("changed since it was written: its SHA-256 is another one")
        document = json.loads(row["document"])
        if not isinstance(document, dict):
            raise ValueError("its document is not an object")
        if (columns := figures.OF_KIND.get(row["kind"])) is not None:
            columns(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"the store {store} has a damaged row ({shown(row['id'])}): a {row['kind']} without what every "
            f"{row['kind']} has ({type(error).__name__}: {error})",
            hint=_HINT,
        ) from error
    except (ValueError, RecursionError) as error:
        raise StoreError(
            f"the store {store} has a damaged row ({shown(row['id'])}): {error}",
            hint=_HINT,
        ) from error
    return StoredResult(**{**{name: row[name] for name in _COLUMNS}, "document": document})


def _sum(row: Mapping[str, Any]) -> str:
    """SHA-256 over everything in a row."""
    return sha256(json.dumps([row.get(name) for name in _COLUMNS]).encode()).hexdigest()


def is_whole(value: str) -> bool:
    """Whether a text from a table is Unicode: a damaged byte shows as a lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: str) -> str:
    """A text from a table for a message, damaged bytes as ``\\udcff``."""
    return value.encode("utf-8", "backslashreplace").decode()


def text(value: Any) -> Any:
    """PostgreSQL refuses NUL in text."""
    return value.replace("\0", "") if isinstance(value, str) else value
