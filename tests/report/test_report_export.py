"""Markdown, CSV and JSON of the same fields."""

from __future__ import annotations

import csv
import io
import json

import pytest
from synthetic_trials import BLIND, SHA, make_samples

from edgekit.core.errors import UsageError
from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from
from edgekit.report import clean, words
from edgekit.report.export import export_measurements, export_results
from edgekit.report.fields import MEASUREMENT_FIELDS, RESULT_FIELDS
from edgekit.results.store import open_store


def measured(name: str = "digits.tflite", device: str = "pi4") -> Measurement:
    samples = make_samples(before=BLIND, after=BLIND)
    model = MeasuredModel(name=name, sha256=SHA, kind="int8", size_bytes=9000)
    return measurement_from(samples, device=device, model=model)


def test_csv_has_raw_figures_one_column_each() -> None:
    measurement = measured()
    (row,) = csv.DictReader(io.StringIO(export_measurements([measurement], "csv")))
    assert int(row["median_ns"]) == measurement.latency.median_ns
    assert int(row["peak_rss_bytes"]) == measurement.memory.peak_rss_bytes
    assert row["p99_ns"] == ""
    assert row["fully_delegated"] == "true"
    assert row["reasons"] == "uncontrolled: temperature, clock, governor, throttle bits"


def test_markdown_shows_every_figure_with_what_it_depends_on() -> None:
    text = export_measurements([measured(), measured("b.tflite")], "markdown")
    header, rule, first, second = text.splitlines()
    assert header.count("|") == rule.count("|") == first.count("|") == second.count("|")
    for column in (
        "device",
        "runtime",
        "version",
        "delegate",
        "thr.",
        "processes",
        "median",
        "to (95 %)",
        "verdict",
        "reasons",
    ):
        assert f"| {column} |" in header
    assert "| 2.00 ms |" in first


def test_json_is_the_documents_themselves() -> None:
    document = json.loads(export_measurements([measured()], "json"))
    assert document["schema"] == "edgekit.measurements/1"
    assert document["measurements"][0]["latency"]["missing"]["p99_ns"].startswith("needs 662")


def test_kept_results_are_exported_in_every_form() -> None:
    store = open_store()
    store.add_measurement(measured())
    store.add_optimization({"name": "n", "sha256": "0" * 64, "kind": "int8", "size_bytes": 46_120, "score": None})
    results = store.list()
    rows = list(csv.DictReader(io.StringIO(export_results(results, "csv"))))
    assert [row["kind"] for row in rows] == ["artifact", "measurement"]
    assert rows[0]["size_bytes"] == "46120"
    assert int(rows[1]["median_ns"]) == measured().latency.median_ns
    assert export_results(results, "markdown").count("\n") == 4
    assert len(json.loads(export_results(results, "json"))["results"]) == 2


def test_an_unknown_form_gets_the_nearest_one() -> None:
    with pytest.raises(UsageError) as caught:
        export_measurements([], "markdwon")
    assert "'markdown'" in (caught.value.hint or "")


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", '=HYPERLINK("http://x")'])
def test_a_text_that_a_spreadsheet_would_run_is_neutralised(formula: str) -> None:
    (row,) = csv.DictReader(io.StringIO(export_measurements([measured(device=formula)], "csv")))
    assert row["device"].startswith("'")


def test_numbers_stay_numbers_in_csv() -> None:
    assert clean.cell(-0.5) == -0.5
    assert clean.cell(None) == ""
    assert clean.cell("plain-name") == "plain-name"


def test_a_name_cannot_break_out_of_a_markdown_cell() -> None:
    text = export_measurements([measured(device="a|b\n# c <script> [x](y)")], "markdown")
    assert len(text.splitlines()) == 3
    assert r"a\|b\\n# c &lt;script&gt; \[x\](y)" in text


def test_field_names_are_unique_and_end_with_their_unit() -> None:
    for fields in (MEASUREMENT_FIELDS, RESULT_FIELDS):
        names = [field.name for field in fields]
        assert len(set(names)) == len(names)
    for field in MEASUREMENT_FIELDS:
        if field.show.__name__ in ("duration", "size"):
            assert field.name.endswith(("_ns", "_bytes"))


def test_clean_keeps_ordinary_text_of_any_language() -> None:
    for text in ("Raspberry Pi 4 Model B", "Modèle ü 模型 🙂", "a [b] c"):
        assert clean.clean(text) == text


def test_clean_writes_out_what_moves_hides_or_reorders() -> None:
    assert clean.clean("a\x1b[2Jb\nc\u202ed\u200be\x7f\x85") == "a\\x1b[2Jb\\nc\\u202ed\\u200be\\x7f\\x85"


def test_intervals_name_their_unit_once_where_both_bounds_share_it() -> None:
    assert words.interval((1_210_000, 1_260_000)) == "1.21–1.26 ms"
    assert words.interval((990_000, 1_010_000)) == "990 µs–1.01 ms"
    assert words.interval((12_060, 12_110)) == "12.06–12.11 µs"
    assert words.interval((12_060, 12_060)) == "12.1–12.1 µs"
    assert words.interval(None) == "–"


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [(46, 12, "3.83× smaller"), (12, 46, "3.83× larger"), (100, 100, "same"), (None, 3, "–"), (0, 3, "–")],
)
def test_a_change_says_its_direction(before: int | None, after: int | None, text: str) -> None:
    assert words.change(before, after, "smaller", "larger") == text


def test_a_drop_is_in_points_for_fractions_and_in_percent_else() -> None:
    assert words.drop(0.25, "top-1") == "-0.25 pp"
    assert words.drop(-0.25, "agreement") == "+0.25 pp"
    assert words.drop(1.5, "mse") == "-1.50 %"
    assert words.drop(0.0, "top-1") == "0.00 pp"
    assert words.drop(None, "top-1") == "–"


def test_a_score_is_a_percentage_only_where_it_is_a_fraction() -> None:
    assert words.score(0.9722, "top-5") == "97.22 %"
    assert words.score(0.0123456, "mse") == "0.01235"
    assert words.score(1.5, "mine:loss") == "1.5"
