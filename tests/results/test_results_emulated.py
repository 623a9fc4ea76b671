"""What an emulated board measured is never kept as the board's own."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from synthetic_trials import SHA, make_samples

from edgekit.core.places import data_dir
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from, to_document
from edgekit.report.export import export_results
from edgekit.results import waiting
from edgekit.results.schema import MIGRATIONS
from edgekit.results.store import open_store

REASON = "emulated: an emulated processor: the times say nothing about a real board"


def measured(*, emulated: bool) -> Measurement:
    model = MeasuredModel(name="digits.tflite", sha256=SHA, kind="int8", size_bytes=9000)
    return measurement_from(make_samples(), device="pi4", model=model, limits=BoardLimits(emulated=emulated))


def test_asking_for_a_board_never_gives_its_emulated_twin() -> None:
    store = open_store()
    real, twin = (store.add_measurement(measured(emulated=emulated)) for emulated in (False, True))
    assert [result.id for result in store.list(device="pi4")] == [real]
    assert [result.id for result in store.list(device="pi4 (emulated)")] == [twin]
    assert store.get(twin).document["emulated"] is True
    assert store.get(twin).document["device"] == "pi4"


def test_so_is_a_deployment_whose_benchmark_was_emulated() -> None:
    store = open_store()
    release = {"id": "abc", "previous": None}
    for emulated in (False, True):
        document = {"device": "pi4", "emulated": emulated, "release": release, "uploaded_bytes": 1}
        store.add_deployment(document, device="pi4", model="digits", model_sha256=SHA)
    assert {result.device for result in store.list()} == {"pi4", "pi4 (emulated)"}


def test_exports_say_it_too() -> None:
    store = open_store()
    store.add_measurement(measured(emulated=True))
    for form in ("markdown", "csv", "json"):
        assert "pi4 (emulated)" in export_results(store.list(), form)


@pytest.fixture
def older_store() -> Path:
    """A store as the first schema left it: an emulated board's results under the board's own name."""
    path = data_dir() / "results.sqlite"
    path.parent.mkdir(parents=True)
    old = to_document(measured(emulated=False))
    del old["emulated"]
    emulated = {**old, "reasons": [REASON]}
    rows = [
        ("real", "measurement", old),
        ("twin", "measurement", emulated),
        ("deployed", "deployment", {"device": "pi4", "release": {"id": "abc"}, "benchmark": emulated}),
        ("plain", "deployment", {"device": "pi4", "release": {"id": "abc"}, "benchmark": None}),
    ]
    with sqlite3.connect(path) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("INSERT INTO schema_version VALUES (1, 'then')")
        for name, kind, document in rows:
            connection.execute(
                "INSERT INTO runs VALUES (?, ?, '2026-01-01', '0.1', 'pi4', 'digits', ?, NULL, ?)",
                (name, kind, SHA, json.dumps(document)),
            )
    connection.close()
    return path


def test_a_store_of_the_first_schema_is_sorted_when_it_is_opened(older_store: Path) -> None:
    store = open_store()
    assert {result.id for result in store.list(device="pi4")} == {"real", "plain"}
    assert {result.id for result in store.list(device="pi4 (emulated)")} == {"twin", "deployed"}
    with sqlite3.connect(older_store) as connection:
        versions = [row[0] for row in connection.execute("SELECT version FROM schema_version ORDER BY version")]
    assert versions == list(range(1, len(MIGRATIONS) + 1))


def test_opening_it_again_changes_nothing(older_store: Path) -> None:
    open_store()
    assert {result.device for result in open_store().list()} == {"pi4", "pi4 (emulated)"}


def test_a_result_that_waited_since_then_is_named_when_it_comes_in() -> None:
    store = open_store()
    result_id = store.add_measurement(measured(emulated=True))
    with sqlite3.connect(data_dir() / "results.sqlite") as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM runs").fetchone())
        figures = dict(connection.execute("SELECT * FROM measurements").fetchone())
    connection.close()
    (data_dir() / "results.sqlite").unlink()
    for rest in data_dir().glob("results.sqlite-*"):
        rest.unlink()
    figures.pop("run_id")
    entry = {"row": {**row, "device": "pi4"}, "figures": figures, "samples": None}
    waiting.keep(waiting.waiting_path(result_id), waiting.packed(entry))
    assert [result.device for result in open_store().list()] == ["pi4 (emulated)"]
