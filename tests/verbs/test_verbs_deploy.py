"""A deploy that fails at any stage: what was current is current, the failed release is marked, the error says all."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import tiny_tflite
from changed_payload import changed_payload
from golden_artifact import with_golden
from sshd_board import ROOT, Sshd

import edgekit
from edgekit.core.artifact import Artifact, TensorData, TensorSpec
from edgekit.core.errors import BusyError, DeviceError, EdgekitError, UsageError
from edgekit.core.places import config_dir
from edgekit.device import run as board_run
from edgekit.device.released import Deployed
from edgekit.measure.plan import Plan
from edgekit.verbs.rollback import on_board

QUICK = Plan(name="quick", retries=0, processes=2, memory_processes=0, min_runs=5, min_s=0.02, warmup_s=0.01)
RUNNERS = '"$HOME"/.edgekit/runtime/*/payload.pyz'
CALIBRATES = "calibration = [calibrate()]"


def a_model(folder: Path, layers: int) -> Artifact:
    """A small model with golden outputs; another number of layers is another model."""
    model = tiny_tflite.write(folder, tiny_tflite.dense_chain_int8(layers), f"door{layers}.tflite")
    spec = TensorSpec(name="y", dtype="int8", shape=(1, 64), scale=0.0371, zero_point=-4)
    return with_golden(model, [[numpy.full((1, 64), 7, "int8")]], (spec,))


@pytest.fixture
def old(tmp_path: Path) -> Artifact:
    return a_model(tmp_path, 1)


@pytest.fixture
def new(tmp_path: Path) -> Artifact:
    return a_model(tmp_path, 2)


def hook(*argv: str) -> None:
    """The board's profile runs this after every switch."""
    folder = config_dir() / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pi4.toml").write_text(f'title = "a board of the tests"\nafter_activate = {json.dumps(list(argv))}\n')


def change_runner(board: Sshd, place: str, change: str) -> None:
    """After every switch the runner on the board is one whose trials have a place that reads otherwise."""
    board.path(f"{board.home}/changed.pyz").write_bytes(changed_payload("trial.py", place, change))
    hook("sh", "-c", f'cp "$HOME"/changed.pyz {RUNNERS}')


def deploy(artifact: Artifact, *, plan: Plan | None = None, **options: object):
    return edgekit.deploy(artifact, device="pi4", name="door", plan=plan, reach=edgekit.Reach(wait_s=60.0), **options)


def there() -> Deployed:
    (model,) = on_board("pi4").models
    return model


def states() -> dict[str, str]:
    return {release.id: release.state for release in there().releases}


def identity(artifact: Artifact) -> str:
    assert artifact.manifest is not None
    return artifact.manifest.sha256[:12]


def failed(error: EdgekitError) -> dict:
    document = error.details["deployment"]
    assert isinstance(document, dict)
    json.dumps(document)  # it is kept
    return document


# --------------------------------------------------------------------------------------------- a deploy that works


def test_an_application_opens_the_stable_path(sshd_board: Sshd, old, new):
    done = deploy(old)
    assert done.release.stable_path == f"{sshd_board.home}/.edgekit/releases/door/current/model.tflite"
    assert sshd_board.path(done.release.stable_path).read_bytes() == old.path.read_bytes()
    assert deploy(new).release.stable_path == done.release.stable_path
    assert sshd_board.path(done.release.stable_path).read_bytes() == new.path.read_bytes()
    assert states() == {identity(new): "current", identity(old): "previous"}


def test_models_of_other_names_do_not_know_each_other(sshd_board: Sshd, old, new):
    deploy(old)
    edgekit.deploy(new, device="pi4", name="front window", plan=None)
    assert [(model.name, model.current) for model in on_board("pi4").models] == [
        ("door", identity(old)),
        ("front window", identity(new)),
    ]
    with pytest.raises(UsageError, match="door, front window"):
        edgekit.rollback(device="pi4")


def test_f29_what_is_there_already_is_not_sent_again_but_checked(sshd_board: Sshd, old):
    first = deploy(old)
    assert first.uploaded_bytes > 0
    again = deploy(old)
    assert (again.uploaded_bytes, again.release.sha256) == (0, old.manifest.sha256)
    sshd_board.path(first.release.model_path).write_bytes(b"x" * old.path.stat().st_size)
    repaired = deploy(old)
    assert repaired.uploaded_bytes == old.path.stat().st_size
    assert sshd_board.path(first.release.stable_path).read_bytes() == old.path.read_bytes()


# -------------------------------------------------------------------------------------------- a deploy that does not


