"""The lock of a board, over each transport: who has it, who is told so, and how it ends."""

from __future__ import annotations

import math
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from lock_users import inside_at_once
from processes import SOON_S, wait_until

from edgekit.core.errors import BusyError, DeviceError
from edgekit.core.events import ignore
from edgekit.device import lock
from edgekit.device.connect import connect
from edgekit.device.target import resolve

#: another edgekit: locks the board, says so, runs a command, and says what became of it
_CLIENT = """
import sys
from edgekit.core.events import ignore
from edgekit.device import lock
from edgekit.device.connect import connect
from edgekit.device.target import resolve

name, lock.LIMIT_S, lock._BEAT_S, *command = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]
with connect(resolve(name)) as device, lock.held(device, purpose="the other's work", on_event=ignore):
    print("locked", flush=True)
    try:
        print(device.transport.run(command, timeout_s=600).exit_status)
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture(params=["local", "ssh"])
def device(request, tmp_path, monkeypatch):
    """Two are enough here: what a board lacks has tests of its own."""
    if request.param == "local":
        (tmp_path / "home").mkdir()
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
    name = "local" if request.param == "local" else request.getfixturevalue("sshd_board").alias
    with connect(resolve(name)) as opened:
        yield opened


@pytest.fixture
def other(device):
    """A second way to the same board, as another client has it."""
    with connect(resolve(device.name)) as opened:
        yield opened


@pytest.fixture
def start_client(device):
    """Starts another edgekit process that locks the board and runs a command there; returns once it has the lock."""
    started = []

    def start(*command: str, limit_s: int = 30, beat_s: float = 5.0) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", _CLIENT, device.name, str(limit_s), str(beat_s), *command]
        client = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        started.append(client)
        assert client.stdout is not None
        assert client.stdout.readline() == "locked\n"
        return client

    yield start
    for client in started:
        client.kill()
        client.wait()


def test_commands_under_the_lock_are_what_they_are_without_it(device):
    with lock.held(device, purpose="work", on_event=ignore):
        weird = ["two words", "it's", "$(touch canary)", "-rf", "--", "*", ""]
        done = device.transport.run(
            ["sh", "-c", 'printf "%s\\n" "$@"; cat; echo err >&2; exit 3', "sh", *weird], stdin=b"in"
        )
        assert done.text.splitlines() == [*weird, "in"]
        assert (done.exit_status, done.stderr, done.argv[:2]) == (3, b"err\n", ("sh", "-c"))
        assert device.transport.run(["sh", "-c", "kill -9 $$"]).signal_name == "SIGKILL"
        assert device.transport.run(["no-such-program-here"]).exit_status == 127
        with pytest.raises(DeviceError, match="`sleep 600` did not end within 5 s"):
            device.transport.run(["sleep", "600"], timeout_s=5)
        assert device.workspace.push_bytes(b"content", "a/file").uploaded_bytes == 7
    assert device.transport.run(["echo", "after"]).text == "after\n"


def test_f34_a_second_client_is_told_who_has_the_board(device, other):
    assert lock.owner(other) is None
    with lock.held(device, purpose="benchmark digits", on_event=ignore):
        busy = _refused(other, "already")
        found = lock.owner(other)
        assert found is not None
        assert (found.purpose, found.pid, found.device, found.ours) == (
            "benchmark digits",
            os.getpid(),
            device.name,
            True,
        )
        assert busy.details["owner"]["purpose"] == "benchmark digits"
        assert busy.exit_code == 5
    assert lock.owner(other) is None
    with lock.held(other, purpose="mine", on_event=ignore):
        assert other.transport.run(["echo", "now"]).text == "now\n"


def test_f34_another_process_is_told_apart_from_this_one(device, start_client):
    start_client("sleep", "600")
    busy = _refused(device, r"in use by .*@.* \(the other's work\) since ")
    assert "--wait" in busy.hint
    assert busy.details["owner"]["ours"] is False


def test_f34_waiting_ends_when_the_other_does(device, other):
    events, got = [], threading.Event()

    def wait() -> None:
        with lock.held(other, purpose="mine", wait_s=math.inf, on_event=events.append):
            got.set()

    with lock.held(device, purpose="first", on_event=ignore):
        waiting = threading.Thread(target=wait)
        waiting.start()
        wait_until(lambda: any(event.state == "progress" for event in events))
        assert not got.is_set()
    waiting.join(SOON_S)
    assert got.is_set()
    assert [event.state for event in events][:2] == ["started", "note"]
    assert events[-1].state == "finished"


def test_f34_waiting_has_an_end(device, start_client):
    start_client("sleep", "600")
    _refused(device, r"the other's work.*; waited ", wait_s=1)


def test_f34_of_many_who_want_it_at_once_one_gets_it_at_a_time(device):
    assert inside_at_once(device.name, 4) == (1, 4)


def test_f35_a_killed_client_frees_the_board_and_its_command_dies(device, start_client):
    nap = f"{random.randrange(100_000, 999_999)}"
    client = start_client("sh", "-c", 'sleep "$1" & sleep "$1"', "sh", nap, limit_s=3600)
    wait_until(lambda: _running(device, nap) == 2)
    client.send_signal(signal.SIGKILL)
    wait_until(lambda: lock.owner(device) is None)  # and not because nothing was heard of it for too long
    assert _running(device, nap) == 0
    with lock.held(device, purpose="next", on_event=ignore):
        pass


def test_f20_what_a_killed_client_was_uploading_is_removed_by_the_board(device, start_client):
    half, whole = f"{device.root}/samples/.edgekit-0123.part", f"{device.root}/samples/ours.raw"
    device.transport.run(
        ["sh", "-c", 'mkdir -p "$1" && : > "$2" && : > "$3"', "sh", f"{device.root}/samples", half, whole]
    )
    client = start_client("sleep", "600", limit_s=3600)
    client.send_signal(signal.SIGKILL)
    wait_until(lambda: lock.owner(device) is None)
    assert device.transport.run(["ls", "-A", f"{device.root}/samples"]).text == "ours.raw\n"


def test_f36_a_client_that_is_not_heard_loses_the_board_and_its_late_command_is_stopped(device, start_client):
    nap = f"{random.randrange(100_000, 999_999)}"
    client = start_client("sleep", nap, limit_s=8, beat_s=0.3)
    wait_until(lambda: _running(device, nap) == 1)
    time.sleep(8.5)  # longer than the limit: a client that is heard keeps it
    assert lock.owner(device) is not None
    client.send_signal(signal.SIGSTOP)  # its connection stands: as when a network has gone
    with lock.held(device, purpose="next", wait_s=SOON_S, on_event=ignore):
        assert _running(device, nap) == 0
        client.send_signal(signal.SIGCONT)
        said = client.communicate(timeout=SOON_S)[0]
        assert "lock of the board was lost" in said
        assert device.transport.run(["echo", "not disturbed"]).text == "not disturbed\n"


@pytest.mark.slow
def test_f36_a_command_that_cannot_be_ended_keeps_the_board(device, other):
    """It has left its session and emptied its environment: only the kernel still knows that it belongs to the lock."""
    nap = f"{random.randrange(100_000, 999_999)}"
    with lock.held(device, purpose="first", on_event=ignore):
        device.transport.run(["sh", "-c", 'env -i setsid sleep "$1" > /dev/null 2>&1 < /dev/null &', "sh", nap])
        wait_until(lambda: _running(device, nap) == 1)
    try:
        _refused(other, "still runs there and cannot be ended")
    finally:
        _end(device, nap)
    with lock.held(other, purpose="next", on_event=ignore):
        pass


def test_a_command_that_comes_late_is_not_run(device):
    with lock.held(device, purpose="first", on_event=ignore):
        name = f"late-{secrets.token_hex(4)}"  # this machine's home is everybody's
        late = device.transport._grant.guarded(["touch", name])
    done = device.transport.run(late)
    assert (done.exit_status, lock.LOST in done.stderr.decode()) == (75, True)
    assert name not in device.transport.run(["ls"]).text.split()


def test_a_holder_that_is_ended_on_the_board_is_noticed_and_nothing_more_runs(device):
    with lock.held(device, purpose="work", on_event=ignore):
        grant = device.transport._grant
        bare = lock.without_lock(device.transport)
        bare.run(["kill", "-KILL", grant.pid])
        wait_until(lambda: bare.run(["kill", "-0", grant.pid]).exit_status != 0)  # a signal takes its time
        name = f"late-{secrets.token_hex(4)}"
        with pytest.raises(DeviceError, match="the lock of the board was lost"):
            device.transport.run(["touch", name])
        wait_until(lambda: not device.transport._hold.alive)
        with pytest.raises(DeviceError, match="the lock of the board was lost"):
            device.transport.push(Path(__file__), "/tmp/never")
    assert name not in device.transport.run(["ls"]).text.split()


def test_a_lock_file_that_is_removed_is_a_lock_that_is_lost(device, other, monkeypatch):
    monkeypatch.setattr(lock, "_BEAT_S", 0.1)
    with lock.held(device, purpose="work", on_event=ignore):
        path = device.transport._grant.lock
        lock.without_lock(device.transport).run(["rm", "-f", path])
        wait_until(lambda: not device.transport._hold.alive)
    with lock.held(other, purpose="next", on_event=ignore):
        pass


def test_what_is_started_without_the_lock_outlives_it(device):
    nap = f"{random.randrange(100_000, 999_999)}"
    with lock.held(device, purpose="work", on_event=ignore):
        script = 'setsid sleep "$1" > /dev/null 2>&1 < /dev/null &'
        lock.without_lock(device.transport).run(["sh", "-c", script, "sh", nap])
        wait_until(lambda: _running(device, nap) == 1)
    try:
        assert _running(device, nap) == 1
        assert lock.owner(device) is None
    finally:
        _end(device, nap)


def test_what_is_left_running_under_the_lock_ends_with_it(device):
    nap = f"{random.randrange(100_000, 999_999)}"
    with lock.held(device, purpose="work", on_event=ignore):
        device.transport.run(["sh", "-c", 'setsid sleep "$1" > /dev/null 2>&1 < /dev/null &', "sh", nap])
        wait_until(lambda: _running(device, nap) == 1)
    wait_until(lambda: _running(device, nap) == 0)


def test_nothing_of_ours_runs_after_the_lock(device):
    with lock.held(device, purpose="work", on_event=ignore):
        mark = device.transport._grant.mark
        assert mark in _processes(device)
    wait_until(lambda: mark not in _processes(device))


def _refused(device, match: str, wait_s: float | None = None) -> BusyError:
    with (
        pytest.raises(BusyError, match=match) as caught,
        lock.held(device, purpose="mine", wait_s=wait_s, on_event=ignore),
    ):
        raise AssertionError("two have it")
    return caught.value


def _processes(device) -> str:
    """A line for each: process id, arguments."""
    script = "for f in /proc/[0-9]*; do echo ${f#/proc/} $(tr '\\0' ' ' < $f/cmdline); done 2>/dev/null"
    return lock.without_lock(device.transport).run(["sh", "-c", script]).text


def _naps(device, nap: str) -> list[str]:
    lines = [line.partition(" ") for line in _processes(device).splitlines()]
    return [pid for pid, _, arguments in lines if arguments.strip() == f"sleep {nap}"]


def _running(device, nap: str) -> int:
    return len(_naps(device, nap))


def _end(device, nap: str) -> None:
    device.transport.run(["kill", "-KILL", *_naps(device, nap)])
    wait_until(lambda: _running(device, nap) == 0)
