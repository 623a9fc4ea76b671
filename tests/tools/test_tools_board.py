"""The emulated board is a real arm64 Debian that OpenSSH reaches, and nobody can take it for a Raspberry Pi."""

from __future__ import annotations

import dataclasses
import json
import shlex
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from emulated_board import Arm64Board

pytestmark = pytest.mark.board


def test_the_board_is_an_arm64_machine_with_python(arm64_board: Arm64Board) -> None:
    done = arm64_board.ssh(
        "uname -m; python3 -c 'import sys, platform; print(platform.machine(), sys.version_info[0])'"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["aarch64", "aarch64", "3"]


def test_its_model_says_that_it_is_emulated(arm64_board: Arm64Board) -> None:
    model = arm64_board.ssh("cat /sys/firmware/devicetree/base/model").stdout.rstrip("\0")
    assert model == "QEMU (emulated Cortex-A72)"
    assert arm64_board.ssh("grep -c 'CPU part.*0xd08' /proc/cpuinfo").stdout.strip() == "2"


def test_its_user_is_an_ordinary_one(arm64_board: Arm64Board) -> None:
    assert arm64_board.ssh("id -un; id -u").stdout.split() == ["pi", "1000"]
    assert arm64_board.ssh("touch $HOME/mine /tmp/mine").returncode == 0
    assert "Permission denied" in arm64_board.ssh("touch /usr/not-mine").stderr
    foreign = arm64_board.ssh("find / -xdev ! -user root ! -path '/home/pi*' ! -path '/tmp/*' 2>/dev/null").stdout
    assert foreign == ""


def test_its_clock_is_right_although_it_was_restored(arm64_board: Arm64Board) -> None:
    board = int(arm64_board.ssh("date +%s").stdout)
    assert abs(time.time() - board) < 60


def test_a_host_key_other_than_its_own_is_refused(arm64_board: Arm64Board, tmp_path: Path) -> None:
    address, kind, blob = arm64_board.known_hosts.read_text().split()
    other = tmp_path / "known_hosts"
    other.write_text(f"{address} {kind} {blob[:-6]}AAAAAA\n")
    assert arm64_board.ssh("true").returncode == 0
    assert arm64_board.ssh("true", known_hosts=other).returncode == 255


def test_starting_a_board_that_runs_gives_the_same_board(arm64_board: Arm64Board) -> None:
    again = json.loads(arm64_board.tool("start", "--name", arm64_board.name, "--json").stdout)
    assert again["already_running"] is True
    assert (again["pid"], again["port"]) == (arm64_board.pid, arm64_board.port)
    different = arm64_board.tool("start", "--name", arm64_board.name, "--memory", "300")
    assert different.returncode == 5
    assert f"stop --name {arm64_board.name}" in different.stderr


def test_start_prints_the_two_lines_that_edgekit_needs(arm64_board: Arm64Board) -> None:
    add, trust = map(shlex.split, arm64_board.tool("start", "--name", arm64_board.name).stdout.splitlines())
    assert add[:4] == ["edgekit", "devices", "add", arm64_board.name]
    options = dict(zip(add[4::2], add[5::2]))
    assert options == {
        "--host": "127.0.0.1",
        "--port": str(arm64_board.port),
        "--user": "pi",
        "--identity-file": str(arm64_board.key),
        "--profile": "generic-arm64",
    }
    assert trust == ["edgekit", "devices", "trust", arm64_board.name, "--fingerprint", arm64_board.fingerprint]


def test_f21_a_reset_loses_what_was_not_on_the_disk_alone(
    emulated_boards: Callable[..., Arm64Board],
) -> None:
    board = emulated_boards("--memory", "1024")  # as much as the usual one: the same kept state, another board
    before = board.ssh("echo safe > kept; sync; echo gone > lost; cat /proc/sys/kernel/random/boot_id").stdout
    again = board.tool("reset", "--name", board.name)
    assert again.returncode == 0, again.stderr
    after = board.ssh("cat /proc/sys/kernel/random/boot_id kept; cat lost 2>/dev/null").stdout.splitlines()
    assert after[0] != before.strip()
    assert after[1:] == ["safe"]


def test_only_a_board_that_runs_can_be_reset(arm64_board: Arm64Board) -> None:
    done = arm64_board.tool("reset", "--name", "nobody")
    assert done.returncode == 5
    assert "python tools/board start --name nobody" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "bits", "python"),
    [
        (("--arch", "armhf", "--with", "python3-numpy"), "32", "3.11"),
        (("--suite", "trixie", "--cpu", "cortex-a76"), "64", "3.13"),
        (("--suite", "bullseye", "--cpu", "cortex-a53"), "64", "3.9"),
        (("--without-python",), "64", ""),
    ],
    ids=["armhf", "trixie", "bullseye", "without-python"],
)
def test_a_board_is_of_the_kind_that_was_asked_for(emulated_boards: Callable[..., Arm64Board], options, bits, python):
    board = emulated_boards(*options)
    assert board.ssh("uname -m; getconf LONG_BIT").stdout.split() == ["aarch64", bits]
    said = board.ssh("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'")
    assert said.stdout.strip() == python
    if "python3-numpy" in options:
        assert board.ssh("python3 -c 'import numpy; print(numpy.linalg.inv(numpy.eye(1)))'").stdout == "[[1.]]\n"
    again = json.loads(board.tool("start", "--name", board.name, "--json", *options).stdout)
    assert (again["already_running"], again["pid"]) == (True, board.pid)
    assert board.tool("start", "--name", board.name).returncode == 5


def test_a_second_board_reuses_the_image_and_is_gone_after_stop(arm64_board: Arm64Board) -> None:
    name = f"{arm64_board.name}-second"
    started = arm64_board.tool("start", "--name", name, "--json")
    assert started.returncode == 0, started.stderr
    record = json.loads(started.stdout)
    try:
        assert record["image_reused"] is True
        second = dataclasses.replace(arm64_board, port=record["port"], known_hosts=Path(record["known_hosts"]))
        assert second.ssh("uname -m; ls /home/pi").stdout.split() == ["aarch64"]
        assert name in arm64_board.tool("list").stdout
    finally:
        stopped = arm64_board.tool("stop", "--name", name)
    assert "is stopped" in stopped.stderr
    assert name not in arm64_board.tool("list").stdout
    assert not _alive(record["pid"])
    assert _alive(arm64_board.pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((record["host"], record["port"]), 5)


def test_a_port_in_use_is_a_named_error(arm64_board: Arm64Board) -> None:
    name = f"{arm64_board.name}-third"
    done = arm64_board.tool("start", "--name", name, "--port", str(arm64_board.port))
    assert done.returncode == 5
    assert "host forwarding" in done.stderr
    assert "--port" in done.stderr.splitlines()[-1]
    assert "was not running" in arm64_board.tool("stop", "--name", name).stderr


def _alive(pid: int) -> bool:
    """A process that ended but was not waited for has no command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False
