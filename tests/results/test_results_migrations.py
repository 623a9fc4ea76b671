"""A store of every earlier version is brought up to date, and nothing in it is lost, whatever happens meanwhile."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import older_store
import pytest

from edgekit.results.schema import MIGRATIONS
from edgekit.results.store import open_store

NOW = len(MIGRATIONS)


def test_there_is_a_store_of_every_earlier_version_to_test_with() -> None:
    assert sorted(older_store.ROWS) == list(range(1, NOW)), (
        "a new migration needs rows as the version before wrote them"
    )


@pytest.mark.parametrize("version", range(1, NOW))
def test_a_store_of_an_earlier_version_keeps_everything(tmp_path: Path, version: int) -> None:
    url = str(tmp_path / "s.sqlite")
    older_store.make(url, version)
    store = open_store(url)
    assert older_store.content(url) == older_store.expected(version)
    assert older_store.version_of(url) == NOW
    kept = store.list(limit=None)
    assert {result.device for result in kept if result.kind == "measurement"} == {"pi4", "pi4 (emulated)"}
    assert {result.lab for result in kept} == ({None, "munich"} if version >= 3 else {None})
    assert not store.notices
    for result in kept:
        if result.kind == "measurement":
            assert len(store.samples(result.id).latency) == 3


@pytest.mark.parametrize("version", range(1, NOW))
def test_what_migrated_is_the_same_as_what_is_made_anew(tmp_path: Path, version: int) -> None:
    def tables(url: str) -> list[tuple[str, ...]]:
        open_store(url)
        with sqlite3.connect(url) as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return sorted(
                (name, *map(str, row[1:])) for name in names for row in connection.execute(f"PRAGMA table_info({name})")
            )

    older_store.make(str(tmp_path / "old.sqlite"), version)
    assert tables(str(tmp_path / "old.sqlite")) == tables(str(tmp_path / "new.sqlite"))


# a process that dies before the given statement of the migration
DIES = """
import os, sys
from edgekit.results import database, store
url, left = sys.argv[1], int(sys.argv[2])
inside, execute = [False], database.Transaction.execute
def counted(self, sql, parameters=None):
    global left
    if not sql.startswith("SELECT"):
        if left == 0:
            os._exit(9)
        left -= 1
    return execute(self, sql, parameters)
database.Transaction.execute = counted
store.open_store(url)
"""


def crash_at(url: str, statement: int) -> int:
    """The exit status of a process that is to die before its n-th statement that writes."""
    return subprocess.run([sys.executable, "-c", DIES, url, str(statement)], timeout=60, check=False).returncode


@pytest.mark.parametrize("version", range(1, NOW))
def test_a_crash_in_the_midst_of_a_migration_leaves_the_old_version(tmp_path: Path, version: int) -> None:
    url = str(tmp_path / "s.sqlite")
    older_store.make(url, version)
    statements = sum(len(MIGRATIONS[number]) + 1 for number in range(version, NOW))
    for statement in range(statements):
        assert crash_at(url, statement) == 9
        assert older_store.version_of(url) == version
    open_store(url)
    assert older_store.content(url) == older_store.expected(version)


def test_two_processes_that_open_an_old_store_at_once_both_succeed(tmp_path: Path) -> None:
    url = str(tmp_path / "s.sqlite")
    older_store.make(url, 1)
    code = "import sys; from edgekit.results.store import open_store; print(len(open_store(sys.argv[1]).list()))"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True, env={**os.environ})
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == ["4"] * 3
    assert older_store.version_of(url) == NOW