def test_f30_a_model_that_fails_its_smoke_test_is_not_activated(sshd_board: Sshd, old, new):
    deploy(old)
    sample = new.manifest.golden[0]
    wrong = TensorData.of(sample.outputs[0].array()[:, ::-1])
    golden = (dataclasses.replace(sample, outputs=(wrong,)),)
    with pytest.raises(DeviceError, match="the smoke test failed") as caught:
        deploy(dataclasses.replace(new, manifest=dataclasses.replace(new.manifest, golden=golden)))
    assert caught.value.exit_code == 5
    assert f"{identity(old)} is current still" in caught.value.message
    report = failed(caught.value)
    assert (report["stage"], report["returned_to"]) == ("smoke", identity(old))
    assert report["smoke"]["verdict"] == "broken"
    assert states() == {identity(old): "current", identity(new): "failed"}
    note = sshd_board.path(f"{sshd_board.home}/.edgekit/releases/door/{identity(new)}/failed").read_text()
    assert json.loads(note)["stage"] == "smoke"
    deploy(new)  # what was wrong was the expectation
    assert states() == {identity(old): "previous", identity(new): "current"}


@pytest.mark.parametrize("crash", ["os.kill(os.getpid(), 11)", "os._exit(0)", "raise MemoryError"])
def test_f30_a_model_that_crashes_in_its_first_benchmark_is_taken_back(sshd_board: Sshd, old, new, crash):
    deploy(old)
    change_runner(sshd_board, CALIBRATES, f"{crash}\n    {CALIBRATES}")  # it crashes when it measures
    with pytest.raises(EdgekitError, match="the first benchmark failed") as caught:
        deploy(new, plan=QUICK)
    assert caught.value.exit_code == 5
    assert f"{identity(old)} is current again" in caught.value.message
    report = failed(caught.value)
    assert (report["stage"], report["returned_to"]) == ("benchmark", identity(old))
    assert report["smoke"]["ok"] is True
    assert states() == {identity(old): "current", identity(new): "failed"}


def test_f30_outputs_that_change_from_run_to_run_are_a_failure(sshd_board: Sshd, old, new):
    deploy(old)
    change_runner(sshd_board, "output_sha256=hashed.hexdigest()", "output_sha256=str(os.getpid())")
    with pytest.raises(DeviceError, match="different outputs for the same input") as caught:
        deploy(new, plan=QUICK)
    assert failed(caught.value)["benchmark"]["verdict"] == "invalid"
    assert there().current == identity(old)


def test_f30_a_first_release_that_fails_leaves_nothing_active(sshd_board: Sshd, new):
    change_runner(sshd_board, CALIBRATES, f"os._exit(9)\n    {CALIBRATES}")
    with pytest.raises(DeviceError, match="nothing is active, as before"):
        deploy(new, plan=QUICK)
    assert (there().current, there().previous) == (None, None)
    assert states() == {identity(new): "failed"}


def test_noise_is_no_failure(sshd_board: Sshd, old, new, tmp_path: Path):
    deploy(old)
    done = deploy(new, plan=QUICK)  # two processes of 5 runs are never a valid measurement on a busy machine
    assert done.benchmark is not None
    assert there().current == identity(new)


def test_f21_a_board_that_goes_away_after_activation_keeps_the_tested_release(sshd_board: Sshd, old, new, monkeypatch):
    deploy(old)

    real = board_run.run_job

    def cut(device, runtime, job, timeout_s):
        if job.mode != "smoke":
            device.transport.close()
        return real(device, runtime, job, timeout_s)

    monkeypatch.setattr(board_run, "run_job", cut)
    with pytest.raises(DeviceError, match="is current on pi4, it passed its smoke test") as caught:
        deploy(new, plan=QUICK)
    assert "edgekit rollback --device pi4" in caught.value.hint
    assert there().current == identity(new)


# -------------------------------------------------------------------------------------------------- after_activate


def test_the_profiles_command_runs_after_every_switch_and_no_shell_reads_it(sshd_board: Sshd, old, new):
    hook("sh", "-c", 'readlink "$HOME/.edgekit/releases/door/current" >> "$HOME/log"; echo "$1"', "sh", "$(id); `id`")
    done = deploy(old)
    assert done.hook is not None
    assert (done.hook.exit_status, done.hook.output) == (0, "$(id); `id`")
    deploy(new)
    edgekit.rollback(device="pi4")
    log = sshd_board.path(f"{sshd_board.home}/log").read_text().split()
    assert log == [identity(old), identity(new), identity(old)]


def test_f30_a_command_that_fails_takes_the_release_back_and_runs_again_for_the_old_one(sshd_board: Sshd, old, new):
    deploy(old)
    script = f'c=$(readlink "$HOME/.edgekit/releases/door/current"); echo $c >> "$HOME/log"; [ $c != {identity(new)} ]'
    hook("sh", "-c", f"{{ {script}; }} || {{ echo no such unit >&2; exit 5; }}")
    with pytest.raises(DeviceError, match=r"was taken back: after_activate .* failed with status 5") as caught:
        deploy(new)
    assert f"{identity(old)} is current again" in caught.value.message
    assert caught.value.details["after_activate"]["output"] == "no such unit"
    assert sshd_board.path(f"{sshd_board.home}/log").read_text().split() == [identity(new), identity(old)]
    assert states() == {identity(old): "current", identity(new): "failed"}


