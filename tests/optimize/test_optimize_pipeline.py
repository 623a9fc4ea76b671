"""The fold: recipes on real models, with less or other sources, and what stops it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy
import pytest
import tiny_tflite
from digits_runs import DIGITS, PRUNE_INT8, ROWS, cached, manifest, recipe_file, too_dark
from optimize_workshop import Workshop

import edgekit
from edgekit.core.artifact import manifest_path, open_artifact
from edgekit.core.errors import BudgetError, ModelError, UsageError
from edgekit.core.hashing import sha256_file, sha256_tree
from edgekit.data.spec import DataSpec
from edgekit.optimize.golden import golden_samples

pytestmark = pytest.mark.usefixtures("one_home")


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


# ----------------------------------------------------------------------------------------------------- what stops it


def test_a_spent_budget_is_exit_7_and_names_the_files_of_every_step(make, tmp_path):
    with pytest.raises(BudgetError, match=r"top-1 dropped by .* with the step 'quantize'") as caught:
        make("int8", representative=too_dark(tmp_path), max_drop=1.0)
    error = caught.value
    assert error.exit_code == 7
    assert "--scale" in str(error.hint)
    assert [item["step"] for item in error.details["files"]] == ["float32", "quantize"]
    assert all(Path(item["path"]).is_file() for item in error.details["files"])
    assert error.details["score"]["drop"] > 1
    assert not (tmp_path / "out.tflite").exists()
    allowed = make("int8", representative=too_dark(tmp_path), max_drop=100.0)
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
