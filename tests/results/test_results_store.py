"""The store of record: what goes in comes out, whatever happens in between."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_trials import SHA, make_samples

from edgekit.core.errors import DependencyError, StoreError, UsageError
from edgekit.core.notice import Notice
from edgekit.core.places import data_dir
from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from, to_document
from edgekit.results.check import check
from edgekit.results.query import Query
from edgekit.results.schema import MIGRATIONS
from edgekit.results.store import open_store
from edgekit.results.transfer import lines_of


def measured(device: str = "pi4", name: str = "digits.tflite", sha256: str = SHA) -> Measurement:
    model = MeasuredModel(name=name, sha256=sha256, kind="int8", size_bytes=9000)
    return measurement_from(make_samples(), device=device, model=model)


MANIFEST = {
    "schema": "edgekit.artifact/1",
    "name": "digits",
    "sha256": SHA,
    "kind": "int8",
    "size_bytes": 9000,
    "gzip_bytes": 5000,
    "source_sha256": "ab" * 32,
    "score": {"metric": "top-1", "reference": 0.97, "final": 0.968, "drop": 0.2, "count": 360, "details": {}},
    "golden": [{"inputs": ["a megabyte"], "outputs": []}],
}


def test_a_measurement_comes_back_as_it_was() -> None:
    measurement = measured()
    result_id = open_store().add_measurement(measurement)
    kept = open_store().get(result_id)
    path = kept.document["samples_file"]
    assert kept.document == to_document(measurement, samples_file=path)
    assert (kept.kind, kept.device, kept.model, kept.verdict) == ("measurement", "pi4", "digits.tflite", "valid")


def test_the_raw_samples_come_back_and_give_the_same_measurement() -> None:
    measurement = measured()
    store = open_store()
    samples = store.samples(store.add_measurement(measurement))
    assert samples == measurement.samples
    assert measurement_from(samples, device="pi4", model=measurement.model) == measurement


def test_the_samples_file_lies_in_the_data_folder() -> None:
    store = open_store()
    result_id = store.add_measurement(measured())
    assert Path(store.get(result_id).document["samples_file"]) == data_dir() / "samples" / f"{result_id}.json.gz"


def test_a_data_folder_that_was_moved_keeps_its_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_HOME", str(tmp_path / "old"))
    result_id = open_store().add_measurement(measured())
    (tmp_path / "old").rename(tmp_path / "new")
    monkeypatch.setenv("EDGEKIT_HOME", str(tmp_path / "new"))
    assert open_store().samples(result_id) == measured().samples
    assert check(open_store()).damage == ()


def test_a_lost_samples_file_is_a_named_error() -> None:
    store = open_store()
    result_id = store.add_measurement(measured())
    Path(store.get(result_id).document["samples_file"]).unlink()
    with pytest.raises(StoreError, match="are gone"):
        store.samples(result_id)


def test_a_truncated_samples_file_is_a_named_error() -> None:
    store = open_store()
    result_id = store.add_measurement(measured())
    path = Path(store.get(result_id).document["samples_file"])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(StoreError, match="is damaged"):
        store.samples(result_id)


def test_an_artifact_is_kept_without_its_golden_samples() -> None:
    store = open_store()
    kept = store.get(store.add_optimization(MANIFEST))
    assert kept.kind == "artifact"
    assert kept.document == {name: value for name, value in MANIFEST.items() if name != "golden"}


def test_a_deployment_is_kept() -> None:
    document = {"release": {"id": "7", "path": "/home/pi/.edgekit/7", "previous": "6"}, "uploaded_bytes": 0}
    store = open_store()
    kept = store.get(store.add_deployment(document, device="pi4", model="digits", model_sha256=SHA))
    assert (kept.kind, kept.device, kept.document) == ("deployment", "pi4", document)


def test_the_newest_comes_first_and_filters_hold() -> None:
    store = open_store()
    first = store.add_measurement(measured())
    store.add_optimization(MANIFEST)
    last = store.add_measurement(measured(device="pi5", name="other.tflite", sha256="cd" * 32))
    assert [result.id for result in store.list("measurement")] == [last, first]
    assert [result.id for result in store.list(device="pi5")] == [last]
    assert [result.id for result in store.list(model="other.tflite")] == [last]
    assert [result.id for result in store.list(model="cdcd")] == [last]
    assert len(store.list(limit=2)) == 2
    assert len(store.list(limit=None)) == 3


def test_wildcards_in_a_name_are_only_characters() -> None:
    store = open_store()
    store.add_measurement(measured())
    assert store.list(model="%") == ()
    with pytest.raises(UsageError):
        store.get("%")


def test_the_beginning_of_an_id_is_enough() -> None:
    store = open_store()
    result_id = store.add_measurement(measured())
    assert store.get(result_id[:6].upper()).id == result_id


def test_an_id_that_is_ambiguous_or_unknown_is_a_usage_error() -> None:
    store = open_store()
    for _ in range(20):
        store.add_optimization(MANIFEST)
    first_digits = [result.id[0] for result in store.list()]
    twice = next(digit for digit in first_digits if first_digits.count(digit) > 1)
    with pytest.raises(UsageError, match="several results"):
        store.get(twice)
    for wrong in ("zz", ""):
        with pytest.raises(UsageError, match="no result"):
            store.get(wrong)


def test_an_unknown_kind_gets_the_nearest_one() -> None:
    with pytest.raises(UsageError) as caught:
        open_store().list("mesurement")  # type: ignore[arg-type]
    assert "'measurement'" in (caught.value.hint or "")


def test_an_export_is_one_document_oldest_first() -> None:
    store = open_store()
    ids = [store.add_optimization(MANIFEST) for _ in range(3)]
    document = store.export()
    assert json.loads(json.dumps(document))["schema"] == "edgekit.results/1"
    assert [result["id"] for result in document["results"]] == ids


def test_secrets_are_masked_before_they_are_kept() -> None:
    canary = "hunter2-canary"
    manifest = MANIFEST | {
        "recipe": {"password": canary, "url": f"https://me:{canary}@host/x", "api_token": canary},
        "notes": [f"-----BEGIN OPENSSH PRIVATE KEY-----\n{canary}\n-----END OPENSSH PRIVATE KEY-----"],
    }
    store = open_store()
    kept = store.get(store.add_optimization(manifest))
    assert canary not in json.dumps(kept.document)
    assert all(canary.encode() not in path.read_bytes() for path in data_dir().rglob("*") if path.is_file())


def test_not_a_number_is_kept_as_null() -> None:
    store = open_store()
    manifest = MANIFEST | {"score": {"metric": "mse", "final": float("nan"), "drop": float("inf")}}
    assert store.get(store.add_optimization(manifest)).document["score"]["final"] is None


WRITER = """
import sys
from edgekit.results.store import open_store
manifest = {"name": "n", "sha256": "0" * 64, "kind": "int8", "size_bytes": 1}
for _ in range(15):
    open_store(sys.argv[1]).add_optimization(manifest)
