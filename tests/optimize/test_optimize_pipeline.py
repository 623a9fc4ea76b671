"""The fold: recipes on real models, what the cache saves, how a run resumes, and what stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny_tflite
from optimize_workshop import Workshop

import edgekit
from edgekit.core.artifact import Artifact, Manifest, manifest_path, open_artifact
from edgekit.core.errors import BudgetError, DataError, ModelError, UsageError
from edgekit.core.events import Event
from edgekit.core.hashing import sha256_file, sha256_tree
from edgekit.data.spec import DataSpec
from edgekit.optimize.golden import golden_samples
from edgekit.optimize.recipe import Recipe
from edgekit.optimize.steps import QuantizeStep
from edgekit.verbs.demo import example_folder

DIGITS = example_folder() / "digits.keras"
ROWS = example_folder() / "digits.npz"
PRUNE_INT8 = """
[[steps]]
step = "prune"
sparsity = 0.5
epochs = 0

[[steps]]
step = "quantize"
mode = "int8"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def edgekit_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for the whole file: a conversion takes seconds."""
    monkeypatch.setenv("EDGEKIT_HOME", str(home))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Artifact]:
    """Optimizes the digits classifier; options as of :func:`edgekit.optimize`."""

    def run(recipe: str = "int8", **options: Any) -> Artifact:
        given = {"model": DIGITS, "data": str(ROWS), "output": tmp_path / "out.tflite", **options}
        return edgekit.optimize(recipe=recipe, **given)

    return run


@pytest.fixture
def no_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Puts a package before TensorFlow that cannot be used; whether anybody tried to."""
    package, notes = tmp_path / "shadow" / "tensorflow", tmp_path / "imported"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        f"import pathlib\npathlib.Path({str(notes)!r}).touch()\nraise ImportError('not in this test')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return lambda: not notes.exists()


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, Any]:
    """A float .tflite with an open batch, and rows for it."""
    numpy.save(tmp_path / "rows.npy", numpy.random.default_rng(8).normal(size=(150, 8)).astype("float32"))
    return {
        "model": tiny_tflite.write(tmp_path, tiny_tflite.dense(dynamic=True)),
        "data": str(tmp_path / "rows.npy"),
        "output": tmp_path / "out.tflite",
    }


def manifest(artifact: Artifact) -> Manifest:
    assert artifact.manifest is not None
    return artifact.manifest


def cached(artifact: Artifact) -> dict[str, bool]:
    return {step.name: step.cached for step in manifest(artifact).steps}


def recipe_file(folder: Path, text: str = PRUNE_INT8) -> str:
    (folder / "own.toml").write_text(text)
    return str(folder / "own.toml")


# ---------------------------------------------------------------------------------------------------- the recipes


@pytest.mark.parametrize(
    ("recipe", "full_integer", "most"),
    [("float32", False, 1.01), ("float16", False, 0.55), ("dynamic", False, 0.35), ("int8", True, 0.35)],
)
def test_a_built_in_recipe_makes_what_its_name_says(make, recipe, full_integer, most):
    before = sha256_file(DIGITS)
    artifact = make(recipe)
    found = manifest(artifact)
    assert sha256_file(DIGITS) == before == found.source_sha256
    assert found.kind == found.recipe["name"] == recipe
    assert found.audit.full_integer == full_integer
    assert found.size_bytes == artifact.path.stat().st_size <= most * found.steps[0].size_bytes
    assert found.score is not None
    assert (found.score.metric, found.score.count) == ("top-1", 500)
    assert found.score.final == found.steps[-1].score
    assert found.score.drop is not None
    assert found.score.drop < 1
    assert [step.name for step in found.steps] == ["float32"] + ["quantize"] * (recipe != "float32")
    assert found.inputs[0].dtype == ("int8" if full_integer else "float32")
    assert found.outputs[0].name == "digit"
    assert found.warnings == ()


def test_pruning_with_fine_tuning_comes_before_quantizing(make, tmp_path):
    text = PRUNE_INT8.replace("epochs = 0", "epochs = 1")
    artifact = make(recipe_file(tmp_path, text))
    found = manifest(artifact)
    assert [step.name for step in found.steps] == ["float32", "prune", "quantize"]
    pruned = found.steps[1]
    assert pruned.path.endswith(".keras")
    assert pruned.parameters["epochs"] == 1
    assert pruned.details["layers"]
    assert found.audit.full_integer
    assert set(found.data) == {"training", "representative", "evaluation"}
    assert found.score is not None
    assert found.score.drop is not None
    assert found.score.drop < 2
    assert found.gzip_bytes < manifest(make("int8", output=tmp_path / "plain.tflite")).gzip_bytes
    assert found.recipe["steps"][0]["sparsity"] == 0.5


def test_an_artifact_comes_back_from_its_files_as_it_was(make):
    artifact = make("int8")
    again = open_artifact(artifact.path)
    assert again == artifact
    document = json.loads(manifest_path(artifact.path).read_text())
    assert document["schema"] == "edgekit.artifact/1"
    assert document["versions"]["tensorflow"]


