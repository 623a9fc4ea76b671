"""The lock on boards that lack something: programs, shells, folders; and on boards where somebody is in its way."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import sshd_board as boards
from lock_users import inside_at_once
from sshd_board import Sshd

from edgekit.core.errors import BusyError, DeviceError
from edgekit.core.events import ignore
from edgekit.device import lock
from edgekit.device.connect import Device, connect
from edgekit.device.target import resolve

#: what locks, in the order in which it is looked for; a board without the earlier ones takes the next
_WAYS = ("flock", "toybox", "perl", "python3", "links")


@pytest.fixture
def bare_board(sshd_factory) -> Callable[..., Sshd]:
    """Starts a board with a ``/run/lock`` of its own, without some programs, with another ``sh``."""
    if not boards.ROOT:
        pytest.skip("needs root, to take programs from a board")

    def start(*, without: tuple[str, ...] = (), shell: str | None = None, extra: str = "") -> Sshd:
        board: Sshd = sshd_factory(extra=extra)
        _inside(board, "mount -t tmpfs -o mode=1777 tmpfs /run/lock && mount -t tmpfs -o mode=1777 tmpfs /tmp")
        for name in without:
            if found := shutil.which(name, path="/usr/bin:/bin:/usr/local/bin"):
                _inside(board, 'mount --bind /dev/null "$(readlink -f "$1")"', found)
        if shell:
            program = shutil.which(shell) or pytest.skip(f"no {shell} here: apt-get install {shell}")
            _inside(board, 'mount --bind "$1" "$(readlink -f /bin/sh)"', program)
        return board

    return start


@pytest.mark.parametrize("way", _WAYS)
def test_f38_whatever_can_lock_on_the_board_excludes_the_second_client(bare_board, way):
    if way == "toybox" and not shutil.which("toybox"):
        pytest.skip("no toybox here: apt-get install toybox")
    bare_board(without=_WAYS[: _WAYS.index(way)])
    with connect(resolve("pi4")) as one, connect(resolve("pi4")) as two:
        _excludes_and_frees(one, two, way)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "way"),
    [("bash", "flock"), ("busybox", "flock"), ("busybox", "links"), ("mksh", "toybox"), ("mksh", "links")],
)
def test_f38_every_shell_keeps_the_lock(bare_board, shell, way):
    if way == "toybox" and not shutil.which("toybox"):
        pytest.skip("no toybox here: apt-get install toybox")
    bare_board(without=_WAYS[: _WAYS.index(way)], shell=shell)
    with connect(resolve("pi4")) as one, connect(resolve("pi4")) as two:
        _excludes_and_frees(one, two, way)


def test_f38_the_path_of_a_user_changes_nothing(bare_board):
    """His own ``flock`` always says yes, and nothing else is on his PATH but a shell."""
    board = bare_board(extra="SetEnv PATH=/home/pi/bin")
    own = board.path("/home/pi/bin")
    own.mkdir()
    (own / "flock").write_text("#!/bin/sh\nexit 0\n")
    (own / "flock").chmod(0o755)
    (own / "sh").symlink_to("/bin/sh")
    with connect(resolve("pi4")) as one, connect(resolve("pi4")) as two:
        with lock.held(one, purpose="first", on_event=ignore):
            assert one.transport._grant.program == "/usr/bin/flock"
            assert one.transport.run(["sh", "-c", "echo $PATH"]).text == "/home/pi/bin\n"
            _busy(two)
        with lock.held(two, purpose="second", on_event=ignore):
            _busy(one)


def test_f38_a_process_with_the_number_of_a_dead_owner_is_not_taken_for_it(bare_board):
    board = bare_board(without=_WAYS[:-1])
    with connect(resolve("pi4")) as device:
        with lock.held(device, purpose="look where it is", on_event=ignore):
            path = device.transport._grant.lock
        living = str(board.sessions()[0])
        born, boot = _born(living), Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        uid = "1000"
        for number, (owner, free) in enumerate(
            {
                f"{living}:{born}:{boot}:{uid}": False,
                f"{living}:{int(born) - 1}:{boot}:{uid}": True,  # the number was given again
                f"{living}:{born}:11111111-2222-3333-4444-555555555555:{uid}": True,  # before the last boot
                f"999999999:1:{boot}:{uid}": True,
                "free": True,
                "who knows": False,  # not ours: never taken over
            }.items()
        ):
            for old in board.path("/run/lock").iterdir():
                old.unlink()
            device.transport.run(["ln", "-s", owner, f"{path}.{number + 7}"])
            if free:
                with lock.held(device, purpose="next", on_event=ignore):
                    assert device.transport.run(["readlink", f"{path}.{number + 8}"]).exit_status == 0
            else:
                _busy(device)


@pytest.mark.slow
def test_f38_a_dead_owner_is_followed_by_one_of_many(bare_board):
    """All see the same dead owner at the same time."""
    bare_board(without=_WAYS[:-1])
    with connect(resolve("pi4")) as device:
        with lock.held(device, purpose="look where it is", on_event=ignore):
            path = device.transport._grant.lock
        device.transport.run(["sh", "-c", 'rm -f "$1".*; ln -s 999999999:1:-:1000 "$1.3"', "sh", path])
    assert inside_at_once("pi4", 5) == (1, 5)


def test_f34_another_user_of_the_board_is_another_user_of_the_lock(bare_board):
    """Whoever made the files: with fs.protected_regular nobody may create over another user's file."""
    board = bare_board()
    root = board.write_config("as_root", "User root")
    for first, second in ((None, root), (root, None)):
        with (
            connect(resolve("pi4", ssh_config=first)) as one,
            connect(resolve("pi4", ssh_config=second)) as two,
            lock.held(one, purpose="first", on_event=ignore),
        ):
            _busy(two)
            found = lock.owner(two)
            assert found is not None
            assert found.purpose == "first"