def test_a_roll_back_whose_command_fails_is_undone(sshd_board: Sshd, old, new):
    deploy(old)
    deploy(new)
    hook("sh", "-c", f'[ "$(readlink "$HOME/.edgekit/releases/door/current")" = {identity(new)} ]')
    with pytest.raises(DeviceError, match=f"failed with status 1; {identity(new)} is current again"):
        edgekit.rollback(device="pi4")
    assert (there().current, there().previous) == (identity(new), identity(old))


def test_a_roll_back_from_nothing_stays_where_its_command_fails(sshd_board: Sshd, old, new):
    deploy(old)
    deploy(new)
    sshd_board.path(f"{sshd_board.home}/.edgekit/releases/door/current").unlink()
    hook("false")
    with pytest.raises(DeviceError, match=f"failed with status 1; {identity(old)} is current all the same"):
        edgekit.rollback(device="pi4")
    assert there().current == identity(old)


def test_a_command_whose_children_keep_its_output_is_told_why_it_did_not_end(sshd_board: Sshd, old, monkeypatch):
    monkeypatch.setattr("edgekit.device.after_activate._LIMIT_S", 1.0)
    hook("sh", "-c", "sleep 6 & echo started")
    with pytest.raises(DeviceError, match=r"after_activate .* did not end in 1 s") as caught:
        deploy(old)
    assert ">/dev/null 2>&1 &" in caught.value.hint


# -------------------------------------------------------------------------------------------------------- roll back


def test_a_lost_link_to_the_current_release_does_not_hide_the_previous_one(sshd_board: Sshd, old, new):
    deploy(old)
    deploy(new)
    sshd_board.path(f"{sshd_board.home}/.edgekit/releases/door/current").unlink()
    back = edgekit.rollback(device="pi4")  # there is one model, so nobody has to name it
    assert (back.id, back.previous, there().current) == (identity(old), None, identity(old))


@pytest.mark.skipif(not ROOT, reason="needs root, for a user who is not")
def test_f18_a_roll_back_in_a_folder_without_write_permission_says_so(sshd_board: Sshd, old, new):
    deploy(old)
    deploy(new)
    folder = sshd_board.path(f"{sshd_board.home}/.edgekit/releases/door")
    folder.chmod(0o555)
    try:
        with pytest.raises(DeviceError, match="Permission denied; nothing was changed") as caught:
            edgekit.rollback(device="pi4")
    finally:
        folder.chmod(0o755)
    assert "write permission" in caught.value.hint
    assert there().current == identity(new)


def test_any_release_that_was_current_once_can_be_named(sshd_board: Sshd, old, new, tmp_path: Path):
    third = a_model(tmp_path, 3)
    for artifact in (old, new, third):
        deploy(artifact)
    assert edgekit.rollback(device="pi4", to=identity(old)[:6]).id == identity(old)
    assert states() == {identity(old): "current", identity(third): "previous", identity(new): "kept"}
    with pytest.raises(UsageError, match="no release of door called '123xyz'"):
        edgekit.rollback(device="pi4", to="123xyz")
    with pytest.raises(DeviceError, match="is current already"):
        edgekit.rollback(device="pi4", to=identity(old))


def test_f28_a_roll_back_waits_for_nobody_and_says_who_has_the_board(sshd_board: Sshd, old, new):
    deploy(old)
    deploy(new)
    script = (
        "import sys; from edgekit.device.connect import connect; from edgekit.device.lock import held\n"
        "from edgekit.device.target import resolve\n"
        "with connect(resolve('pi4')) as board, held(board, purpose='a long run', on_event=lambda _: None):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    run = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with run:
        assert run.stdout.readline() == b"held\n"
        with pytest.raises(BusyError, match="a long run"):
            edgekit.rollback(device="pi4")
        assert there().current == identity(new)  # listing needs no lock


def test_f31_without_a_previous_release_the_current_one_stays(sshd_board: Sshd, old):
    deploy(old)
    with pytest.raises(DeviceError, match="has no previous release; nothing was changed"):
        edgekit.rollback(device="pi4")
    assert there().current == identity(old)


# ----------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\nb", "\x1b[31m", "y" * 256, "ü" * 128])
def test_f23_a_name_that_no_release_can_have_is_found_before_the_board_is_asked(old, name):
    away = edgekit.Reach(host="127.0.0.1", port=1)  # nobody listens there
    with pytest.raises(UsageError, match="cannot be the name of a release"):
        edgekit.deploy(old, device="pi4", name=name, plan=None, reach=away)
    with pytest.raises(UsageError, match="cannot be the name of a release"):
        edgekit.rollback(name, device="pi4", reach=away)


def test_several_boards_where_one_is_meant_are_refused_in_words(old):
    with pytest.raises(UsageError, match="one board is meant here"):
        edgekit.deploy(old, device=["pi4", "pi5"], plan=None)
    with pytest.raises(UsageError, match="one board is meant here"):
        edgekit.rollback(device=["pi4", "pi5"])


def test_f23_a_file_name_as_long_as_they_can_be_is_deployed(sshd_board: Sshd, old, tmp_path: Path):
    bare = tmp_path / f"{'x' * 247}.tflite"
    bare.write_bytes(old.path.read_bytes())
    assert edgekit.deploy(bare, device="pi4", plan=None).release.name == "x" * 247
