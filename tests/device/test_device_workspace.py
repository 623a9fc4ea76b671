"""Pushing files: whole and checked on the board, or not at all."""

from __future__ import annotations

import os
import shutil

import pytest
from processes import wait_until
from sshd_board import ROOT

from edgekit.core.errors import DeviceError, TransferError, UnreachableError
from edgekit.core.hashing import sha256_file
from edgekit.device.connect import connect
from edgekit.device.target import resolve
from edgekit.device.workspace import Workspace


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(os.urandom(3_000_000))
    return path


def leftovers(board) -> list[str]:
    return [str(path) for path in board.path(board.home).rglob("*.part")]


# ------------------------------------------------------------------------------------------- over every transport


def test_a_file_arrives_whole_and_is_hashed_there(device, model):
    seen: list[int] = []
    pushed = device.workspace.push_file(model, "releases/a/model.tflite", on_bytes=seen.append)
    assert pushed.path == f"{device.root}/releases/a/model.tflite"
    assert (pushed.sha256, pushed.uploaded_bytes) == (sha256_file(model), 3_000_000)
    assert seen[-1] == 3_000_000
    said = device.transport.run(["sha256sum", pushed.path])
    assert said.text.split()[0] == sha256_file(model)


def test_the_same_content_is_not_uploaded_again(device, model):
    device.workspace.push_file(model, "model")
    again = device.workspace.push_file(model, "model")
    assert (again.uploaded_bytes, again.sha256) == (0, sha256_file(model))


def test_f19_damage_on_the_board_is_noticed_and_repaired(device, model):
    pushed = device.workspace.push_file(model, "model")
    device.transport.run(["sh", "-c", 'printf X | dd of="$1" bs=1 seek=1000 conv=notrunc', "sh", pushed.path])
    again = device.workspace.push_file(model, "model")
    assert again.uploaded_bytes == 3_000_000


def test_other_content_of_the_same_name_replaces_it(device):
    device.workspace.push_bytes(b"one", "name")
    pushed = device.workspace.push_bytes(b"two", "name")
    assert device.transport.run(["cat", pushed.path]).stdout == b"two"


def test_an_empty_file_is_a_file(device):
    assert device.workspace.push_bytes(b"", "empty").size_bytes == 0
    assert device.workspace.push_bytes(b"", "empty").uploaded_bytes == 0


@pytest.mark.parametrize("executable", [False, True])
def test_only_the_user_may_read_and_only_programs_may_run(device, executable):
    pushed = device.workspace.push_bytes(b"#!/bin/sh\n", "program", executable=executable)
    mode = device.transport.run(["stat", "-c", "%a", pushed.path]).text.strip()
    assert mode == ("700" if executable else "600")
    assert device.transport.run(["stat", "-c", "%a", device.root]).text.strip() == "700"


@pytest.mark.parametrize(
    "name", ["two words", "it's", 'say "hi"', "$(touch canary)", "`id`", "a;b", "-rf", "~", "*", "漢字", "x" * 255]
)
def test_f23_odd_names_are_taken_literally(device, name):
    pushed = device.workspace.push_bytes(b"content", f"{name}/{name}")
    assert pushed.path.endswith(f"/{name}/{name}")
    listed = device.transport.run(["find", device.root, "-type", "f"])
    assert listed.text == f"{pushed.path}\n"
    assert "canary" not in device.transport.run(["ls", "-a"]).text.split()


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/etc/passwd", "a//b", ".", "a\nb", "a\0b", "x" * 256, "a/"])
def test_f23_names_that_leave_the_workspace_are_refused(device, name):
    with pytest.raises(TransferError, match="cannot be a path in the workspace"):
        device.workspace.push_bytes(b"content", name)


def test_f22_a_link_at_the_destination_is_replaced_and_not_followed(device):
    device.workspace.push_bytes(b"x", "other")
    script = 'cd "$1" && echo precious > victim && mkdir folder && ln -s victim link && ln -s folder dirlink'
    device.workspace.sh(script, device.root)
    for name in ("link", "dirlink"):
        pushed = device.workspace.push_bytes(b"new", name)
        assert device.transport.run(["sh", "-c", '[ ! -L "$1" ] && cat "$1"', "sh", pushed.path]).stdout == b"new"
    assert device.transport.run(["cat", f"{device.root}/victim"]).text == "precious\n"
    assert device.transport.run(["ls", "-A", f"{device.root}/folder"]).text == ""


