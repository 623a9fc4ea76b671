"""gate as its users see it: what it refuses, first baselines, what it keeps and writes."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import tiny_tflite
from cli_run import Edgekit, refused

from edgekit.results.store import open_store


@pytest.fixture
def model(edgekit: Edgekit) -> Path:
    path = edgekit.folder / "models" / "kws.tflite"
    path.parent.mkdir()
    path.write_bytes(tiny_tflite.dense_chain_int8(layers=2, columns=32))
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--plan", "quick"), "only indicative"),
        (("--latency", "much"), "--latency 'much' is no percentage"),
        (("--max-drop", "-1"), "--max-drop '-1': percentage points"),
        (("--max-drop", "nan"), "--max-drop 'nan': percentage points"),
        (("--on-inconclusive", "shrug"), "neither fail nor warn"),
        (("--latency", "off", "--memory", "off", "--size", "off", "--max-drop", "off"), "nothing left to look at"),
        (("--num-threads", "1,2"), "one thread count"),
        (("--device", "no-such-board"), "no-such-board"),
        (("--junit", "models"), "it is a folder"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_measured(
    edgekit: Edgekit, model: Path, arguments: tuple[str, ...], words: str
) -> None:
    refused(edgekit("gate", model, "--baseline", model, *arguments), 2, words)


def test_a_release_cannot_be_accepted_as_a_file(edgekit: Edgekit, model: Path) -> None:
    refused(edgekit("gate", model, "--baseline", "device:current", "--accept"), 2, "edgekit deploy")


def test_candidates_that_go_with_no_baseline_are_refused(edgekit: Edgekit, model: Path) -> None:
    refused(edgekit("gate", model, model, "--baseline", model), 2, "two candidates are called kws.tflite")
    other = model.with_name("other.tflite")
    other.write_bytes(model.read_bytes())
    refused(edgekit("gate", model, other, "--baseline", model), 2, "2 candidates and 1 baselines")
    refused(edgekit("gate", model, "--baseline", "baselines"), 4, "has no baseline yet", "--accept")
    refused(edgekit("gate", "missing.tflite", "--baseline", model), 4, "no such file")


def test_the_hint_for_a_model_without_a_baseline_makes_it_the_first_one(edgekit: Edgekit, model: Path) -> None:
    ran = edgekit(
        "gate", "models/kws.tflite", "--baseline", "baselines", "--accept", "--junit", "out/gate.xml", "--json"
    )
    assert ran.status == 0, ran.err
    assert (edgekit.folder / "baselines" / "kws.tflite").read_bytes() == model.read_bytes()
    document = ran.document
    assert (document["verdict"], document["accepted"]) == ("passed", ["baselines/kws.tflite"])
    assert [(check["name"], check["outcome"]) for check in document["checks"]] == [("baseline", "skipped")]
    suite = ElementTree.parse(edgekit.folder / "out" / "gate.xml").getroot()[0]
    assert (suite.attrib["tests"], suite.attrib["skipped"]) == ("1", "1")


def test_a_summary_is_added_to_what_other_steps_have_written(edgekit: Edgekit, model: Path) -> None:
    summary = edgekit.folder / "summary.md"
    summary.write_text("### Built\n")
    ran = edgekit("gate", model, "--baseline", "baselines", "--accept", env={"GITHUB_STEP_SUMMARY": str(summary)})
    assert ran.status == 0, ran.err
    assert summary.read_text().startswith("### Built\n### ➖ edgekit gate: nothing was compared\n")
    assert "::" not in ran.err  # no workflow commands where no workflow runs


def test_a_board_that_failed_its_self_test_is_refused_with_status_8(edgekit: Edgekit, model: Path) -> None:
    kept = {"device": "local", "model": "digits", "model_sha256": "0" * 64}
    open_store().add("selftest", {"reasons": ["blunt: finds slow-downs from 20 % on"]}, verdict="failed", **kept)
    refused(edgekit("gate", model, "--baseline", model), 8, "failed its self-test", "edgekit devices selftest local")


@pytest.mark.slow
def test_a_gate_by_the_standard_plan_fails_a_file_that_has_grown_and_is_kept(edgekit: Edgekit, model: Path) -> None:
    other = edgekit.folder / "kws.tflite"
    other.write_bytes(tiny_tflite.dense_chain_int8(layers=3, columns=32))
    ran = edgekit("gate", other, "--baseline", "models/kws.tflite", "--latency", "off", "--json")
    assert ran.status == 7, ran.err
    document = ran.document
    assert document["verdict"] == "failed"
    assert [check["name"] for check in document["checks"] if check["outcome"] == "failed"] == ["size"]
    (kept,) = open_store().list("gate")
    assert (kept.verdict, kept.device, kept.model) == ("failed", "local", "kws")
    shown = edgekit("results", "show", kept.id, "--json")
    assert shown.status == 0, shown.err
    assert len(open_store().list("comparison")) == 1
