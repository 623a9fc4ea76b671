"""A gate for people, for JUnit's readers and for GitHub."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import pytest
from gate_cases import compared, score_of
from rich.console import Console

from edgekit.measure.gate import Gate, judge_gate
from edgekit.measure.gate_checks import GateLimits, no_baseline, no_board
from edgekit.report.gated import gate_sentence, gate_table
from edgekit.report.github import step_summary, workflow_commands
from edgekit.report.junit import junit_xml

#: what could end a line, open a tag, a cell, a command or a property
HOSTILE = "a|b`<script>\x1b[31m\n::error::%0A,x:y&\u202e*_]"


def mixed() -> Gate:
    """A gate with every outcome."""
    return judge_gate(
        [
            compared(0.3, larger=0.2, score=score_of("top-1", 0.97, 0.9722)),
            compared(0.05, noise=0.01, device="pi5"),
            compared(finite=False, device="pi3"),
        ],
        GateLimits(),
        also=[no_baseline("pi4", "new"), no_board("pi2", "kws", "pi2: no route to host")],
    )


def shown(gate: Gate, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, emoji=False)
    console.print(gate_table(gate))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_row_has_both_sides_the_change_with_its_interval_the_limit_and_the_outcome() -> None:
    rows = shown(mixed()).splitlines()
    (latency,) = [row for row in rows if row.startswith("failed ") and "latency" in row]
    assert re.search(r"latency +2\.00 ms +2\.60 ms +\+30\.\d % \(\+29\.\d to \+30\.\d\) +\+5 %", latency)
    (size,) = [row for row in rows if row.startswith("failed ") and " size " in row]
    assert re.search(r"100 kB +120 kB +\+20\.0 % +\+1 %", size)
    (score,) = [row for row in rows if "score (top-1)" in row]
    assert re.search(r"97\.00 % +97\.22 % +\+0\.22 pp +-1 pp", score)


def test_what_did_not_pass_says_why_below_its_table() -> None:
    text = shown(mixed())
    assert "latency: it may be within the limit or beyond it" in text
    assert "score: not both models have one" in text
    assert "there was no baseline" in text
    assert "pi2: no route to host" in text
    assert "failed: latency of kws on pi4, size of kws on pi4" in text


def test_rows_stay_on_one_line_of_eighty_columns() -> None:
    rows = [row for row in shown(mixed(), width=80).splitlines() if re.match("(failed|inconclusive) ", row)]
    assert len(rows) == 3
    assert all(row.rstrip().endswith("%") for row in rows)


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        (judge_gate([compared()], GateLimits()), "passed: 3 checks"),
        (judge_gate([], GateLimits(), also=[no_baseline("pi4", "kws")]), "passed: nothing was compared"),
        (judge_gate([compared(finite=False)], GateLimits()), "invalid: 1 check could not"),
        (judge_gate([compared(0.05, noise=0.01)], GateLimits()), "inconclusive: 1 check neither"),
    ],
)
def test_the_sentence_is_the_verdict_in_words(gate: Gate, says: str) -> None:
    assert gate_sentence(gate).startswith(says)


# ------------------------------------------------------------------------------------------------------ JUnit


def attributes(element: ElementTree.Element) -> set[str]:
    return set(element.attrib)


@pytest.mark.parametrize("fail_inconclusive", [True, False])
def test_junit_holds_to_its_schema_and_its_counts_are_those_of_its_cases(fail_inconclusive: bool) -> None:
    root = ElementTree.fromstring(junit_xml(mixed(), fail_inconclusive=fail_inconclusive))
    assert root.tag == "testsuites"
    suites = list(root)
    assert [suite.attrib["name"] for suite in suites] == [
        "kws on pi4",
        "kws on pi5",
        "kws on pi3",
        "new on pi4",
        "kws on pi2",
    ]
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in suites:
        assert suite.tag == "testsuite"
        assert {"name", "tests", "failures", "errors", "skipped"} <= attributes(suite)
        assert attributes(suite) <= {"name", "tests", "failures", "errors", "skipped", "hostname", "timestamp"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib.get("timestamp", "2026-01-01T00:00:00"))
        properties, *cases = suite
        assert properties.tag == "properties"
        assert all(attributes(one) == {"name", "value"} for one in properties)
        assert {case.tag for case in cases} == {"testcase"}
        counted = {
            "tests": len(cases),
            "failures": len(suite.findall("testcase/failure")),
            "errors": len(suite.findall("testcase/error")),
            "skipped": len(suite.findall("testcase/skipped")),
        }
        assert counted == {name: int(suite.attrib[name]) for name in counted}
        totals = {name: totals[name] + counted[name] for name in totals}
        for case in cases:
            assert attributes(case) == {"name", "classname"}
            assert len(case) == 1
            assert case[0].tag in ("failure", "error", "skipped", "system-out")
    assert totals == {name: int(root.attrib[name]) for name in totals}
    assert totals["failures"] == 2


def test_what_stays_open_is_an_error_or_a_skipped_test_as_the_policy_says() -> None:
    found = judge_gate([compared(0.05, noise=0.01)], GateLimits())
    for fail, tag in ((True, "error"), (False, "skipped")):
        root = ElementTree.fromstring(junit_xml(found, fail_inconclusive=fail))
        case = root.find(".//testcase[@name='latency']")
        assert case is not None
        assert case[0].tag == tag
        assert "within the limit or beyond it" in case[0].attrib["message"]


def test_properties_say_what_was_compared_with_what_and_in_which_circumstances() -> None:
    root = ElementTree.fromstring(junit_xml(mixed(), fail_inconclusive=True))
    found = {one.attrib["name"]: one.attrib["value"] for one in root[0][0]}
    assert found["baseline_sha256"] == "5e" * 32
    assert "LiteRT C API 2.3.0, XNNPACK" in found["circumstances"]
    assert (found["device"], found["pairs"]) == ("pi4", "10")


def test_hostile_names_cannot_break_out_of_xml_markdown_or_a_command() -> None:
    found = judge_gate([compared(0.3, model=HOSTILE, device=HOSTILE)], GateLimits())
    root = ElementTree.fromstring(junit_xml(found, fail_inconclusive=True))
    assert len(root) == 1
    text = step_summary(found)
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {7}
    (line,) = workflow_commands(found, {HOSTILE: HOSTILE}, fail_inconclusive=True)
    assert "\n" not in line
    assert line.startswith("::error file=")
    properties, _, message = line.removeprefix("::error ").partition("::")
    assert [one.partition("=")[0] for one in properties.split(",")] == ["file", "title"]
    assert ":" not in properties
    assert "\x1b" not in line + shown(found)
    assert message.startswith("latency +30")


# ----------------------------------------------------------------------------------------------------- GitHub


def test_percent_signs_and_commas_are_escaped_as_github_reads_them() -> None:
    found = judge_gate([compared(0.3)], GateLimits())
    (line,) = workflow_commands(found, {"kws": "models/kws, new: 100%.tflite"}, fail_inconclusive=True)
    assert line.startswith(
        "::error file=models/kws%2C new%3A 100%25.tflite,title=edgekit gate%2C failed%3A latency of kws on pi4::"
    )
    assert "the limit is +5 %25" in line


def test_what_fails_comes_first_and_what_stays_open_warns_where_that_is_the_policy() -> None:
    lines = workflow_commands(mixed(), {}, fail_inconclusive=False)
    kinds = [line.removeprefix("::").partition(" ")[0] for line in lines]
    assert kinds == ["error", "error", "error", "error", "warning", "notice"]
    assert "kws on pi5" in lines[4]
    strict = workflow_commands(mixed(), {}, fail_inconclusive=True)
    assert [line.removeprefix("::").partition(" ")[0] for line in strict] == ["error"] * 5 + ["notice"]
    assert workflow_commands(judge_gate([compared()], GateLimits()), {}, fail_inconclusive=True) == []


def test_the_summary_begins_with_the_verdict_and_has_a_row_for_every_check() -> None:
    text = step_summary(mixed())
    assert text.startswith("### ❌ edgekit gate: a regression\n")
    for row in ("| ❌ failed | latency |", "| ❔ inconclusive | latency |", "| ⚠️ invalid | board |", "| ➖ skipped |"):
        assert row in text
    assert "seed 1" in text
    nothing = step_summary(judge_gate([], GateLimits(), also=[no_baseline("pi4", "kws")]))
    assert nothing.startswith("### ➖ edgekit gate: nothing was compared")
