"""Stores as earlier versions left them: their tables by the migrations of then, their rows as that code wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgekit.results.database import Database
from edgekit.results.schema import MIGRATIONS

#: schema version → rows that the code of then wrote (two measurements, one on an emulated board; all other kinds too)
ROWS: dict[int, dict[str, list[dict[str, Any]]]] = {
    int(path.stem[1:]): json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "older_stores").glob("v*.json"))
}
DETAILS = ("measurements", "artifacts", "deployments")


def make(url: str, version: int) -> None:
    """Makes a store of an earlier version at ``url``."""
    with Database(url).writing() as transaction:
        for number, statements in enumerate(MIGRATIONS[:version], 1):
            for statement in statements:
                transaction.execute(statement)
            transaction.insert("schema_version", {"version": number, "applied": "2026-01-01T00:00:00+00:00"})
        for table in ("runs", *DETAILS, "samples"):
            for row in ROWS[version][table]:
                transaction.insert(table, row)


def content(url: str) -> dict[str, list[dict[str, Any]]]:
    """Everything in a store, without the sums that this version added; the lab only where there is one."""
    found = {}
    with Database(url).reading() as transaction:
        for table in ("runs", *DETAILS, "samples"):
            key = "id" if table == "runs" else "run_id"
            rows = transaction.execute(f"SELECT * FROM {table} ORDER BY {key}")
            found[table] = [
                {name: row[name] for name in row if name != "row_sha256" and _is_told(row, name)} for row in rows
            ]
    return found


def _is_told(row: dict[str, Any], name: str) -> bool:
    return name != "lab" or row[name] is not None


def expected(version: int) -> dict[str, list[dict[str, Any]]]:
    """What must be found of that version's rows: the same, emulated boards called so."""
    found = {}
    for table, rows in ROWS[version].items():
        told = ({name: row[name] for name in row if _is_told(row, name)} for row in rows)
        found[table] = sorted(told, key=lambda row: str(row.get("id") or row.get("run_id")))
    for row in found["runs"]:
        if '"emulated: an emulated processor' in row["document"] and not row["device"].endswith(" (emulated)"):
            row["device"] += " (emulated)"
    return found


def version_of(url: str) -> int:
    """The schema version that a store says it has."""
    with Database(url).reading() as transaction:
        return int(transaction.execute("SELECT MAX(version) AS version FROM schema_version")[0]["version"])