def test_golden_samples_are_what_this_machine_computes(make):
    artifact = make("int8")
    found = manifest(artifact)
    assert len(found.golden) == 3
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(artifact.path), num_threads=1)
    interpreter.allocate_tensors()
    for sample in found.golden:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sample.inputs[0].array())
        interpreter.invoke()
        output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        numpy.testing.assert_array_equal(output, sample.outputs[0].array())
    assert len({sample.inputs[0].zlib_base64 for sample in found.golden}) == 3


def test_a_manifest_of_another_file_is_refused(make, tmp_path):
    int8, other = make("int8"), make("float32", output=tmp_path / "other.tflite")
    other.path.write_bytes(int8.path.read_bytes())
    with pytest.raises(ModelError, match=r"other\.edgekit\.json describes another file"):
        open_artifact(other.path)
    manifest_path(other.path).unlink()
    assert open_artifact(other.path).manifest is None


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
        make("int8", representative=_too_dark(tmp_path), max_drop=1.0)
    assert {path: path.read_bytes() for path in kept} == kept
    assert sorted(item.name for item in tmp_path.iterdir()) == ["dark.npy", "out.edgekit.json", "out.tflite"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_found_before_the_work(make, tmp_path, no_tensorflow):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UsageError, match="cannot write"):
        make("int8", output=tmp_path / "closed" / "out.tflite", use_cache=False)


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


# ----------------------------------------------------------------------------------------------------- what stops it


def _too_dark(folder: Path) -> str:
    """Rows with values 0..1 for a model that takes 0..16: what a wrong scale does."""
    numpy.save(folder / "dark.npy", numpy.load(ROWS)["x_train"][:150].astype("float32") / 16)
    return str(folder / "dark.npy")


def test_a_spent_budget_is_exit_7_and_names_the_files_of_every_step(make, tmp_path):
    with pytest.raises(BudgetError, match=r"top-1 dropped by .* with the step 'quantize'") as caught:
        make("int8", representative=_too_dark(tmp_path), max_drop=1.0)
    error = caught.value
    assert error.exit_code == 7
    assert "--scale" in str(error.hint)
    assert [item["step"] for item in error.details["files"]] == ["float32", "quantize"]
    assert all(Path(item["path"]).is_file() for item in error.details["files"])
    assert error.details["score"]["drop"] > 1
    assert not (tmp_path / "out.tflite").exists()
    allowed = make("int8", representative=_too_dark(tmp_path), max_drop=100.0)
    assert cached(allowed) == {"float32": True, "quantize": True}


def test_a_scale_that_ruins_the_float_model_too_is_exit_7(make, tmp_path):
    with pytest.raises(BudgetError, match=r"with the raw values, but 0\.1\d* with --scale 1/255") as caught:
        make("float32", scale="1/255", max_drop=0.5)
    assert caught.value.hint == "leave out --scale, --mean and --std"
    assert [item["step"] for item in caught.value.details["files"]] == ["float32"]
    artifact = make("float32", scale="1/255")  # without a budget it is said all the same
    assert "preprocessing-doubtful" in [notice.code for notice in manifest(artifact).warnings]


def test_a_scale_that_is_missing_is_found_by_its_effect(make, tmp_path):
    arrays = numpy.load(ROWS)
    numpy.savez(tmp_path / "dark.npz", x=arrays["x_test"].astype("float32") / 255, y=arrays["y_test"])
    artifact = make("float32", data=str(tmp_path / "dark.npz"))
    (doubt,) = [notice for notice in manifest(artifact).warnings if notice.code == "preprocessing-doubtful"]
    assert doubt.hint == "try --scale 255"


def test_other_preprocessing_that_the_model_cannot_take_is_no_better(tmp_path):
    ops, options = tiny_tflite.OPS, tiny_tflite.Tensor
    content = tiny_tflite.build(
        [options("x", "float32", (1, 4)), options("y", "float32", (1, 4))],
        [tiny_tflite.Op(ops.LOG, ["x"], ["y"])],
        ["x"],
        ["y"],
    )
    rows = -numpy.random.default_rng(9).random((20, 4)).astype("float32")  # their logarithm is NaN
    numpy.savez(tmp_path / "rows.npz", x=rows, y=rows)
    source = tiny_tflite.write(tmp_path, content)
    artifact = edgekit.optimize(
        source, data=str(tmp_path / "rows.npz"), mean=-2.0, recipe="float32", output=tmp_path / "out.tflite", max_drop=1
    )
    assert manifest(artifact).score.metric == "mse"


def test_a_budget_without_rows_to_score_with_is_refused(make):
    with pytest.raises(UsageError, match="--max-drop needs rows"):
        make("dynamic", data=None, max_drop=1.0)


