"""edgekit results as a user calls it: found by time, followed over time, taken elsewhere, checked."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from cli_run import Edgekit

sys.path.append(str(Path(__file__).resolve().parents[1] / "measure"))
from synthetic_trials import SHA, make_samples

from edgekit.core.places import data_dir
from edgekit.measure.measurement import MeasuredModel, measurement_from
from edgekit.results.store import open_store


@pytest.fixture
def edgekit(tmp_path: Path) -> Edgekit:
    """A user with four measurements of one model on one board, the last two of them slower."""
    store = open_store()
    model = MeasuredModel(name="digits.tflite", sha256=SHA, kind="int8")
    for seed, level in enumerate((2e6, 2e6, 2.2e6, 2.2e6)):
        samples = make_samples(median_ns=level, seed=seed, iterations=70)
        store.add_measurement(measurement_from(samples, device="pi4", model=model))
    return Edgekit(folder=tmp_path)


def test_queries_narrow_the_list(edgekit: Edgekit) -> None:
    def count(*options: str) -> int:
        return len(edgekit("results", "list", *options, "--json").document["results"])

    assert count("--last", "1h", "--verdict", "valid", "--device", "pi4", "--model", "digits") == 4
    assert count("--limit", "3") == 3
    assert "there are more" in edgekit("results", "list", "--limit", "3").out
    assert "there are more" not in edgekit("results", "list", "--limit", "4").out
    assert count("--until", "2020-01-01") == 0
    assert "no result is like that" in edgekit("results", "list", "--verdict", "faster").out


@pytest.mark.parametrize(
    "options",
    [
        ("--last", "soon"),
        ("--since", "soon"),
        ("--since", "2026-01-01", "--last", "1d"),
        ("--kind", "dream"),
        ("--verdict", "vaild"),
    ],
)
def test_a_query_that_makes_no_sense_is_a_usage_error(edgekit: Edgekit, options: tuple[str, ...]) -> None:
    ran = edgekit("results", "list", *options, "--json")
    assert (ran.status, ran.error["class"]) == (2, "UsageError")
    assert ran.error["hint"]


def test_one_result_is_shown_whole_as_lines_of_json(edgekit: Edgekit) -> None:
    first = open_store().list()[0]
    shown = edgekit("results", "show", first.id[:6])
    assert json.loads(shown.out)["id"] == first.id
    assert len(shown.out.splitlines()) > 50


def test_a_history_marks_where_it_changed_and_what_that_is_worth(edgekit: Edgekit) -> None:
    ran = edgekit("results", "history", "digits", "--device", "pi4")
    assert ran.status == 0, ran.err
    assert "▲ 10." in ran.out
    assert "unpaired, drift possible" in " ".join(ran.out.split())
    points = edgekit("results", "history", "digits", "--device", "pi4", "--json").document["points"]
    assert [bool(point["change"]) for point in points] == [False, False, True, False]
    unknown = edgekit("results", "history", "cats", "--device", "pi4", "--json")
    assert (unknown.status, unknown.error["class"]) == (2, "UsageError")


def test_results_go_through_a_pipe_into_another_store(edgekit: Edgekit, tmp_path: Path) -> None:
    other = Edgekit(folder=tmp_path, home=tmp_path / "there")
    lines = edgekit("results", "export", "--format", "jsonl")
    assert (lines.status, lines.out.count("\n")) == (0, 4)
    path = tmp_path / "munich.jsonl"
    path.write_text(lines.out)
    taken = other("results", "import", "munich.jsonl", "--json").document
    assert (taken["added"], taken["known"]) == (4, 0)
    assert "pi4 @ munich" in other("results", "list").out
    assert other("results", "import", "munich.jsonl").out.split(":")[1].split() == [
        "0",
        "results",
        "taken",
        "in,",
        "4",
        "here",
        "already",
    ]
    assert other("results", "check").status == 0


def test_a_line_that_was_changed_is_named_and_nothing_comes_in(edgekit: Edgekit, tmp_path: Path) -> None:
    lines = edgekit("results", "export", "--format", "jsonl").out.splitlines()
    lines[2] = lines[2].replace('"valid"', '"invalid"', 1)
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    other = Edgekit(folder=tmp_path, home=tmp_path / "there")
    ran = other("results", "import", "bad.jsonl", "--json")
    assert (ran.status, ran.error["class"]) == (6, "StoreError")
    assert "line 3" in ran.error["message"]
    assert other("results", "list", "--json").document["results"] == []
    rest = other("results", "import", "bad.jsonl", "--skip-damaged", "--json")
    assert (rest.status, rest.document["added"]) == (6, 3)


def test_merging_a_store_says_what_came(edgekit: Edgekit, tmp_path: Path) -> None:
    other = Edgekit(folder=tmp_path, home=tmp_path / "there")
    ran = other("results", "merge", str(data_dir() / "results.sqlite"), "--lab", "berlin", "--json")
    assert ran.document["stores"][0]["added"] == 4
    assert len(other("results", "list", "--lab", "berlin", "--json").document["results"]) == 4
    missing = other("results", "merge", "nowhere.sqlite", "--json")
    assert (missing.status, missing.error["class"]) == (2, "UsageError")


def test_damage_is_listed_and_the_rest_is_saved(edgekit: Edgekit, tmp_path: Path) -> None:
    first = open_store().list()[0]
    with sqlite3.connect(data_dir() / "results.sqlite") as connection:
        connection.execute("UPDATE runs SET document = '{\"cut' WHERE id = ?", (first.id,))
    listed = edgekit("results", "list", "--json")
    assert (listed.status, len(listed.document["results"])) == (0, 3)
    (warning,) = listed.document["warnings"]
    assert first.id in warning["message"]
    assert "edgekit results check" in warning["hint"]
    assert edgekit("results", "show", first.id, "--json").status == 6
    assert edgekit("results", "export", "--format", "csv", "-o", "rest.csv").status == 6  # not everything is in it
    assert len((edgekit.folder / "rest.csv").read_text().splitlines()) == 1 + 3
    checked = edgekit("results", "check", "--json")
    assert (checked.status, [damage["where"] for damage in checked.document["damage"]]) == (6, [first.id])
    saved = edgekit("results", "export", "--format", "jsonl", "-o", "saved.jsonl", "--json")
    assert (saved.status, saved.document["count"]) == (6, 3)
    assert first.id in saved.document["warnings"][0]


def test_a_reader_that_goes_away_is_no_error(edgekit: Edgekit) -> None:
    code = f"{sys.executable} -m edgekit results export --format jsonl | head -c 10"
    ran = subprocess.run(["sh", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in ran.stderr
    assert len(ran.stdout) == 10
