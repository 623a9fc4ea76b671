"""``edgekit report``, run as a user runs it."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import sys
from pathlib import Path

import pytest
from cli_run import Edgekit

sys.path += [str(Path(__file__).resolve().parents[1] / room) for room in ("report", "measure")]


@pytest.fixture
def filled(edgekit: Edgekit) -> Edgekit:
    """A board that was steady, and one that was not."""
    from kept_results import measurement, restless_samples

    from edgekit.results.store import open_store

    store = open_store()
    store.add_measurement(measurement())
    store.add_measurement(measurement(device="local", samples=restless_samples()))
    return edgekit


def test_a_page_is_written_and_the_answer_says_where_and_what(filled: Edgekit):
    ran = filled("report", "--device", "pi4")
    assert ran.status == 0, ran.err
    page = filled.folder / "report.html"
    assert str(page) in ran.out
    assert "digits-int8 on pi4: 2.00 ms ±0.3 %, VALID" in ran.out
    assert page.read_text().startswith("<!doctype html>")
    assert "device: pi4" in page.read_text()


def test_json_names_the_file_and_the_answer_of_each_board(filled: Edgekit):
    ran = filled("report", "--json", "--format", "csv", "-o", "r.csv")
    assert ran.status == 0, ran.err
    assert ran.document["path"] == "r.csv"
    assert ran.document["command"] == "report"
    assert {(one["board"], one["verdict"]) for one in ran.document["summary"]} == {
        ("pi4", "valid"),
        ("local", "unstable"),
    }


def test_other_forms_go_to_standard_output_whole(filled: Edgekit):
    markdown = filled("report", "--format", "markdown")
    assert markdown.status == 0, markdown.err
    assert max(map(len, markdown.out.splitlines())) > 200  # nothing is cut at the width of a terminal
    rows = list(csv.DictReader(io.StringIO(filled("report", "--format", "csv").out)))
    assert {row["kind"] for row in rows} == {"measurement"}
    assert json.loads(filled("report", "--format", "json").out)["schema"] == "edgekit.results/1"
    assert not (filled.folder / "report.html").exists()


def test_one_board_and_a_time_can_be_asked_for(filled: Edgekit):
    ran = filled("report", "--json", "--device", "pi4", "--since", "1h", "--format", "json")
    assert [one["board"] for one in ran.document["summary"]] == ["pi4"]
    assert filled("report", "--json", "--since", "2099-01-01", "--format", "json").document["count"] == 0


def test_a_damaged_result_is_left_out_and_named_on_the_page_too(filled: Edgekit):
    from edgekit.core.places import data_dir
    from edgekit.results.store import open_store

    newest, older = open_store().list()
    with sqlite3.connect(data_dir() / "results.sqlite") as connection:
        connection.execute("UPDATE runs SET document = substr(document, 1, 200) WHERE id = ?", (newest.id,))
    ran = filled("report", "--json")
    assert ran.status == 0, ran.err
    (warning,) = ran.document["warnings"]
    assert newest.id in warning["message"]
    page = (filled.folder / "report.html").read_text()
    assert newest.id in page
    assert "damaged" in page
    assert ran.document["count"] == 1
    assert older.device in page


def test_an_empty_store_is_no_failure_and_says_what_to_do(edgekit: Edgekit):
    ran = edgekit("report")
    assert ran.status == 0, ran.err
    assert "`edgekit demo` makes the first" in ran.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "htm"), "unknown format 'htm'"),
        (("--since", "yesterday"), "--since 'yesterday'"),
        (("-o", "."), "it is a folder"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(edgekit: Edgekit, arguments: tuple[str, ...], words: str):
    ran = edgekit("report", *arguments)
    assert ran.status == 2
    assert words in ran.err


def test_a_hostile_name_cannot_steer_the_terminal(edgekit: Edgekit):
    from kept_results import measurement

    from edgekit.results.store import open_store

    open_store().add_measurement(measurement("a\u202eb\x1b[31m.tflite"))
    told = edgekit("report").out
    assert "a\\u202eb\\x1b[31m on pi4" in " ".join(told.split())
    assert "\u202e" not in told
