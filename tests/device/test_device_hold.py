"""A command that is held open: it lives exactly as long as we keep its standard input open."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading

import pytest
from processes import wait_until

from edgekit.core.errors import DeadlineError, DeviceError, UnreachableError
from edgekit.device.connect import connect
from edgekit.device.target import resolve


@pytest.fixture(params=["local", "ssh"])
def device(request, tmp_path, monkeypatch):
    """An open device."""
    if request.param == "local":
        monkeypatch.setenv("HOME", str(tmp_path))
    name = "local" if request.param == "local" else request.getfixturevalue("sshd_board").alias
    with connect(resolve(name)) as opened:
        yield opened


_WAIT = 'echo "here $1"; while read -r line; do echo "$line" >> "$1"; done; echo ended >> "$1"'


def test_a_held_command_says_a_line_and_lives_until_its_input_is_closed(device):
    held = device.transport.hold(["sh", "-c", _WAIT, "sh", "note"])
    assert held.said == "here note"
    assert held.alive
    assert device.transport.run(["echo", "beside it"]).text == "beside it\n"
    held.send(b"one\n")
    held.send(b"two\n")
    held.close()
    held.close()
    assert not held.alive
    assert device.transport.run(["cat", "note"]).text == "one\ntwo\nended\n"


def test_another_thread_can_close_the_way_while_a_held_command_has_said_nothing_yet(device):
    closing = threading.Timer(0.5, device.transport.close)
    closing.start()
    with pytest.raises(UnreachableError):
        device.transport.hold(["sh", "-c", "sleep 600; true"], timeout_s=60)
    closing.join()


def test_only_the_first_line_is_what_it_said_and_the_rest_blocks_nothing(device):
    held = device.transport.hold(["sh", "-c", "echo first; head -c 5000000 /dev/zero; echo late >&2; read -r line"])
    assert held.said == "first"
    held.send(b"end\n")
    wait_until(lambda: not held.alive)
    held.send(b"into the void\n")
    held.close()


def test_a_command_that_ends_without_a_line_is_an_error_with_what_it_said(device):
    with pytest.raises(DeviceError, match="no such thing") as caught:
        device.transport.hold(["sh", "-c", "printf half; echo no such thing >&2; exit 7"])
    details = caught.value.details
    assert (details["exit_status"], details["stdout"], details["stderr"]) == (7, "half", "no such thing\n")


def test_a_missing_program_cannot_be_held(device):
    with pytest.raises(DeviceError) as caught:
        device.transport.hold(["no-such-program-here"])
    assert caught.value.details["exit_status"] == 127


def test_a_silent_command_is_killed_at_its_deadline(device):
    nap = f"sleep {random.randrange(100_000, 999_999)}"
    with pytest.raises(DeadlineError, match="said nothing within 5 s"):
        device.transport.hold(["sh", "-c", f"trap '' HUP; {nap}; true"], timeout_s=5)
    wait_until(lambda: nap not in _processes(device))


def test_a_command_that_ignores_the_end_of_its_input_is_killed(device):
    nap = f"sleep {random.randrange(100_000, 999_999)}"
    held = device.transport.hold(["sh", "-c", f"echo here; {nap}; true"])
    assert nap in _processes(device)
    held.close()
    wait_until(lambda: nap not in _processes(device))


@pytest.mark.parametrize("name", ["local", "pi4"])
def test_a_held_command_ends_when_our_process_is_killed(name, sshd_board, tmp_path, monkeypatch):
    if name == "local":
        monkeypatch.setenv("HOME", str(tmp_path))
    script = (
        "import sys, time; from edgekit.device.connect import connect; from edgekit.device.target import resolve\n"
        f"held = connect(resolve({name!r})).transport.hold(['sh', '-c', {_WAIT!r}, 'sh', 'note'])\n"
        "print(held.said, flush=True); time.sleep(600)"
    )
    client = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "here note\n"
    client.send_signal(signal.SIGKILL)
    client.wait()
    with connect(resolve(name)) as device:
        wait_until(lambda: device.transport.run(["cat", "note"]).text == "ended\n")


def test_commands_go_on_beside_a_held_one_where_the_server_allows_one_session(sshd_factory):
    board = sshd_factory(max_sessions=1)
    with connect(resolve("pi4")) as device:
        held = device.transport.hold(["sh", "-c", _WAIT, "sh", "note"])
        for word in ("one", "two", "three"):
            assert device.transport.run(["echo", word]).text == f"{word}\n"
        assert held.alive
    wait_until(lambda: not held.alive)
    wait_until(lambda: board.path("/home/pi/note").read_text() == "ended\n")


def test_a_held_command_is_not_alive_after_the_connection_broke(sshd_board):
    with connect(resolve("pi4")) as device:
        held = device.transport.hold(["sh", "-c", _WAIT, "sh", "note"])
        device.transport._session.transport.sock.close()
        wait_until(lambda: not held.alive)
        held.send(b"nobody hears it\n")
        with pytest.raises(UnreachableError):
            device.transport.hold(["sh", "-c", _WAIT, "sh", "note"])


def _processes(device) -> str:
    return device.transport.run(
        ["sh", "-c", "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; done 2>/dev/null"]
    ).text
