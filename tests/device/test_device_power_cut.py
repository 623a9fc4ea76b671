"""A board that dies in the middle of a deploy, before any single command of our scripts: old or new, never neither."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sshd_board import ROOT, Sshd

from edgekit.core.artifact import Artifact
from edgekit.core.errors import DeviceError
from edgekit.core.hashing import sha256_file
from edgekit.device import releases
from edgekit.device.connect import connect
from edgekit.device.target import resolve

COMMANDS = ("mv", "ln", "rm", "mkdir", "rmdir", "touch", "sync", "chmod", "cat", "wc", "sha256sum", "find", "ls")
_SHIM = """\
#!/bin/sh
echo {name} >> /home/pi/shims/log
stop=$(/usr/bin/cat /home/pi/shims/stop 2>/dev/null)
if [ "$(/usr/bin/wc -l < /home/pi/shims/log)" -ge "${{stop:-99999}}" ]; then  # two at once may both be the next one
  : > /home/pi/shims/here
  exec /usr/bin/sleep 600
fi
exec {real} "$@"
"""


class Power:
    """Cuts the power of a board before the n-th command that the shell scripts of a session start.

    The commands stop there by themselves and wait; then every process of every session is killed, as by a reset.
    """

    def __init__(self, board: Sshd) -> None:
        self.board = board
        self.folder = board.path("/home/pi/shims")

    def install(self) -> None:
        self.folder.mkdir()
        for name in COMMANDS:
            (self.folder / name).write_text(_SHIM.format(name=name, real=f"/usr/bin/{name}"))
            (self.folder / name).chmod(0o755)
        os.chown(self.folder, 1000, 1000)

    def commands(self) -> list[str]:
        """What ran since :meth:`cut_before`."""
        log = self.folder / "log"
        return log.read_text().split() if log.exists() else []

    def cut_before(self, number: int) -> None:
        for name in ("log", "here", "stop"):
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / "stop").write_text(f"{number}\n")

    def watch(self, done: threading.Event) -> bool:
        """Kills everything once the place is reached; False where the run ended first."""
        while not done.is_set():
            if (self.folder / "here").exists():
                self.board.kill_sessions()
                return True
            time.sleep(0.005)
        return False


@pytest.fixture
def power(sshd_factory) -> Power:
    power = Power(sshd_factory(extra="SetEnv PATH=/home/pi/shims:/usr/bin:/bin"))
    power.install()
    return power


def a_model(folder: Path, content: bytes) -> Artifact:
    path = folder / f"{content.decode()}.tflite"
    path.write_bytes(content * 100)
    return Artifact(path=path, manifest=None)


def deploy(artifact: Artifact) -> None:
    with connect(resolve("pi4")) as device:
        release = releases.publish(device.workspace, artifact, name="digits")
        releases.activate(device.workspace, release)
        releases.prune(device.workspace, "digits", keep=2)


def cut(power: Power, number: int, action) -> bool:
    """Runs ``action`` and cuts the power before command ``number``; False where there are not so many."""
    power.cut_before(number)
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(power.watch, done)
        try:
            action()
        except DeviceError:
            pass
        finally:
            done.set()
        return watching.result()


@pytest.mark.skipif(not ROOT, reason="needs root, for a home of its own")
@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_f21_a_board_that_dies_before_any_command_of_a_deploy_has_the_old_or_the_new_model(power, tmp_path, stride):
    models = [a_model(tmp_path, name) for name in (b"one", b"two", b"three")]
    deploy(models[0])
    deploy(models[1])
    known = {sha256_file(model.path): model for model in models}
    folder = power.board.path("/home/pi/.edgekit/releases/digits")
    number, cuts, places = 1, 0, set()
    while True:
        before = known[sha256_file(folder / "current" / "model.tflite")]
        target = models[(models.index(before) + 1) % 3]
        if not cut(power, number, lambda: deploy(target)):  # noqa: B023 - called at once
            break
        cuts += 1
        places.add(power.commands()[-1])
        now = sha256_file(folder / "current" / "model.tflite")
        assert known[now] in (before, target), f"before command {number}"
        (power.folder / "stop").unlink()
        deploy(target)  # whoever comes next converges, whatever was left
        assert sha256_file(folder / "current" / "model.tflite") == sha256_file(target.path)
        assert sha256_file(folder / "previous" / "model.tflite") in known
        assert (folder / "previous").readlink() != (folder / "current").readlink()
        assert [path.name for path in folder.parents[1].rglob(".edgekit-*")] == []
        number += stride
    assert cuts >= 4
    if stride == 1:
        assert {"mv", "ln", "sync", "rm", "mkdir", "touch"} <= places


@pytest.mark.skipif(not ROOT, reason="needs root, for a home of its own")
def test_f21_a_board_that_dies_before_any_command_of_a_roll_back_has_one_of_the_two_and_both_links(power, tmp_path):
    models = [a_model(tmp_path, name) for name in (b"one", b"two")]
    for model in models:
        deploy(model)
    folder = power.board.path("/home/pi/.edgekit/releases/digits")
    ids = {sha256_file(model.path)[:12] for model in models}

    def roll_back() -> None:
        with connect(resolve("pi4")) as device:
            releases.rollback(device.workspace, "digits")

    number = 1
    while cut(power, number, roll_back):
        assert sha256_file(folder / "current" / "model.tflite")[:12] in ids
        (power.folder / "stop").unlink()
        with connect(resolve("pi4")) as device:
            assert set(releases.tidy(device.workspace, "digits")) == ids, f"before command {number}"
        assert [path.name for path in folder.rglob(".edgekit-*")] == []
        number += 1
    assert number > 8
