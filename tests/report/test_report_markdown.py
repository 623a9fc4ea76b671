"""The report as text for a pull request."""

from __future__ import annotations

import kept_results
from kept_results import measurement

from edgekit.results.store import open_store
from edgekit.verbs.report import report


def text() -> str:
    store = open_store()
    kept_results.fill(store)
    return report(store, form="markdown").text


def test_decisions_come_first_then_the_answer_then_one_table():
    found = text()
    places = [
        found.index(part)
        for part in (
            "❌ gate: **digits-int8 on pi4**",
            "✅ comparison: **digits-int8 on pi4**: faster: latency × 0.350",
            "⚠️ **digits-int8 on local: 2.50 ms ±32.0 %**, UNSTABLE.",
            "| board | model | threads | latency ±95 % |",
            "<details><summary>",
        )
    ]
    assert places == sorted(places)


def test_every_row_has_its_verdict_and_the_folded_part_its_circumstances():
    found = text()
    assert "| pi4 | digits-int8 | 1 | 2.00 ms ±0.3 % | 14.0 MB | 71.4 kB | 99.20 % | ✅ valid |" in found
    assert "- digits-int8 on pi4: LiteRT C API 2.3.0, XNNPACK (all ops), 1 thread, 10 processes" in found
    assert "| board (emulated) |" in found


def test_folded_parts_are_closed_and_tables_are_regular():
    found = text()
    assert found.count("<details>") == found.count("</details>") == 2
    rows = [line for line in found.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {9}


def test_a_name_can_neither_end_the_block_of_code_nor_a_cell():
    store = open_store()
    store.add_measurement(measurement("a|b```\n# c"))
    found = report(store, form="markdown").text
    row = next(line for line in found.splitlines() if "a\\|b" in line and line.startswith("|"))
    assert row.replace("\\|", "").count("|") == 9
    assert "````sh" in found
    assert "\n# c" not in found


def test_an_empty_store_says_so():
    assert "Nothing was measured yet" in report(open_store(), form="markdown").text
