"""What a run takes up again and leaves behind: the cache, interruptions, and places to write to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny_tflite
from digits_runs import DIGITS, ROWS, cached, manifest, recipe_file, too_dark

import edgekit
from edgekit.core.artifact import manifest_path
from edgekit.core.errors import BudgetError, DataError, ModelError, UsageError
from edgekit.core.events import Event
from edgekit.core.hashing import sha256_file
from edgekit.optimize.recipe import Recipe
from edgekit.optimize.steps import QuantizeStep

pytestmark = pytest.mark.usefixtures("converted", "one_home")


@pytest.fixture(scope="module")
def converted(home: Path) -> None:
    """An int8 run that has filled the cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_HOME", str(home))
        edgekit.optimize(DIGITS, data=str(ROWS), recipe="int8", output=home / "int8.tflite")


# ------------------------------------------------------------------------------------------------------- the cache


def test_a_second_run_takes_every_step_from_the_cache_and_starts_no_tensorflow(make, tmp_path, no_tensorflow):
    first = make("int8")
    events: list[Event] = []
    again = make("int8", output=tmp_path / "again.tflite", on_event=events.append)
    assert cached(again) == {"float32": True, "quantize": True}
    assert manifest(again).sha256 == manifest(first).sha256
    assert manifest(again).score == manifest(first).score
    assert no_tensorflow()
    assert "score" not in " ".join(event.task for event in events)
    assert [event.task for event in events if event.message == "from the cache"] == [
        "convert to float32",
        "quantize to int8",
    ]


def test_other_rows_to_score_with_change_the_score_alone(make, tmp_path, no_tensorflow):
    arrays = numpy.load(ROWS)
    numpy.savez(tmp_path / "few.npz", x=arrays["x_test"][:100], y=arrays["y_test"][:100])
    artifact = make("int8", evaluation=str(tmp_path / "few.npz"))
    assert cached(artifact) == {"float32": True, "quantize": True}
    assert manifest(artifact).score.count == 100
    assert no_tensorflow()


def test_the_float_model_alone_is_scored_without_tensorflow(no_tensorflow):
    found = edgekit.evaluate(DIGITS, data=str(ROWS))
    assert (found.metric, found.count) == ("top-1", 500)
    assert found.value > 0.97
    assert no_tensorflow()


def test_other_parameters_make_only_the_steps_that_depend_on_them_again(make):
    artifact = make(Recipe(name="mine", description="", steps=(QuantizeStep(mode="int8-float-io"),)))
    assert cached(artifact) == {"float32": True, "quantize": False}
    assert manifest(artifact).inputs[0].dtype == "float32"
    assert manifest(artifact).audit.float_ops == ()


def test_other_rows_to_calibrate_with_make_only_the_quantization_again(bare, tmp_path):
    first = edgekit.optimize(**bare, recipe="int8")
    numpy.save(tmp_path / "other.npy", numpy.load(bare["data"])[:110])
    other = edgekit.optimize(**bare, recipe="int8", representative=str(tmp_path / "other.npy"))
    assert cached(other) == {"float32": True, "quantize": False}
    assert manifest(other).steps[1].parameters["samples"] == 110
    assert manifest(other).data["representative"] != manifest(first).data["representative"]
    assert cached(edgekit.optimize(**bare, recipe="int8")) == {"float32": True, "quantize": True}


def test_without_reuse_everything_is_made_again_and_is_the_same(make):
    before = make("int8")
    again = make("int8", use_cache=False)
    assert cached(again) == {"float32": False, "quantize": False}
    assert manifest(again).sha256 == manifest(before).sha256
    assert manifest(again).score == manifest(before).score
    assert cached(make("int8")) == {"float32": True, "quantize": True}


def test_a_step_whose_files_were_removed_is_made_again(bare, home):
    first = edgekit.optimize(**bare, recipe="int8")
    step = Path(manifest(first).steps[1].path)
    assert home in step.parents
    step.unlink()
    again = edgekit.optimize(**bare, recipe="int8")
    assert cached(again) == {"float32": True, "quantize": False}
    assert manifest(again).sha256 == manifest(first).sha256


# ------------------------------------------------------------------------------------------ runs that do not finish

ROWS_WITH_A_TRAP = f"""
import os, pathlib, signal, sys, time
import numpy

def rows():
    arrays = numpy.load({str(ROWS)!r})
    if "tensorflow" in sys.modules and pathlib.Path("trap").exists():
        what = pathlib.Path("trap").read_text()
        if what == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if what == "raise":
            raise OSError("the camera is gone")
        pathlib.Path("reached").write_text(str(os.getpid()))
        time.sleep(120)
    return zip(arrays["x_train"][:120], arrays["y_train"][:120])
"""


