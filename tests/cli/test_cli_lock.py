"""Two people and one board, as they see it on their command lines."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_tflite
from cli_run import Edgekit
from sshd_board import Sshd

_HOLDS = """
import sys
from edgekit.core.events import ignore
from edgekit.device import lock
from edgekit.device.connect import connect
from edgekit.device.target import resolve
with connect(resolve(sys.argv[1])) as device, lock.held(device, purpose="edgekit benchmark", on_event=ignore):
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def _somebody(name: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the board until its standard input ends."""
    argv = [sys.executable, "-c", _HOLDS, name]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        yield other
        other.kill()


@pytest.fixture
def model(edgekit: Edgekit) -> Path:
    return tiny_tflite.write(edgekit.folder, tiny_tflite.dense_int8())


@pytest.mark.parametrize("board", ["local", "pi4"])
def test_f34_the_second_command_is_refused_and_says_who_has_the_board(edgekit, model, sshd_board: Sshd, board):
    with _somebody(board) as other:
        ran = edgekit("deploy", model, "--device", board)
        assert (ran.status, ran.out) == (5, "")
        assert re.search(rf"{board} is in use by \S+@\S+ \(edgekit benchmark\)\s+since \d\d:\d\d:\d\d", ran.err), (
            ran.err
        )
        assert "--wait SECONDS" in ran.err
        ran = edgekit("deploy", model, "--device", board, "--json")
        assert ran.status == 5
        assert ran.error["class"] == "BusyError"
        owner = ran.document["owner"]
        assert (owner["purpose"], owner["pid"], owner["device"]) == ("edgekit benchmark", other.pid, board)
        assert "edgekit benchmark" in edgekit("devices", "check", board).out


@pytest.mark.parametrize(
    "command",
    [
        ("rollback", "--device"),
        ("benchmark", "model.tflite", "--device"),
        ("audit", "model.tflite", "--device"),
        ("devices", "provision"),
    ],
    ids=lambda words: words[0] if words[0] != "devices" else "provision",
)
def test_f34_every_command_that_uses_a_board_takes_it(edgekit, model, sshd_board: Sshd, command):
    with _somebody("pi4"):
        ran = edgekit(*command, "pi4")
        assert ran.status == 5, ran.err
        assert "pi4 is in use by" in " ".join(ran.err.split())


def test_f34_wait_goes_on_when_the_other_has_ended(edgekit, model):
    with _somebody("local") as other:
        words = ("deploy", model, "--no-benchmark", "--device", "local", "--wait", "inf", "--json")
        with edgekit.running(*words) as run:
            run.wait_for(lambda it: "wait for local: in use by" in it.err)
            assert other.stdin is not None
            other.stdin.close()
            assert run.process.wait(120) == 0
            assert run.process.stdout is not None
            assert b'"release"' in run.process.stdout.read()


def test_f34_wait_has_an_end(edgekit, model):
    with _somebody("local"):
        ran = edgekit("deploy", model, "--device", "local", env={"EDGEKIT_WAIT": "1"})
        assert ran.status == 5
        assert re.search(r"; waited \d", " ".join(ran.err.split()))


def test_a_wait_that_is_no_time_is_a_usage_error(edgekit, model):
    assert edgekit("deploy", model, "--device", "local", "--wait", "-3").status == 2
    assert edgekit("deploy", model, "--device", "local", "--wait", "nan").status == 2


def test_f35_after_ctrl_c_nobody_has_the_board(edgekit, model):
    with edgekit.running("benchmark", model, "--device", "local") as run:
        run.wait_for(lambda it: "in use by" not in it.err and len(it.alive()) > 2)
        assert run.ctrl_c().status == 130
        assert edgekit("devices", "check", "local", "--json").document["in_use_by"] == "nobody"
