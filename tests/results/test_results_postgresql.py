"""The same store on a real PostgreSQL server, where one and its driver are installed."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import older_store
import psycopg
import pytest
from synthetic_trials import SHA, make_samples
from test_results_migrations import crash_at

from edgekit.core.errors import StoreError, UsageError
from edgekit.measure.measurement import MeasuredModel, measurement_from
from edgekit.results.check import check
from edgekit.results.database import Database
from edgekit.results.query import Query
from edgekit.results.schema import MIGRATIONS
from edgekit.results.store import open_store
from edgekit.results.transfer import lines_of, merge, take_in_lines

# Debian keeps the server's programs out of PATH
PROGRAMS = os.pathsep.join([os.environ.get("PATH", ""), *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
pytestmark = pytest.mark.skipif(
    not shutil.which("initdb", path=PROGRAMS), reason="no PostgreSQL server here: apt-get install postgresql"
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server of its own on a Unix socket; PostgreSQL refuses to run as root."""
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="edgekit-pg-", dir="/tmp"))
    if user:
        shutil.chown(folder, user)
    data = folder / "data"

    def run(*command: str) -> None:
        program = shutil.which(command[0], path=PROGRAMS) or command[0]
        subprocess.run(
            [program, *command[1:]], check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, timeout=60
        )

    run("initdb", "-D", str(data), "-A", "trust", "-U", "edgekit", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql://edgekit@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(server: str) -> str:
    """An empty database of a test's own."""
    name = f"lab{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_an_earlier_version_on_a_server_keeps_everything_even_after_a_crash(database: str, version: int) -> None:
    older_store.make(database, version)
    statements = sum(len(MIGRATIONS[number]) + 1 for number in range(version, len(MIGRATIONS)))
    assert crash_at(database, statements - 1) == 9
    assert older_store.version_of(database) == version
    open_store(database)
    assert older_store.content(database) == older_store.expected(version)
    assert older_store.version_of(database) == len(MIGRATIONS)


def test_a_newer_version_on_a_server_is_refused(database: str) -> None:
    open_store(database)
    with Database(database).writing() as transaction:
        transaction.insert("schema_version", {"version": len(MIGRATIONS) + 1, "applied": "later"})
    with pytest.raises(StoreError, match="newer edgekit"):
        open_store(database)


def test_a_labs_server_is_merged_into_a_file_and_back_as_lines(database: str, tmp_path: Path) -> None:
    older_store.make(database, 2)
    laptop = open_store(str(tmp_path / "mine.sqlite"))
    with pytest.raises(StoreError, match="of an older version"):
        merge(laptop, database)
    assert older_store.version_of(database) == 2  # it is not ours to change
    open_store(database)
    assert merge(laptop, database, lab="munich").added == 5
    assert {result.lab for result in laptop.list()} == {"munich"}
    measurement = laptop.list("measurement")[0]
    assert laptop.samples(measurement.id) == open_store(database).samples(measurement.id)
    shared = open_store(database)
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines_of(laptop, Query(), [])))
    with path.open("rb") as stream:
        taken = take_in_lines(shared, stream, name="lines.jsonl", lab="laptop")
    assert (taken.added, taken.known) == (0, 5)
    assert not check(laptop).damage
    assert not check(shared).damage


def test_postgresql_keeps_everything_and_the_raw_samples_too(server: str) -> None:
    model = MeasuredModel(name="digits\0.tflite", sha256=SHA)
    measurement = measurement_from(make_samples(), device="pi4", model=model)
    store = open_store(server)
    result_id = store.add_measurement(measurement)
    Path(store.get(result_id).document["samples_file"]).unlink()
    shared = open_store(server)
    assert shared.samples(result_id[:8]) == measurement.samples
    assert [result.id for result in shared.list("measurement", device="pi4", model=SHA[:10])] == [result_id]
    assert shared.list(device="pi5") == ()
    with pytest.raises(UsageError):
        shared.get("zz")