@pytest.fixture
def trapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options of a run whose calibration rows do what the file ``trap`` says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(ROWS_WITH_A_TRAP)
    recipe_file(tmp_path)
    return {"representative": "own:rows", "recipe": "own.toml"}


def test_a_run_that_died_resumes_at_the_step_that_it_had_reached(make, tmp_path, trapped):
    (tmp_path / "trap").write_text("crash")
    with pytest.raises(ModelError, match=r"crashed \(SIGSEGV\) while converting to int8"):
        make(**trapped)
    (tmp_path / "trap").write_text("raise")
    with pytest.raises(DataError, match=r"own:rows failed .* the camera is gone"):
        make(**trapped)
    assert not list(tmp_path.glob("out*"))
    (tmp_path / "trap").unlink()
    artifact = make(**trapped)
    assert cached(artifact) == {"float32": True, "prune": True, "quantize": False}


def test_prune_writes_a_model_of_the_kind_that_it_was_given(tmp_path):
    before = sha256_file(DIGITS)
    trained = edgekit.prune(DIGITS, data=str(ROWS), sparsity=0.5, epochs=0, output=tmp_path / "pruned.keras")
    assert sha256_file(DIGITS) == before
    assert (trained.path, trained.format) == (tmp_path / "pruned.keras", "keras")
    assert trained.sha256 == sha256_file(trained.path) != before
    assert zipfile.is_zipfile(trained.path)
    assert [step.name for step in trained.steps] == ["float32", "prune"]
    assert trained.score is not None
    assert trained.score.count == 500
    assert trained.gzip_bytes < 0.8 * DIGITS.stat().st_size
    assert [item.name for item in tmp_path.iterdir()] == ["pruned.keras"]


def test_ctrl_c_ends_everything_and_leaves_nothing_half_made(tmp_path, trapped, home):
    own = tmp_path / "own.py"
    own.write_text(own.read_text().replace("[:120]", "[:130]"))  # rows that were not calibrated with
    (tmp_path / "trap").write_text("sleep")
    command = [sys.executable, "-m", "edgekit", "optimize", str(DIGITS), "--data", str(ROWS)]
    command += ["--representative", "own:rows", "--recipe", "own.toml", "-o", "out.tflite"]
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    reached = tmp_path / "reached"
    deadline = time.monotonic() + 120
    while not (reached.exists() and reached.read_text()) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert not Path(f"/proc/{reached.read_text()}").exists()
    assert not list(tmp_path.glob("out*"))
    assert not list((home / "cache" / "steps").glob(".*"))


def test_a_run_that_fails_leaves_the_earlier_result_as_it_was(make, tmp_path):
    before = make("int8")
    kept = {path: path.read_bytes() for path in (before.path, manifest_path(before.path))}
    with pytest.raises(BudgetError):
        make("int8", representative=too_dark(tmp_path), max_drop=1.0)
    assert {path: path.read_bytes() for path in kept} == kept
    assert sorted(item.name for item in tmp_path.iterdir()) == ["dark.npy", "out.edgekit.json", "out.tflite"]


def test_a_folder_that_cannot_be_written_to_is_found_before_the_work(make, tmp_path, no_tensorflow):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.getuid() == 0:
        closed = Path("/sys")  # there the kernel itself makes no files, for root neither
    with pytest.raises(UsageError, match="cannot write"):
        make("int8", output=closed / "out.tflite", use_cache=False)
    assert no_tensorflow()


@pytest.mark.parametrize("blocked", ["out.tflite", "out.edgekit.json"])
def test_a_place_that_is_taken_is_found_before_the_work(make, tmp_path, blocked):
    (tmp_path / blocked).mkdir()
    with pytest.raises(UsageError, match=f"cannot write .*{blocked}: it is a folder"):
        make("int8", output=tmp_path / "out.tflite")
    assert [item.name for item in tmp_path.iterdir()] == [blocked]


def test_the_source_is_never_the_output(tmp_path):
    source = tiny_tflite.write(tmp_path, tiny_tflite.dense())
    before = source.read_bytes()
    with pytest.raises(UsageError, match="the source itself"):
        edgekit.optimize(source, recipe="dynamic", output=tmp_path / "." / "model.tflite")
    assert source.read_bytes() == before
