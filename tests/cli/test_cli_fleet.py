"""One command for several boards: one answer, failures apart, everything that was done kept."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny_tflite
from cli_run import ESCAPE, Edgekit, npz, refused
from shelf import Shelf
from sshd_board import Sshd
from tiny_tflite import OPS, OPTIONS, Op, Tensor, schema

from edgekit.cli.fleet import side_by_side
from edgekit.cli.invocation import Interrupted
from edgekit.cli.output import Output
from edgekit.device import inventory
from edgekit.verbs.boards import Reach


@pytest.fixture
def model(edgekit: Edgekit) -> Path:
    return tiny_tflite.write(edgekit.folder, tiny_tflite.dense_int8())


@pytest.fixture
def impossible(edgekit: Edgekit) -> Path:
    """A model that reads well, and that no runtime can prepare: shapes that do not go together."""
    tensors = [
        Tensor("x", "float32", (1, 4)),
        Tensor("k", "float32", (1, 3), numpy.ones((1, 3))),
        Tensor("y", "float32", (1, 4)),
    ]
    op = Op(OPS.ADD, ["x", "k"], ["y"], schema.AddOptionsT(), OPTIONS.AddOptions)
    return tiny_tflite.write(edgekit.folder, tiny_tflite.build(tensors, [op], ["x"], ["y"]), "impossible.tflite")


def by_device(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["device"]: entry for entry in document["devices"]}


def stored(edgekit: Edgekit, kind: str = "measurement") -> list[str]:
    """The boards of what is kept."""
    listed = edgekit("results", "list", "--kind", kind, "--json")
    return sorted(result["device"] for result in listed.document["results"])


# ---------------------------------------------------------------------------------------- benchmark


def test_a_board_that_is_off_takes_nothing_from_the_others(edgekit, model, shelf: Callable[[int], Shelf]):
    boards = shelf(3)
    boards.boards[1].stop()
    ran = edgekit("benchmark", model, "--device", boards.listed, "--quick", "--json")
    assert ran.status == 5, ran.err
    found = by_device(ran.document)
    assert list(found) == boards.names
    assert [entry["ok"] for entry in found.values()] == [True, False, True]
    assert found["board-2"]["error"]["class"] == "UnreachableError"
    assert found["board-2"]["error"]["exit_code"] == 5
    assert "result" not in found["board-2"]
    (measured,) = found["board-1"]["result"]["measurements"]
    assert (measured["device"], measured["emulated"]) == ("board-1", False)
    assert Path(measured["samples_file"]).is_file()
    assert [one["device"] for one in ran.document["measurements"]] == ["board-1", "board-3"]
    assert ran.document["error"]["message"].startswith("2 of 3 boards done; failed: board-2 (")
    assert stored(edgekit) == ["board-1", "board-3"]
    # every line of progress says whose it is
    head = ran.err.partition("warning:")[0]
    assert all(re.match(r"board-[123]: ", line) for line in head.splitlines()), head
    assert "board-1: done" in head
    assert "board-2: failed: " in head
    assert ran.err.count("error: 2 of 3 boards done; failed: board-2 (") == 1


def test_quiet_says_only_what_went_wrong(edgekit, model, shelf: Callable[[int], Shelf]):
    boards = shelf(2)
    for board in boards.boards:
        board.stop()
    ran = edgekit("benchmark", model, "--device", boards.listed, "--quiet")
    refused(ran, 5, "0 of 2 boards done; failed: board-1 (", "board-2 (")
    assert ran.err.startswith("error: ")


def test_a_model_that_fails_on_a_board_takes_nothing_from_the_other_model(edgekit, model, impossible):
    ran = edgekit("benchmark", impossible, model, "--quick", "--json")
    assert ran.status == 5, ran.err
    assert [one["model"]["name"] for one in ran.document["measurements"]] == ["model"]
    assert ran.document["error"]["class"] == "DeviceError"
    assert "latency" not in ran.document  # nobody takes a part of the answer for the whole
    assert stored(edgekit) == ["local"]
    shown = edgekit("benchmark", impossible, model, "--quick")
    assert shown.status == 5
    assert "model" in shown.out
    assert shown.err.count("error: ") == 1


def test_nor_do_boards_that_measured_a_part_of_the_models(edgekit, model, impossible, shelf: Callable[[int], Shelf]):
    boards = shelf(2)
    ran = edgekit("benchmark", impossible, model, "--device", boards.listed, "--quick", "--json")
    assert ran.status == 5, ran.err
    for entry in ran.document["devices"]:
        assert entry["ok"] is False
        assert [one["model"]["name"] for one in entry["result"]["measurements"]] == ["model"]
        assert entry["error"]["class"] == "DeviceError"
    assert stored(edgekit) == boards.names


def test_an_unknown_board_is_refused_before_the_others_are_bothered(edgekit, model, sshd_board: Sshd):
    ran = edgekit("benchmark", model, "--device", "pi4,pj4")
    refused(ran, 2, "pj4")
    assert "connect" not in ran.err
    assert list(sshd_board.path(sshd_board.home).iterdir()) == []


def test_a_board_that_is_named_twice_is_refused(edgekit, model, sshd_board: Sshd):
    refused(edgekit("benchmark", model, "--device", "pi4,local,pi4"), 2, "pi4 is named twice")


# ---------------------------------------------------------------------------------------- deploy and evaluate


def test_a_deploy_to_several_boards_is_current_on_those_that_could_take_it(edgekit, model, shelf):
    boards = shelf(3)
    full = boards.boards[1]
    with full.path(f"{full.home}/filler").open("wb") as filler:
        filler.write(bytes(62 << 20))
    ran = edgekit("deploy", model, "--device", boards.listed, "--no-benchmark", "--json")
    assert ran.status == 5, ran.err
    found = by_device(ran.document)
    assert [entry["ok"] for entry in found.values()] == [True, False, True]
    assert found["board-2"]["error"]["class"] == "TransferError"
    for board in (boards.boards[0], boards.boards[2]):
        deployed = found[board.alias]["result"]
        assert (deployed["device"], deployed["smoke"]["ok"]) == (board.alias, True)
        assert board.path(deployed["release"]["stable_path"]).read_bytes() == model.read_bytes()
    assert stored(edgekit, "deployment") == ["board-1", "board-3"]
    again = edgekit("deploy", model, "--device", "board-1,board-3", "--no-benchmark")
    assert again.status == 0, again.err
    assert again.out.count("nothing") == 2
    assert "2 of 2 boards done" in again.err


def test_several_boards_score_a_model_each(edgekit, shelf):
    boards = shelf(2)
    float_model = tiny_tflite.write(edgekit.folder, tiny_tflite.dense(), "float.tflite")
    rows = npz(edgekit.folder / "rows.npz", shape=(8,), classes=4)
    ran = edgekit("evaluate", float_model, "--data", rows, "--device", boards.listed, "--json")
    assert ran.status == 0, ran.err
    for name, entry in by_device(ran.document).items():
        assert entry["ok"] is True
        assert entry["result"]["device"] == name
        assert entry["result"]["score"]["count"] == 40
        assert entry["result"]["agreement"]["same_class"] == 1.0
        assert (entry["result"]["same_outputs"], entry["result"]["difference"]) == (True, 0.0)
    shown = edgekit("evaluate", float_model, "--data", rows, "--device", boards.listed)
    for name in boards.names:
        assert re.search(rf"{name} .*100.00%", shown.out)


# ---------------------------------------------------------------------------------------- on a terminal


def test_a_terminal_shows_a_table_while_they_work_and_the_answer_in_its_place(edgekit, model, shelf):
    boards = shelf(3)
    ran = edgekit.on_terminal("benchmark", model, "--device", boards.listed, "--quick")
    assert ran.status in (0, 8), ran.out
    assert "3 boards: 3 at work" in ESCAPE.sub("", ran.out)
    assert "\x1b[2K" in ran.out  # painted over
    last = ESCAPE.sub("", ran.out.rpartition("\x1b[2K")[2])
    assert "at work" not in last
    assert "3 of 3 boards done" in last
    for name in boards.names:
        assert name in last


def test_a_terminal_without_colours_gets_none(edgekit, model, shelf):
    boards = shelf(2)
    boards.boards[0].stop()
    ran = edgekit.on_terminal("benchmark", model, "--device", boards.listed, "--quick", env={"NO_COLOR": "1"})
    assert ran.status == 5, ran.out
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7])m", ran.out)
    assert "failed: board-1 (" in " ".join(ran.out.split())


# ---------------------------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_keeps_the_board_that_was_done_and_leaves_nothing_running_on_the_other(edgekit, model, shelf):
    boards = shelf(2)
    quick, slow = boards.boards
    # the second one takes for ever to start a command, once it has been told so
    slow.path(f"{slow.home}/.bashrc").write_text('[ -e "$HOME/slow" ] && sleep 300; :\n')
    slow.path(f"{slow.home}/slow").touch()
    with edgekit.running("benchmark", model, "--device", boards.listed, "--quick") as run:
        run.wait_for(lambda run: "board-1: done" in run.err)
        ended = run.ctrl_c()
        assert ended.status == 130, ended.err
        assert run.alive() == []
    assert "1 of 2 boards done; failed: board-2 (interrupted" in ended.err
    assert ended.err.count("error: ") == 1
    assert "board-1" in ended.out
    assert stored(edgekit) == ["board-1"]
    end = time.monotonic() + 20
    while quick.sessions() or slow.sessions():
        assert time.monotonic() < end, "something still runs on a board"
        time.sleep(0.05)


# ---------------------------------------------------------------------------------------- many


@pytest.mark.slow
def test_ten_boards_are_done_side_by_side_two_of_them_broken(edgekit, model, shelf: Callable[[int], Shelf]):
    boards = shelf(10)
    boards.boards[3].stop()
    keyless = boards.boards[6]
    keyless.path(f"{keyless.private}/authorized_keys").write_text("")
    ran = edgekit("deploy", model, "--device", boards.listed, "--no-benchmark", "--json")
    assert ran.status == 5, ran.err
    found = by_device(ran.document)
    failed = {name: entry["error"]["class"] for name, entry in found.items() if not entry["ok"]}
    assert failed == {"board-4": "UnreachableError", "board-7": "AuthenticationError"}
    done = sorted(set(boards.names) - set(failed))
    assert stored(edgekit, "deployment") == done
    for board in boards.boards:
        if board.alias in done:
            there = found[board.alias]["result"]["release"]["model_path"]
            assert board.path(there).read_bytes() == model.read_bytes()
    assert json.dumps(found)


def test_ctrl_c_while_one_outcome_is_kept_leaves_no_outcome_that_is_done_and_not_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEKIT_HOME", str(tmp_path))
    names = ["one", "two", "three"]
    for number, name in enumerate(names):
        inventory.add(inventory.InventoryEntry(name=name, host=f"192.0.2.{number + 1}"))
    kept = []

    def keep(outcome):
        if kept:
            raise KeyboardInterrupt
        kept.append(outcome.device)

    out = Output("deploy", as_json=True, quiet=True, verbose=False, debug=False)
    outcomes = side_by_side(out, names, lambda name, reach, on_event: name, reach=Reach(), on_outcome=keep)
    assert [outcome.device for outcome in outcomes] == names
    assert [outcome.device for outcome in outcomes if outcome.ok] == kept
    assert {type(outcome.error) for outcome in outcomes if not outcome.ok} == {Interrupted}