def test_a_float_island_is_an_error_that_names_op_and_layer(make, tmp_path):
    model = tmp_path / "elu.keras"
    with zipfile.ZipFile(DIGITS) as source, zipfile.ZipFile(model, "w") as target:
        for name in {*source.namelist()} - {"config.json"}:
            target.writestr(name, source.read(name))
        config = json.loads(source.read("config.json"))
        layers = [layer["config"] for layer in config["config"]["layers"]]
        (layer,) = [layer for layer in layers if layer.get("kernel_size") and layer["activation"] == "relu"]
        layer["activation"] = "elu"
        target.writestr("config.json", json.dumps(config))
    with pytest.raises(ModelError, match="not full-integer: ELU") as caught:
        make("int8", model=model)
    assert f"ELU computes in float at '{layer['name']}" in caught.value.message  # Keras may add _1 to it
    assert caught.value.exit_code == 4
    assert "--allow-float-fallback" in str(caught.value.hint)
    steps = caught.value.details["steps"]
    assert [(step["name"], step["cached"]) for step in steps] == [("float32", False), ("quantize", False)]
    assert not (tmp_path / "out.tflite").exists()
    allowed = make("int8", model=model, allow_float_fallback=True)
    assert not manifest(allowed).audit.full_integer
    assert "ELU (1)" in manifest(allowed).audit.float_ops
    assert cached(allowed) == {"float32": True, "quantize": True}


def test_a_layer_that_crashes_the_converter_is_named_with_a_way_out_that_works(workshop: Workshop, tmp_path):
    options = {"data": workshop.path("series.npz"), "output": tmp_path / "out.tflite"}
    with pytest.raises(ModelError, match=r"the_gru") as caught:
        edgekit.optimize(workshop.path("gru.keras"), **options)
    assert "--mode dynamic" in str(caught.value.hint)
    artifact = edgekit.optimize(workshop.path("gru.keras"), recipe="dynamic", **options)
    assert cached(artifact)["float32"]
    assert manifest(artifact).score.metric == "agreement"


# ----------------------------------------------------------------------------------------------- with less or other


def test_a_savedmodel_without_labels_is_scored_by_its_agreement_with_the_float_model(workshop: Workshop, tmp_path):
    source = Path(workshop.path("plain_folder"))
    before = sha256_tree(source)
    artifact = edgekit.optimize(source, data=workshop.path("unlabelled.npz"), output=tmp_path / "plain.tflite")
    assert sha256_tree(source) == before == manifest(artifact).source_sha256
    assert manifest(artifact).source == "plain_folder"
    assert manifest(artifact).audit.full_integer
    score = manifest(artifact).score
    assert score is not None
    assert (score.metric, score.reference) == ("agreement", 1.0)
    assert 0.9 < score.final <= 1
    assert set(score.details) == {"same_class", "cosine", "max_abs_difference"}
    assert manifest(artifact).steps[0].score == 1.0


@pytest.mark.parametrize("recipe", ["dynamic", "float16", "float32"])
def test_without_data_every_mode_that_needs_none_works(make, recipe):
    artifact = make(recipe, data=None)
    found = manifest(artifact)
    assert (found.kind, found.score, found.golden, found.data) == (recipe, None, (), {})


def test_without_data_int8_says_what_is_missing(make):
    with pytest.raises(UsageError, match="needs data to calibrate with, and there are none") as caught:
        make("int8", data=None)
    assert "--data" in str(caught.value.hint)
    assert "--representative" in str(caught.value.hint)


# ------------------------------------------------------------------------------------------------ a .tflite as source


def test_a_float_tflite_is_quantized_without_tensorflow(bare, no_tensorflow):
    before = sha256_file(bare["model"])
    artifact = edgekit.optimize(**bare, recipe="int8")
    found = manifest(artifact)
    assert sha256_file(bare["model"]) == before == found.source_sha256
    assert found.audit.full_integer
    assert (found.inputs[0].dtype, found.inputs[0].shape) == ("int8", (1, 8))
    assert found.score.final > 0.9
    assert no_tensorflow()
    assert cached(edgekit.optimize(**bare, recipe="int8")) == {"float32": True, "quantize": True}


def test_a_quantized_tflite_is_refused(bare, tmp_path):
    edgekit.optimize(**bare, recipe="int8")
    with pytest.raises(ModelError, match=r"out\.tflite") as caught:
        edgekit.optimize(tmp_path / "out.tflite", data=bare["data"], output=tmp_path / "twice.tflite")
    assert "quantized" in caught.value.message
    assert caught.value.hint


def test_a_tflite_cannot_be_pruned(bare, tmp_path):
    with pytest.raises(ModelError, match="no layers to prune"):
        edgekit.optimize(**bare, recipe=recipe_file(tmp_path))


def test_a_tflite_cannot_be_converted_to_another_float(bare):
    with pytest.raises(UsageError, match="float16") as caught:
        edgekit.optimize(**bare, recipe="float16")
    assert "Keras model" in str(caught.value.hint)


def test_an_export_that_was_moved_is_converted(workshop: Workshop, tmp_path):
    workshop.call("export:export", source=workshop.path("old.h5"), out=str(tmp_path / "made"))
    (tmp_path / "made").rename(tmp_path / "moved")
    workshop.call(
        "convert:convert", saved_model=str(tmp_path / "moved"), out=str(tmp_path / "out.tflite"), mode="dynamic"
    )
    assert golden_samples(tmp_path / "out.tflite", DataSpec(source=workshop.path("images.npz")))
