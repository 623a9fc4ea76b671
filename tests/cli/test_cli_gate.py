"""gate as its users see it: what it refuses, first baselines, what it keeps and writes."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import tiny_tflite
from cli_run import Edgekit, refused
from sshd_board import free_port

from edgekit.results.store import open_store

#: a gate that decides by sizes: no figure depends on this machine
BY_SIZE = ("--latency", "off", "--memory", "off")
#: the command with processes that take a moment instead of two seconds
SHORT = """\
import dataclasses, sys
from edgekit.measure import plan
short = dataclasses.replace(
    plan.STANDARD, memory_processes=1, cold_processes=0, min_s=0.05, warmup_s=0.02, warmup_max_s=2.0, retries=0,
    cool_wait_s=0.0,
)
plan.STANDARD = plan.PLANS["standard"] = short
from edgekit.cli.main import main
main(sys.argv[3:])
"""


@pytest.fixture
def model(edgekit: Edgekit) -> Path:
    path = edgekit.folder / "models" / "kws.tflite"
    path.parent.mkdir()
    path.write_bytes(tiny_tflite.dense_chain_int8(layers=2, columns=32))
    return path


@pytest.fixture
def short(edgekit: Edgekit) -> Edgekit:
    return replace(edgekit, flags=("-c", SHORT))


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
    ran = edgekit("gate", model, "--baseline", model, "--junit", "gate.xml")
    assert ran.status == 8, ran.err
    assert "failed its self-test" in ran.err
    assert "edgekit devices selftest local" in ran.err
    assert "not compared: kws on local" in ran.out
    (error,) = ElementTree.parse(edgekit.folder / "gate.xml").getroot().iter("error")
    assert "blunt" in error.attrib["message"]


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


# ------------------------------------------------------------------------------- boards that cannot be used, Ctrl-C


def nobody_there(folder: Path) -> str:
    """An ssh configuration with a board ``pi4`` where nobody listens."""
    path = folder / "nobody"
    path.write_text(
        f"Host pi4\n  HostName 127.0.0.1\n  Port {free_port()}\n  User pi\n  UserKnownHostsFile /dev/null\n"
    )
    return str(path)


def test_a_single_board_that_cannot_be_used_ends_with_5_and_every_file_is_written(
    edgekit: Edgekit, model: Path
) -> None:
    ran = edgekit(
        *("gate", model, "--baseline", model, "--device", "pi4", "--junit", "gate.xml", "--summary", "gate.md"),
        *("--ssh-config", nobody_there(edgekit.folder), "--json"),
        env={"GITHUB_ACTIONS": "true"},
    )
    assert ran.status == 5, ran.err
    document = ran.document
    assert [(check["name"], check["outcome"]) for check in document["checks"]] == [("board", "invalid")]
    assert (document["error"]["class"], document["error"]["exit_code"]) == ("UnreachableError", 5)
    (board,) = document["devices"]
    assert (board["device"], board["ok"]) == ("pi4", False)
    assert document["sentence"] == "invalid: not compared: kws on pi4"
    (error,) = ElementTree.parse(edgekit.folder / "gate.xml").getroot().iter("error")
    assert "pi4" in error.attrib["message"]
    summary = (edgekit.folder / "gate.md").read_text()
    assert "edgekit gate: a board could not be used" in summary
    (annotation,) = [line for line in ran.err.splitlines() if line.startswith("::")]
    assert "board of kws on pi4" in annotation


def test_an_error_before_any_board_is_in_every_file_too(edgekit: Edgekit, model: Path) -> None:
    ran = edgekit(
        *("gate", "no such <model>.tflite", "--baseline", model, "--junit", "gate.xml", "--summary", "gate.md"),
        env={"GITHUB_ACTIONS": "true"},
    )
    refused(ran, 4, "no such file")
    root = ElementTree.parse(edgekit.folder / "gate.xml").getroot()
    assert (root.tag, root.attrib["tests"], root.attrib["errors"]) == ("testsuites", "1", "1")
    (error,) = root.iter("error")
    assert error.attrib["type"] == "ModelError"
    assert "no such <model>.tflite" in error.attrib["message"]
    summary = (edgekit.folder / "gate.md").read_text()
    assert "edgekit gate: nothing was measured" in summary
    assert "<model>" not in summary  # a tag, otherwise
    (annotation,) = [line for line in ran.err.splitlines() if line.startswith("::error ")]
    assert "no such <model>.tflite" in annotation


@pytest.mark.parametrize("layers", [2, 12])
def test_the_other_boards_are_gated_all_the_same_and_a_regression_there_outranks_the_board(
    short: Edgekit, model: Path, layers: int
) -> None:
    old = short.folder / "kws.tflite"
    old.write_bytes(tiny_tflite.dense_chain_int8(layers=2, columns=32))
    model.write_bytes(tiny_tflite.dense_chain_int8(layers=layers, columns=32))
    ran = short(
        *("gate", model, "--baseline", old, "--device", "pi4,local", "--junit", "gate.xml", "--json"),
        *(*BY_SIZE, "--ssh-config", nobody_there(short.folder)),
    )
    assert ran.status == (5 if layers == 2 else 7), ran.err
    document = ran.document
    found = {(check["device"], check["name"]): check["outcome"] for check in document["checks"]}
    assert found["pi4", "board"] == "invalid"
    assert found["local", "size"] == ("passed" if layers == 2 else "failed")
    assert [board["ok"] for board in document["devices"]] == [False, True]
    assert document["error"]["class"] == "UnreachableError"
    assert "not compared: kws on pi4" in document["sentence"]
    suites = {suite.attrib["name"]: suite for suite in ElementTree.parse(short.folder / "gate.xml").getroot()}
    assert set(suites) == {"kws on pi4", "kws on local"}
    assert suites["kws on pi4"].attrib["errors"] == "1"
    assert len(open_store().list("gate")) == 1


def test_a_model_that_a_board_cannot_compare_stops_no_other(short: Edgekit, model: Path) -> None:
    other = model.with_name("other.tflite")
    other.write_bytes(model.read_bytes())
    deployed = short("deploy", other, "--device", "local", "--no-benchmark")
    assert deployed.status == 0, deployed.err
    ran = short("gate", model, other, "--baseline", "device:current", *BY_SIZE, "--json")
    assert ran.status == 5, ran.err
    found = {(check["model"], check["name"]): check["outcome"] for check in ran.document["checks"]}
    assert (found["kws", "board"], found["other", "size"]) == ("invalid", "passed")
    assert "no current release of kws" in ran.error["message"]


@pytest.mark.parametrize("signalled", [signal.SIGINT, signal.SIGTERM])
def test_after_ctrl_c_what_was_decided_until_then_is_written(
    short: Edgekit, model: Path, signalled: signal.Signals
) -> None:
    other = model.with_name("other.tflite")
    other.write_bytes(model.read_bytes())
    with short.running(
        *("gate", model, other, "--baseline", "models", "--junit", "gate.xml", "--json", "-v"), *BY_SIZE
    ) as run:
        run.wait_for(lambda run: "other (A): 1/" in run.err)
        ran = run.ctrl_c(signalled)
        assert run.alive() == []
    assert ran.status == 130, ran.err
    found = {(check["model"], check["name"]): check["outcome"] for check in ran.document["checks"]}
    assert (found["kws", "size"], found["other", "board"]) == ("passed", "invalid")
    assert "interrupted" in ran.error["message"]
    suites = {suite.attrib["name"]: suite for suite in ElementTree.parse(short.folder / "gate.xml").getroot()}
    assert suites["other on local"].attrib["errors"] == "1"
    assert len(open_store().list("gate")) == 1


@pytest.mark.parametrize("left", [0, 1000])
def test_a_first_baseline_that_is_no_model_is_found_before_anything_is_measured(
    edgekit: Edgekit, model: Path, left: int
) -> None:
    broken = model.with_name("broken.tflite")
    broken.write_bytes(model.read_bytes()[:left])
    refused(edgekit("gate", model, broken, "--baseline", "baselines", "--accept"), 4, "broken.tflite")
    assert not (edgekit.folder / "baselines" / "kws.tflite").exists()
