"""A deploy that is interrupted anywhere: the old or the new model works, never neither; the next run converges."""

from __future__ import annotations

import random
import signal
import threading
import time
from pathlib import Path

import killed_deploy
import numpy
import pytest
import tiny_tflite
from golden_artifact import with_golden
from processes import signal_all
from sshd_board import Sshd

from edgekit.core.artifact import TensorSpec
from edgekit.core.hashing import sha256_file
from edgekit.verbs.boards import Reach
from edgekit.verbs.deploy import deploy

KEEP = 5


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """Small models of the same form with different weights, with golden outputs."""
    row = [numpy.zeros((1, 64), "int8") + 7]
    spec = TensorSpec(name="y", dtype="int8", shape=(1, 64), scale=0.0371, zero_point=-4)
    contents = {f"model{layers}.tflite": tiny_tflite.dense_chain_int8(layers) for layers in (1, 2, 3)}
    made = [tiny_tflite.write(tmp_path, content, name) for name, content in contents.items()]
    return [with_golden(model, [row], (spec,)).path for model in made]


class Application:
    """Opens the stable path over and over, as an application does that starts at any moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.faults: list[str] = []
        self.seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._open, daemon=True)

    def __enter__(self) -> Application:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def digest(self) -> str:
        return sha256_file(self.path)

    def _open(self) -> None:
        while not self._stop.wait(0.0005):
            try:
                self.seen.add(self.digest())
            except OSError as error:
                self.faults.append(str(error))


def stable(board: Sshd) -> Path:
    return board.path(f"{board.home}/.edgekit/releases/{killed_deploy.NAME}/current/model.tflite")


def deployed(board: Sshd, model: Path) -> Application:
    """A first release by an uninterrupted run, and somebody who uses it."""
    deploy(model, device="pi4", name=killed_deploy.NAME, plan=None, reach=Reach(wait_s=60.0))
    return Application(stable(board))


def leftovers(board: Sshd) -> list[str]:
    root = board.path(f"{board.home}/.edgekit")
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.name.startswith(".edgekit-")]


def check_converged(board: Sshd, model: Path, known: set[str]) -> None:
    """What an uninterrupted run leaves: the model is current, every release is whole, nothing else lies about."""
    assert sha256_file(stable(board)) == sha256_file(model)
    assert leftovers(board) == []
    folder = stable(board).parents[1]
    released = [path for path in folder.iterdir() if not path.is_symlink()]
    assert all(sha256_file(path / "model.tflite") in known for path in released)
    assert all(sha256_file(path / "model.tflite").startswith(path.name) for path in released)
    assert all((path / "manifest.json").is_file() for path in released)
    assert len(released) <= KEEP + 2
    assert str((folder / "current").readlink()) == sha256_file(model)[:12]
    if (folder / "previous").is_symlink():
        previous = str((folder / "previous").readlink())
        assert previous != str((folder / "current").readlink())
        assert (folder / previous / "model.tflite").is_file()


def ended(process) -> None:
    """Waits for a client; a hang is a failure."""
    process.join(60)
    assert process.exitcode is not None, "the client hangs"


def test_f20_a_client_that_is_killed_after_any_step_leaves_the_old_or_the_new_model(sshd_board, models):
    old, new, _ = models
    known = {sha256_file(model) for model in models}
    with deployed(sshd_board, old) as application:
        count = killed_deploy.counter()
        whole = killed_deploy.start(new, count=count)
        ended(whole)
        assert whole.exitcode == 0
        check_converged(sshd_board, new, known)
        assert count.value > 8
        for step in range(count.value + 1):
            target = old if application.digest() == sha256_file(new) else new
            killed = killed_deploy.start(target, die_after=step)
            ended(killed)
            assert killed.exitcode in (-signal.SIGKILL, 0)
            assert application.digest() in (sha256_file(old), sha256_file(new)), f"after step {step}"
        last = killed_deploy.start(new)
        ended(last)
        assert last.exitcode == 0
        check_converged(sshd_board, new, known)
    assert application.faults == []
    assert application.seen <= known


@pytest.mark.parametrize("kills", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_f20_a_client_that_is_killed_at_random_moments_never_leaves_neither_model(sshd_board, models, kills):
    generator = random.Random(20240501)
    known = {sha256_file(model) for model in models}
    with deployed(sshd_board, models[0]) as application:
        begin = time.monotonic()
        ended(killed_deploy.start(models[1]))
        whole_s = time.monotonic() - begin
        killed = 0
        # what killed clients had started on the board may end only now, whoever was killed meanwhile while they waited
        # for the lock; a client that comes to its end had the lock, and leaves none of them behind
        pending = {sha256_file(models[1])}
        for _ in range(kills):
            right = {application.digest(), *pending}
            target = generator.choice(models)
            begin = time.monotonic()
            client = killed_deploy.start(target)
            client.join(generator.uniform(0, 1.1 * whole_s))
            # a machine may become more or less busy: kills stay spread over what a deploy takes just now
            whole_s = 1.05 * whole_s if client.is_alive() else time.monotonic() - begin
            signal_all([client.pid])
            ended(client)
            killed += client.exitcode == -signal.SIGKILL
            pending = {sha256_file(target)} if client.exitcode == 0 else {*pending, sha256_file(target)}
            assert application.digest() in right | pending
        last = killed_deploy.start(models[2])
        ended(last)
        assert last.exitcode == 0
        check_converged(sshd_board, models[2], known)
    assert application.faults == []
    assert application.seen <= known
    assert killed > kills // 3