@pytest.mark.parametrize(("make", "what"), [("mkdir", "a folder"), ("mkfifo", "a special file")])
def test_f22_a_folder_or_a_pipe_at_the_destination_is_refused(device, make, what):
    device.workspace.push_bytes(b"x", "other")
    device.transport.run([make, f"{device.root}/place"])
    with pytest.raises(TransferError, match=f"is {what} on the board"):
        device.workspace.push_bytes(b"new", "place")
    assert "part" not in device.transport.run(["ls", "-A", device.root]).text


def test_a_file_where_a_folder_is_needed_is_named(device):
    device.workspace.push_bytes(b"x", "file")
    with pytest.raises(TransferError, match=r"cannot write to .*/file"):
        device.workspace.push_bytes(b"x", "file/below")


def test_a_local_file_that_is_not_there_is_named(device, tmp_path):
    with pytest.raises(TransferError, match="cannot read"):
        device.workspace.push_file(tmp_path / "missing", "file")


def test_a_workspace_is_an_absolute_path(device):
    with pytest.raises(TransferError, match="not an absolute path"):
        Workspace(device.transport, "relative", name="x")


# ------------------------------------------------------------------------------------------------- faults of a board


@pytest.mark.skipif(not ROOT, reason="needs root, for a disk of its own")
def test_f17_a_full_disk_is_found_before_the_upload(sshd_factory, model):
    board = sshd_factory(disk_mb=2)
    with (
        connect(resolve("pi4")) as device,
        pytest.raises(TransferError, match=r"no space: model.tflite needs 3(\.00)? MB") as caught,
    ):
        device.workspace.push_file(model, "model.tflite")
    assert caught.value.details["free_bytes"] < 3_000_000
    assert f"{board.home}/.edgekit" in caught.value.message
    assert leftovers(board) == []


@pytest.mark.skipif(not ROOT, reason="needs root, for a disk of its own")
@pytest.mark.parametrize("room_bytes", [1_000_000, 2_990_000])
def test_f17_a_disk_that_fills_up_meanwhile_leaves_nothing(sshd_factory, tmp_path, room_bytes):
    board = sshd_factory(disk_mb=8)
    (tmp_path / "big").write_bytes(os.urandom(3_000_000))
    with connect(resolve("pi4")) as device:
        device.workspace.push_bytes(b"small", "kept")
        filler = board.path(f"{board.home}/filler")
        disk = os.statvfs(board.path(board.home))
        filler.write_bytes(b"x" * (disk.f_bavail * disk.f_frsize - room_bytes))
        temporary = f"{device.root}/.edgekit-test.part"
        with pytest.raises(TransferError, match="No space left on device"):
            device.transport.push(tmp_path / "big", temporary)
        assert leftovers(board) == []
        filler.unlink()
        assert device.workspace.push_file(tmp_path / "big", "model").uploaded_bytes == 3_000_000


@pytest.mark.skipif(not ROOT, reason="needs root, for a disk of its own")
def test_f18_a_read_only_disk_is_named(sshd_board):
    with connect(resolve("pi4")) as device:
        workspace = Workspace(device.transport, "/home/readonly/edgekit", name="pi4")
        with pytest.raises(TransferError, match="Read-only file system") as caught:
            workspace.push_bytes(b"x", "file")
        workspace = Workspace(device.transport, "/home/readonly", name="pi4")
        with pytest.raises(TransferError, match=r"Read-only|no permission to write"):
            workspace.push_bytes(b"x", "file")
    assert "mounted read-only" in caught.value.hint


@pytest.mark.skipif(not ROOT, reason="needs root, for a user who is not")
def test_f18_a_folder_of_somebody_else_is_named(pi4):
    for root in ("/home/edgekit", "/home"):
        with pytest.raises(TransferError, match=r"(?i)permission"):
            Workspace(pi4.transport, root, name="pi4").push_bytes(b"x", "file")


def test_f10_a_connection_that_is_reset_during_an_upload_leaves_nothing(sshd_board, faulty_network, model):
    network = faulty_network(sshd_board, "reset", after=1_000_000)
    target = resolve("pi4", ssh_config=sshd_board.write_config("reset", port=network.port))
    with connect(target) as device:
        device.workspace.push_bytes(b"one", "kept")
        with pytest.raises(UnreachableError, match="connection was lost"):
            device.workspace.push_file(model, "model")
    _settles(sshd_board)
    with connect(target) as device:
        assert device.transport.run(["ls", "-A", device.root]).text == "kept\n"
        assert device.workspace.push_file(model, "model").uploaded_bytes == 3_000_000


