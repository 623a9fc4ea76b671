"""Scores on this machine and on boards: the same rows, the same metrics, and how alike the outputs are."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import tiny_tflite
from processes import signal_all, wait_until
from sshd_board import Sshd

import edgekit
from edgekit.core import places
from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.data.spec import DataSpec
from edgekit.device import run as board_run
from edgekit.optimize.elsewhere import score_outputs, send_rows
from edgekit.verbs.evaluate import BoardEvaluation

EQUAL = "every output on the board is equal to this machine's"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return labelled(tmp_path / "data.npz", 300)


def labelled(path: Path, rows: int, seed: int = 0) -> Path:
    """Rows within the range of the model's input, and labels of which some are right."""
    random = numpy.random.default_rng(seed)
    numpy.savez(path, x=random.normal(0, 2, (rows, 16)).astype("float32"), y=random.integers(0, 10, rows))
    return path


@pytest.fixture(params=["local", "pi4"])
def device(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """This machine as a board, and a real SSH server."""
    if request.param == "pi4":
        request.getfixturevalue("sshd_board")
    else:
        monkeypatch.setenv("HOME", str(tmp_path))
    return str(request.param)


def on_board(model: Path, data: Path | str, device: str, **options: object) -> BoardEvaluation:
    found = edgekit.evaluate(model, data=str(data), device=device, **options)
    assert isinstance(found, BoardEvaluation)
    return found


def test_the_score_of_a_board_is_that_of_this_machine_for_the_same_rows(model, data, device):
    found = on_board(model, data, device, limit=300)
    here = edgekit.evaluate(model, data=str(data))
    assert (found.metric, found.value, found.count) == (here.metric, here.value, 300)
    assert found.here == here.value
    assert (found.same_class, found.max_abs_difference) == (1.0, 0.0)
    assert found.cosine == pytest.approx(1.0)
    assert found.device == device
    assert found.runtime.name == "LiteRT C API"
    assert found.notes == (*here.notes, EQUAL)
    assert (found.same_outputs, found.difference) == (True, 0.0)


def test_a_board_gets_200_rows_evenly_spread_and_says_so(model, data, device):
    found = on_board(model, data, device)
    assert found.count == 200
    assert found.notes == ("200 of 300 rows, evenly spread", EQUAL)
    every_third = on_board(model, data, device, limit=3)
    arrays = numpy.load(data)
    chosen = data.with_name("chosen.npz")
    numpy.savez(chosen, x=arrays["x"][[0, 149, 299]], y=arrays["y"][[0, 149, 299]])
    assert every_third.value == edgekit.evaluate(model, data=str(chosen)).value


def test_this_machine_can_be_limited_too(model, data):
    found = edgekit.evaluate(model, data=str(data), limit=50)
    assert (found.count, found.notes) == (50, ("50 of 300 rows, evenly spread",))
    assert edgekit.evaluate(model, data=str(data), limit=1000).notes == ()


def test_without_labels_the_board_is_scored_by_its_agreement_with_this_machine(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    rows = tmp_path / "rows.npy"
    numpy.save(rows, numpy.random.default_rng(1).normal(0, 2, (20, 16)).astype("float32"))
    found = on_board(model, rows, "local")
    assert (found.metric, found.value, found.here, found.notes) == ("agreement", 1.0, None, (EQUAL,))


def test_inputs_and_outputs_keep_their_names_whatever_the_order_of_the_signature(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    model = tiny_tflite.write(tmp_path, tiny_tflite.subtract(reversed_signature=True))
    random = numpy.random.default_rng(2)
    data = tmp_path / "two.npz"
    numpy.savez(data, a_left=random.normal(size=(30, 4)), b_right=random.normal(size=(30, 4)))
    found = on_board(model, data, "local")
    assert (found.value, found.max_abs_difference) == (1.0, 0.0)


def test_a_model_that_remembers_forgets_between_the_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    model = tiny_tflite.write(tmp_path, tiny_tflite.remembers())
    numpy.save(tmp_path / "rows.npy", numpy.random.default_rng(3).normal(size=(12, 2)).astype("float32"))
    found = on_board(model, tmp_path / "rows.npy", "local", runtime="ai_edge_litert")
    assert found.runtime.name == "ai_edge_litert"
    assert found.max_abs_difference == pytest.approx(0, abs=1e-6)


def test_rows_that_would_not_fit_on_the_board_go_there_in_pieces(tmp_path, sshd_board: Sshd):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense(columns=1 << 16))
    rows = numpy.random.default_rng(4).normal(size=(256, 1 << 16)).astype("float32")
    assert rows.nbytes == 64 << 20  # its disk has 64 MB, and the runtime is there too
    numpy.savez(tmp_path / "large.npz", x=rows, y=numpy.arange(256) % 4)
    found = on_board(model, tmp_path / "large.npz", "pi4", limit=256)
    assert (found.count, found.same_class) == (256, 1.0)
    assert list(sshd_board.path(f"{sshd_board.home}/.edgekit/rows").iterdir()) == []


@pytest.mark.parametrize("how", ["killed", "interrupted", "connection lost"])
def test_an_evaluation_that_was_cut_short_goes_on_where_it_stopped(how, tmp_path, sshd_board: Sshd, monkeypatch):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    data = labelled(tmp_path / "many.npz", 1500)
    kept = places.cache_dir() / "evaluations"
    command = [sys.executable, "-m", "edgekit", "evaluate", str(model), "--data", str(data), "--limit", "1500"]
    for _ in range(5):  # on a machine that stalls it may be done before we come to cut it short
        run = subprocess.Popen([*command, "--device", "pi4"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        wait_until(lambda run=run: len(list(kept.glob("*/*.outputs"))) >= 2 or run.poll() is not None)
        if how == "connection lost":
            signal_all(sshd_board.sessions())
        else:
            run.send_signal(signal.SIGKILL if how == "killed" else signal.SIGINT)
        said = run.communicate(timeout=60)[1]
        if run.returncode != 0:
            break
    done = len(list(kept.glob("*/*.outputs")))
    assert run.returncode != 0, said
    assert done >= 2
    runs = counted(monkeypatch)
    found = on_board(model, data, "pi4", limit=1500, reach=edgekit.Reach(wait_s=60.0))
    assert (found.resumed, len(runs)) == (done, found.batches - done)
    assert found.batches == 8  # 32, 64, 128, then 256 each, and the rest
    assert f"went on from an interrupted run: {done} of 8 batches were there already" in found.notes
    assert found.value == edgekit.evaluate(model, data=str(data)).value
    assert found.same_outputs
    assert list(kept.iterdir()) == []
    runs.clear()
    again = on_board(model, data, "pi4", limit=1500)
    assert (again.resumed, len(runs), again.value) == (0, 8, found.value)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows with every process that is started on a board."""
    runs: list[object] = []
    real = board_run.run_job

    def run_job(*arguments: object, **options: object) -> object:
        runs.append(arguments)
        return real(*arguments, **options)

    monkeypatch.setattr(board_run, "run_job", run_job)
    return runs


def test_a_kept_batch_counts_only_for_the_same_rows_and_only_whole(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    data = labelled(tmp_path / "data.npz", 90)
    kept = places.cache_dir() / "evaluations"
    with monkeypatch.context() as once:
        stopped_after(1, once)
        with pytest.raises(KeyboardInterrupt):
            on_board(model, data, "local")
    (file,) = kept.glob("*/*.outputs")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    runs = counted(monkeypatch)
    assert (on_board(model, data, "local").resumed, len(runs)) == (0, 2)
    file.parent.mkdir(parents=True)
    file.write_bytes(whole)
    assert on_board(model, labelled(tmp_path / "other.npz", 90, seed=1), "local").resumed == 0
    file.parent.mkdir(parents=True)
    file.write_bytes(whole)
    assert on_board(model, data, "local").resumed == 1


def stopped_after(batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C once so many batches have run."""
    real, left = board_run.run_job, [batches]

    def run_job(*arguments: object, **options: object) -> object:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(*arguments, **options)

    monkeypatch.setattr(board_run, "run_job", run_job)


def test_a_board_that_computes_otherwise_is_told_with_the_difference(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_chain_int8())
    random = numpy.random.default_rng(0)
    rows = random.normal(0, 2, (120, 64)).astype("float32")
    numpy.savez(tmp_path / "chain.npz", x=rows, y=random.integers(0, 64, 120))
    real = board_run.new_job
    monkeypatch.setattr(board_run, "new_job", lambda *a, **k: dataclasses.replace(real(*a, **k), kernels="builtin"))
    found = on_board(model, tmp_path / "chain.npz", "local")
    assert not found.same_outputs
    assert found.runtime.delegate == "none"
    assert found.difference == found.value - found.here
    assert "built-in kernels, this machine XNNPACK" in found.notes[-1]
    assert "the score" in found.notes[-1]


def test_what_a_user_wrote_runs_in_another_process(model, tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(
        "import os, pathlib\nimport numpy\n"
        "def note():\n    with pathlib.Path('pids').open('a') as file:\n        file.write(f'{os.getpid()}\\n')\n"
        "def rows():\n    note()\n    return ((numpy.full(16, n / 9, 'float32'), n) for n in range(10))\n"
        "def half(x):\n    note()\n    return x / 2\n"
        "def metric(y_true, y_pred):\n    note()\n    return float((y_true == y_pred.argmax(1)).mean())\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = on_board(model, "own:rows", "local", preprocess="own:half", metric="own:metric", limit=5)
    assert (found.metric, found.count) == ("own:metric", 5)
    pids = Path("pids").read_text().split()
    assert len(pids) > 5
    assert str(os.getpid()) not in pids


def test_outputs_that_differ_lower_agreement_and_score(model, data, tmp_path):
    spec = DataSpec(source=str(data))
    sent = send_rows(model, spec, tmp_path)
    assert (sent.samples, sent.input_bytes, sent.output_bytes) == (300, (16,), (10,))
    outputs = numpy.zeros((300, 10), "int8")
    outputs[:, 3] = 100
    sent.outputs.write_bytes(outputs.tobytes())
    found = score_outputs(model, spec, sent)
    assert found.value == float((numpy.load(data)["y"] == 3).mean())
    assert found.same_class is not None
    assert found.same_class < 0.5
    assert found.max_abs_difference is not None
    assert found.max_abs_difference > 1
    assert found.metric == sent.here.metric == "top-1"


def test_a_misspelt_board_is_found_before_any_work(model, tmp_path):
    with pytest.raises(UsageError, match="'locl'") as caught:
        edgekit.evaluate(model, data=str(tmp_path / "none.npz"), device="locl")
    assert "local" in str(caught.value.hint)


def test_rows_that_do_not_fit_are_refused_before_the_board_is_touched(model, tmp_path, sshd_board: Sshd):
    numpy.save(tmp_path / "wrong.npy", numpy.zeros((20, 7), "float32"))
    with pytest.raises(DataError, match="7"):
        on_board(model, tmp_path / "wrong.npy", "pi4")
    assert not sshd_board.path(f"{sshd_board.home}/.edgekit").exists()


def test_zero_rows_cannot_be_scored(model, data):
    with pytest.raises(UsageError, match="0 rows"):
        edgekit.evaluate(model, data=str(data), limit=0)


def test_a_file_that_is_no_model_is_refused(tmp_path, data):
    (tmp_path / "text.tflite").write_text("not a model")
    with pytest.raises(ModelError, match=r"text\.tflite"):
        edgekit.evaluate(tmp_path / "text.tflite", data=str(data), device="local")


def test_the_command_prints_the_fields_that_scripts_rely_on(model, data, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "edgekit.toml").write_text('device = "a board that is not there"\n')
    command = [sys.executable, "-m", "edgekit", "evaluate", str(model), "--data", str(data), "--limit", "25"]
    run = subprocess.run([*command, "--device", "local", "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert document["device"] == "local"
    assert {"name", "version", "delegate", "fully_delegated"} <= set(document["runtime"])
    assert set(document["score"]) == {"metric", "float", "final", "drop", "count"}
    assert document["score"]["count"] == 25
    assert document["agreement"] == {"same_class": 1.0, "max_abs_difference": 0.0, "cosine": pytest.approx(1.0)}
    here = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)  # a project's board is for deploying
    assert here.returncode == 0, here.stderr
    assert "25 of 300 rows, evenly spread" in here.stdout