"""


def test_four_writers_at_once_lose_nothing_even_when_the_store_is_new(tmp_path: Path) -> None:
    path = tmp_path / "team.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stderr=subprocess.PIPE) for _ in range(4)]
    errors = [writer.communicate(timeout=60)[1].decode() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, errors
    assert len(open_store(str(path)).list(limit=None)) == 60


def test_a_locked_store_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = open_store(str(path), patience_s=0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"in use by another process.*the result waits in") as caught:
        store.add_measurement(measured())
    assert caught.value.exit_code == 6
    assert caught.value.hint
    other.execute("ROLLBACK")
    other.close()
    kept = open_store(str(path)).list()
    assert [result.model for result in kept] == ["digits.tflite"]
    assert open_store(str(path)).samples(kept[0].id) == measured().samples
    assert not list((data_dir() / "pending").iterdir())


@pytest.mark.parametrize(
    "content", [b"this is a text file, not a database\n" * 50, b"SQLite format 3\0" + b"\xff" * 8000]
)
def test_a_damaged_store_is_named_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged or not a database") as caught:
        open_store(str(path))
    assert "mv " in (caught.value.hint or "")
    assert path.read_bytes() == content


def test_a_store_that_is_damaged_while_open_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = open_store(str(path))
    for leftover in (path, path.with_name("s.sqlite-wal"), path.with_name("s.sqlite-shm")):
        leftover.unlink(missing_ok=True)
    path.write_bytes(b"x" * 5000)
    with pytest.raises(StoreError, match="the result waits in"):
        store.add_measurement(measured())
    path.unlink()
    assert len(open_store(str(path)).list()) == 1


@pytest.mark.parametrize("document", ['{"cut', "[]", "{}", "null", '{"kind": 3, "size_bytes": ' + "[" * 3000])
@pytest.mark.parametrize("summed", [True, False], ids=["with its sum", "from before sums"])
def test_a_damaged_row_is_named_and_the_others_are_shown(tmp_path: Path, document: str, summed: bool) -> None:
    path = tmp_path / "s.sqlite"
    store = open_store(str(path))
    whole, broken = store.add_optimization(MANIFEST), store.add_optimization(MANIFEST)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE runs SET document = ? WHERE id = ?", (document, broken))
        if not summed:
            connection.execute("UPDATE runs SET row_sha256 = NULL")
    store = open_store(str(path))
    assert [result.id for result in store.list()] == [whole]
    (notice,) = store.notices
    assert notice.code == "result-damaged"
    assert broken in notice.message
    assert "results check" in notice.hint
    store.list()
    assert len(store.notices) == 1  # once is enough
    with pytest.raises(StoreError, match="damaged row"):
        store.get(broken)
    assert store.get(whole).id == whole


def test_a_figure_that_changed_in_the_store_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    open_store(str(path)).add_measurement(measured())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE runs SET document = replace(document, 'median_ns\": 1', 'median_ns\": 9')")
        connection.execute("UPDATE runs SET document = replace(document, 'median_ns\": 2', 'median_ns\": 9')")
    store = open_store(str(path))
    assert store.list() == ()
    assert "changed since it was written" in store.notices[0].message
    (damage,) = check(store).damage
    assert "changed since it was written" in damage.message


@pytest.mark.parametrize("column", ["id", "created", "model", "document"])
def test_a_damaged_byte_is_one_rows_damage_and_the_rest_is_saved(tmp_path: Path, column: str) -> None:
    path = tmp_path / "s.sqlite"
    store = open_store(str(path))
    store.add_optimization(MANIFEST)
    broken = store.add_optimization(MANIFEST)
    with sqlite3.connect(path) as connection:
        connection.execute(
            f"UPDATE runs SET {column} = CAST(x'7bff7d' || {column} AS TEXT) WHERE id = ?",
            (broken,),
        )
    opened = open_store(str(path))
    assert len(opened.list()) == 1
    assert "UTF-8" in opened.notices[0].message
    (damage,) = check(open_store(str(path))).damage
    assert "damaged" in damage.message
    notices: list[Notice] = []
    assert len(list(lines_of(open_store(str(path)), Query(), notices))) == 1
    assert len(notices) == 1


def test_what_is_no_text_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="UTF-8"):
        open_store().list(model="\udcff")


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "photos.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    with pytest.raises(StoreError, match="another program's database"):
        open_store(str(path))
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("photos",)]


def test_a_store_of_a_newer_edgekit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    open_store(str(path))
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO schema_version VALUES (?, 'later')", (len(MIGRATIONS) + 1,))
    with pytest.raises(StoreError, match="newer edgekit") as caught:
        open_store(str(path))
    assert "--upgrade" in (caught.value.hint or "")


def test_a_store_that_may_only_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    open_store(str(path)).add_optimization(MANIFEST)
    store = open_store(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert len(store.list()) == 1
    with pytest.raises(StoreError, match="cannot be opened for writing"):
        store.add_optimization(MANIFEST)


def test_a_store_whose_folder_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot make the folder") as caught:
        open_store(str(tmp_path / "file" / "s.sqlite"))
    assert "EDGEKIT_STORE" in (caught.value.hint or "")


FULL_DISK = """
import resource, signal, sys
from edgekit.core.errors import StoreError
from edgekit.results.store import open_store
store = open_store(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
manifest = {"name": "n", "sha256": "0" * 64, "kind": "int8", "size_bytes": 1, "notes": "x" * 20_000}
kept = 0
try:
    for _ in range(100):
        store.add_optimization(manifest)
        kept += 1
except StoreError as error:
    print(kept, error.message)
"""


def test_a_full_disk_stops_clearly_and_keeps_what_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    kept, _, message = done.stdout.partition(" ")
    assert "the disk is full" in message
    assert int(kept) > 0
    assert len(open_store(str(path)).list(limit=None)) == int(kept) + 1  # the one that waited


def test_a_damaged_waiting_file_stays_and_is_told() -> None:
    waiting = data_dir() / "pending" / "abc.json.gz"
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes(b"not gzip")
    store = open_store()
    assert [notice.code for notice in store.notices] == ["result-waiting"]
    assert waiting.exists()
    assert store.list() == ()


def test_the_environment_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "elsewhere.sqlite"))
    open_store().add_optimization(MANIFEST)
    assert (tmp_path / "elsewhere.sqlite").is_file()


@pytest.mark.parametrize("url", ["://", "sqlite://", "oracl://host/x"])
def test_a_url_that_is_none_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        open_store(url)


def test_a_server_that_does_not_answer_is_named_without_the_password() -> None:
    with pytest.raises(StoreError, match="does not answer") as caught:
        open_store("postgresql://me:hunter2@127.0.0.1:9/edgekit")
    assert "hunter2" not in caught.value.message


def test_a_missing_driver_is_a_dependency_error() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from edgekit.core.errors import DependencyError\n"
        "from edgekit.results.store import open_store\n"
        "try:\n    open_store('postgresql://me@127.0.0.1:9/edgekit')\n"
        "except DependencyError as error:\n    print(error.exit_code, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == '3 pip install "psycopg[binary]"\n'
    assert DependencyError.exit_code == 3


def test_the_store_is_imported_without_sqlalchemy() -> None:
    code = "import sys, edgekit.results.store; print('sqlalchemy' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env={**os.environ}
    )
    assert done.stdout == "False False\n"
