"""The same store on a real PostgreSQL server, where one and its driver are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic_trials import SHA, make_samples

from edgekit.core.errors import UsageError
from edgekit.measure.measurement import MeasuredModel, measurement_from
from edgekit.results.store import open_store

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