def test_f34_another_home_is_the_same_board(bare_board, monkeypatch, tmp_path):
    bare_board()
    with connect(resolve("pi4")) as one, lock.held(one, purpose="first", on_event=ignore):
        monkeypatch.setenv("EDGEKIT_HOME", str(tmp_path / "another"))
        monkeypatch.setenv("EDGEKIT_LOCK_DIR", str(tmp_path))
        with connect(resolve("pi4")) as two:
            _busy(two)


def test_f44_one_board_under_two_names_is_one_board(bare_board):
    board = bare_board()
    with (
        connect(resolve("pi4")) as one,
        connect(resolve("garage", host=board.alias)) as two,
        lock.held(one, purpose="first", on_event=ignore),
        pytest.raises(BusyError, match="garage is the board that this command uses already, as pi4"),
        lock.held(two, purpose="second", on_event=ignore),
    ):
        raise AssertionError("two have it")


def test_a_server_that_allows_one_session_is_locked_and_used_too(sshd_factory):
    sshd_factory(max_sessions=1)
    with connect(resolve("pi4")) as one, connect(resolve("pi4")) as two:
        with lock.held(one, purpose="first", on_event=ignore):
            assert one.workspace.push_bytes(b"content", "a/file").uploaded_bytes == 7
            _busy(two)
        with lock.held(two, purpose="second", on_event=ignore):
            assert two.workspace.push_bytes(b"content", "a/file").uploaded_bytes == 0
            _busy(one)


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "closed"])
def test_f39_what_somebody_put_in_the_way_is_refused_and_not_touched(bare_board, kind):
    board = bare_board()
    with connect(resolve("pi4")) as device:
        with lock.held(device, purpose="look where it is", on_event=ignore):
            path = device.transport._grant.lock.removesuffix("lock")
        for name in ("lock", "jobs", "owner.1000"):
            for old in board.path("/run/lock").iterdir():
                old.rmdir() if old.is_dir() and not old.is_symlink() else old.unlink()
            victim, there = board.path("/run/lock/victim"), board.path(path + name)
            victim.write_text("precious")
            if kind == "link":
                there.symlink_to("/run/lock/victim")
            elif kind == "fifo":
                os.mkfifo(there, 0o666)
            elif kind == "folder":
                there.mkdir()
            else:
                there.write_text("")
                there.chmod(0o600)
            _not_lockable(device, f"/run/lock/edgekit-.*{name}")
            assert victim.read_text() == "precious"
            assert there.is_symlink() == (kind == "link")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("mount -o remount,ro /run/lock", "Read-only file system"),
        ("head -c 1M /dev/zero > /run/lock/full", "cannot be written: .* is the disk full?"),
        ("umount /run/lock; mount -t tmpfs -o mode=755 tmpfs /run/lock; chmod 755 /tmp", "open to all users"),
    ],
    ids=["read-only", "full", "closed"],
)
def test_f39_without_a_folder_for_it_nothing_runs(bare_board, change, why):
    board = bare_board()
    _inside(board, "mount -o remount,size=64k /run/lock")
    _inside(board, change + "; true")
    with connect(resolve("pi4")) as device:
        _not_lockable(device, f".*{why}")


def test_f37_nothing_on_the_disk_keeps_the_lock(bare_board):
    """Everything that runs on the board is killed at once, as a power cut does; the files stay."""
    board = bare_board()
    with connect(resolve("pi4")) as one:
        with lock.held(one, purpose="first", on_event=ignore):
            board.kill_sessions()
            assert sorted(item.suffix for item in board.path("/run/lock").iterdir())
        with connect(resolve("pi4")) as two:
            assert lock.owner(two) is None
            with lock.held(two, purpose="next", on_event=ignore):
                assert two.transport.run(["echo", "mine"]).text == "mine\n"


def _excludes_and_frees(one: Device, two: Device, way: str) -> None:
    for _ in range(2):
        nap = f"{random.randrange(10**9, 10**10)}"  # boards of other tests show their processes too
        with lock.held(one, purpose="first", on_event=ignore):
            assert one.transport._grant.way == way
            _busy(two)
            assert one.transport.run(["sh", "-c", "cat; kill -9 $$"], stdin=b"in").stdout == b"in"
            one.transport.run(["sh", "-c", 'sleep "$1" > /dev/null 2>&1 < /dev/null &', "sh", nap])
        with lock.held(two, purpose="second", on_event=ignore):
            assert nap not in lock.without_lock(two.transport).run(["sh", "-c", "cat /proc/[0-9]*/cmdline"]).text
            _busy(one)


def _not_lockable(device: Device, why: str) -> None:
    with (
        pytest.raises(DeviceError, match=f"the board cannot be locked: {why}") as caught,
        lock.held(device, purpose="work", on_event=ignore),
    ):
        raise AssertionError("it ran without the lock")
    assert not isinstance(caught.value, BusyError)


def _busy(device: Device) -> None:
    with pytest.raises(BusyError), lock.held(device, purpose="second", on_event=ignore):
        raise AssertionError("two have it")


def _born(pid: str) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]


def _inside(board: Sshd, script: str, *arguments: str) -> None:
    enter = ["nsenter", "-t", str(board.process.pid), "-m", "sh", "-c", script, "sh", *arguments]
    subprocess.run(enter, check=True, capture_output=True)
