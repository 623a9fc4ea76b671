"""A board that has the runner of another edgekit gets this one's beside it, and nothing of either stays behind."""

from __future__ import annotations

import hashlib
from pathlib import Path

import tiny_tflite

from edgekit.core import artifact as artifacts
from edgekit.device.connect import Device, connect
from edgekit.device.provision import prepare_runtime
from edgekit.device.smoke import smoke_test
from edgekit.device.target import resolve
from edgekit.runner.payload_file import PAYLOAD_NAME, payload_content
from edgekit.verbs.provision import provision, remove_from_board

OLD = b"raise SystemExit('the runner of an edgekit before this one')\n"


def folder_of(content: bytes) -> str:
    return f"runtime/{hashlib.sha256(content).hexdigest()[:12]}"


def give_back_the_old_runner(device: Device) -> None:
    """The board as the edgekit before left it: everything but the runner is there, which was one file of Python."""
    device.workspace.sh('rm -r -- "$1"', device.workspace.path(folder_of(payload_content())))
    device.workspace.push_bytes(OLD, f"{folder_of(OLD)}/payload.py")


def test_a_board_with_the_runner_of_an_older_edgekit_gets_this_one_and_only_this_one(sshd_board, tmp_path: Path):
    provision("pi4")
    with connect(resolve("pi4")) as device:
        give_back_the_old_runner(device)
    before = provision("pi4", dry_run=True).plan.chosen
    assert [item.name for item in before.items if not item.on_board] == [PAYLOAD_NAME]
    with connect(resolve("pi4")) as device:
        runtime = prepare_runtime(device, device.facts())
        assert runtime.runner_path == device.workspace.path(f"{folder_of(payload_content())}/{PAYLOAD_NAME}")
        assert runtime.uploaded_bytes == len(payload_content())
        model = artifacts.open_artifact(tiny_tflite.write(tmp_path, tiny_tflite.dense()))
        path = device.workspace.push_file(model.path, "models/0123456789ab/model.tflite").path
        assert smoke_test(device, runtime, path, model).ok
        assert prepare_runtime(device, device.facts()).uploaded_bytes == 0
    assert remove_from_board("pi4").left == ()
    assert not sshd_board.path(f"{sshd_board.home}/.edgekit").exists()


def test_an_old_runner_alone_is_known_as_ours_and_taken_away(sshd_board):
    with connect(resolve("pi4")) as device:
        device.workspace.push_bytes(OLD, f"{folder_of(OLD)}/payload.py")
    assert remove_from_board("pi4").left == ()
    assert not sshd_board.path(f"{sshd_board.home}/.edgekit").exists()
