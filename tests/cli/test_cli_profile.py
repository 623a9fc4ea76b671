"""edgekit profile as a user calls it: on a board over SSH, with a trace, folded stacks, and a place in the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_tflite
from cli_run import Edgekit
from sshd_board import Sshd


@pytest.fixture
def edgekit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edgekit:
    tiny_tflite.write(tmp_path, tiny_tflite.dense_then_floor_mod())
    return Edgekit(folder=tmp_path)


def test_a_board_is_profiled_over_ssh_and_everything_is_kept(
    edgekit: Edgekit, sshd_board: Sshd, tmp_path: Path
) -> None:
    ran = edgekit("profile", "model.tflite", "--device", "pi4", "--trace", "t.json", "--folded", "f.txt", "--json")
    assert ran.status == 0, ran.err
    document = ran.document
    assert (document["command"], document["device"]) == ("profile", "pi4")
    assert [(op["name"], op["delegated"]) for op in document["ops"]] == [("ADD", True), ("FLOOR_MOD", False)]
    assert document["runtime"]["delegate"] == "XNNPACK"
    assert set(document["cost"]) == {"with_ns", "without_ns", "ratio"}
    trace = json.loads((tmp_path / "t.json").read_text())
    assert {event["ph"] for event in trace["traceEvents"]} == {"M", "X"}
    assert (tmp_path / "f.txt").read_text().startswith("model.tflite;")
    listed = edgekit("results", "list", "--kind", "profile", "--json").document["results"]
    assert [result["id"] for result in listed] == [document["id"]]
    assert listed[0]["device"] == "pi4"
    shown = edgekit("results", "list", "--kind", "profile").out
    assert "outside the delegate" in shown


def test_people_see_tables_and_what_the_times_are_not(edgekit: Edgekit) -> None:
    ran = edgekit("profile", "model.tflite", "--top", "1")
    assert ran.status == 0, ran.err
    assert "1 other op" in ran.out
    assert "XNNPACK took 1 of 2 ops" in ran.out
    assert "FLOOR_MOD" in ran.out


def test_a_trace_that_cannot_be_written_is_found_before_the_board_is_asked(edgekit: Edgekit) -> None:
    ran = edgekit("profile", "model.tflite", "--trace", ".", "--json")
    assert (ran.status, ran.error["class"]) == (2, "UsageError")


def test_a_trained_model_gets_the_command_that_makes_a_tflite_of_it(edgekit: Edgekit, tmp_path: Path) -> None:
    from cli_run import EXAMPLE

    ran = edgekit("profile", str(EXAMPLE / "digits.keras"), "--json")
    assert (ran.status, ran.error["class"]) == (4, "ModelError")
    assert "edgekit optimize" in ran.error["hint"]