def test_f19_a_bit_that_flips_on_the_way_ends_the_connection(sshd_board, faulty_network, model):
    network = faulty_network(sshd_board, "flip", after=1_000_000)
    with (
        connect(resolve("pi4", ssh_config=sshd_board.write_config("flip", port=network.port))) as device,
        pytest.raises(UnreachableError, match="connection was lost"),
    ):
        device.workspace.push_file(model, "model")
    _settles(sshd_board)


@pytest.mark.parametrize("fault", ["stall", "frozen"])
def test_f09_a_board_that_stops_taking_data_is_given_up(sshd_board, faulty_network, model, fault):
    big = model.with_name("big")
    big.write_bytes(model.read_bytes() * 4)
    if fault == "stall":
        network = faulty_network(sshd_board, "stall", after=1_000_000)
        target = resolve("pi4", ssh_config=sshd_board.write_config("stall", port=network.port))
    else:
        target = resolve("pi4")
    with connect(target) as device:
        device.workspace.push_bytes(b"one", "kept")
        device.transport._stall_s = 2.0
        if fault == "stall":
            with pytest.raises(UnreachableError, match=r"stopped answering|connection was lost"):
                device.transport.push(big, f"{device.root}/model")
        else:
            with sshd_board.frozen(), pytest.raises(UnreachableError, match=r"stopped answering|connection was lost"):
                device.transport.push(big, f"{device.root}/model")


def test_f20_an_interrupted_push_leaves_nothing(sshd_board, model):
    def interrupt(done: int) -> None:
        if done > 1_000_000:
            raise KeyboardInterrupt

    with connect(resolve("pi4")) as device:
        with pytest.raises(KeyboardInterrupt):
            device.workspace.push_file(model, "model", on_bytes=interrupt)
        assert leftovers(sshd_board) == []
        assert device.transport.run(["ls", "-A", device.root]).text == ""


@pytest.mark.parametrize("spoilt", [False, True])
def test_f27_an_upload_that_was_cut_short_is_sent_again_from_its_start(pi4, model, spoilt):
    """Nothing of the first upload is used, whether it was good or not."""
    pi4.workspace.push_bytes(b"x", "file")
    begun = model.read_bytes()[:1_000_000] if not spoilt else b"\0" * 1_000_000
    rest = model.with_name("rest")
    rest.write_bytes(begun)
    pi4.transport.push(rest, f"{pi4.root}/.edgekit-0123456789abcdef.part")
    seen: list[int] = []
    pushed = pi4.workspace.push_file(model, "model", on_bytes=seen.append)
    assert (pushed.uploaded_bytes, seen[-1], pushed.sha256) == (3_000_000, 3_000_000, sha256_file(model))


def test_f21_what_an_earlier_power_cut_left_is_removed(pi4):
    pi4.workspace.push_bytes(b"x", "file")
    old, new = (f"{pi4.root}/.edgekit-{age}.part" for age in ("old", "new"))
    pi4.transport.run(["touch", "-d", "3 days ago", old])
    pi4.transport.run(["touch", new])
    pi4.workspace.push_bytes(b"y", "file")
    assert pi4.transport.run(["ls", old, new]).text == f"{new}\n"


@pytest.mark.parametrize("tools", [("busybox",), ("openssl",), ("python3",), ()])
def test_the_hash_is_computed_with_what_the_board_has(sshd_board, monkeypatch, tools, tmp_path):
    available = ["sh", "cat", "wc", "rm", "mv", "mkdir", "df", "chmod", "find", "sync", *tools]
    if any(_which(tool) is None for tool in tools):
        pytest.skip(f"no {tools[0]} here")
    with connect(resolve("pi4")) as device:
        root = device.root
        device.workspace.push_bytes(b"x", "first")
        for tool in available:
            device.transport.run(["ln", "-s", _which(tool), f"{root}/{tool}"])

        class Poor:
            """The board with a PATH that has only these tools."""

            def run(self, argv, **options):
                return device.transport.run(["env", f"PATH={root}", *argv], **options)

            push = staticmethod(device.transport.push)

        workspace = Workspace(Poor(), f"{root}/poor", name="pi4")
        if tools:
            assert workspace.push_bytes(b"content", "file").uploaded_bytes == 7
            assert workspace.push_bytes(b"content", "file").uploaded_bytes == 0
        else:
            with pytest.raises(DeviceError, match="nothing on the board can compute a SHA-256"):
                workspace.push_bytes(b"content", "file")
            assert leftovers(sshd_board) == []


def _which(tool: str) -> str | None:
    return shutil.which(tool, path="/usr/bin:/bin")


def _settles(board) -> None:
    """Returns once the board's own clean-up after a lost connection is through."""
    wait_until(lambda: leftovers(board) == [])
