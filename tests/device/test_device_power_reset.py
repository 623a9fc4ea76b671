"""The power of an emulated board is cut in the middle of deploys: its disk has the old or the new model, whole."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from emulated_board import Arm64Board

from edgekit.core.artifact import Artifact
from edgekit.core.errors import DeviceError
from edgekit.core.hashing import sha256_file
from edgekit.device import releases
from edgekit.device.connect import connect
from edgekit.device.target import Target, resolve

CURRENT = "sha256sum .edgekit/releases/digits/current/model.tflite; readlink .edgekit/releases/digits/previous"


def a_model(folder: Path, content: bytes) -> Artifact:
    path = folder / f"{content.decode()}.tflite"
    path.write_bytes(content * 50_000)
    return Artifact(path=path, manifest=None)


def deploy(target: Target, artifact: Artifact) -> None:
    with connect(target) as device:
        release = releases.publish(device.workspace, artifact, name="digits")
        releases.activate(device.workspace, release)
        releases.prune(device.workspace, "digits", keep=2)


@pytest.mark.slow
@pytest.mark.board
def test_f21_a_reset_during_a_deploy_leaves_a_whole_model_on_the_disk(arm64_board: Arm64Board, tmp_path):
    target = resolve(
        host=arm64_board.name, profile="generic-arm64", ssh_config=arm64_board.write_config(tmp_path / "ssh_config")
    )
    models = [a_model(tmp_path, name) for name in (b"one", b"two", b"three")]
    known = {sha256_file(model.path): model for model in models}
    arm64_board.ssh("rm -rf .edgekit")
    deploy(target, models[0])
    deploy(target, models[1])
    generator = random.Random(7)
    done: list[Artifact] = []

    def deploy_on_and_on() -> None:
        try:
            for model in models * 10:
                deploy(target, model)
                done.append(model)
        except DeviceError:
            pass

    for _ in range(2):
        worker = threading.Thread(target=deploy_on_and_on)
        worker.start()
        worker.join(generator.uniform(0.5, 4.0))
        ran = arm64_board.tool("reset", "--name", arm64_board.name)
        assert ran.returncode == 0, ran.stderr
        worker.join(120)
        assert not worker.is_alive()
        digest = arm64_board.ssh(CURRENT).stdout.split()[0]
        assert digest in known, "neither model"
        with connect(target) as device:
            current, previous = releases.tidy(device.workspace, "digits")
        assert current == digest[:12]
        assert previous is not None
        assert previous != current
    deploy(target, models[2])
    assert arm64_board.ssh(CURRENT).stdout.split()[0] == sha256_file(models[2].path)
    assert arm64_board.ssh("find .edgekit -name '.edgekit-*'").stdout == ""
