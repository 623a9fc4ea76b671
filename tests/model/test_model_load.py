"""Every format loads with its own library and runs by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgekit.core.child import Child
from edgekit.core.errors import ModelError

FORMATS = [
    ("cnn.keras", "keras"),
    ("cnn.h5", "keras"),
    ("cnn_export", "tensorflow"),
    ("tf_cnn.keras", "tf_keras"),
    ("tf_cnn.h5", "tf_keras"),
    ("tf_cnn_folder", "tf_keras"),
]


@pytest.mark.parametrize(("name", "library"), FORMATS)
def test_each_format_loads_and_runs(models: Path, child: Child, name: str, library: str) -> None:
    found = child.call("model_checks:load_and_run", time_limit_s=60, path=models / name)
    assert found["library"] == library
    assert found["inputs"][0]["shape"] == [-1, 8, 8, 1]
    assert list(found["shapes"].values()) == [[5, 3]]
    assert found["difference"] < 1e-6
    assert found["same_object"]


@pytest.mark.parametrize("name", ["cnn.keras", "tf_cnn.h5", "tf_cnn_folder"])
def test_the_loss_comes_with_the_model(models: Path, child: Child, name: str) -> None:
    found = child.call("model_checks:load_and_run", time_limit_s=60, path=models / name)
    assert "sparse_categorical_crossentropy" in found["loss"]
    assert found["inputs"][0]["name"] == "image"
    assert found["outputs"][0]["name"] == "classes"


@pytest.mark.parametrize("name", ["two.keras", "tf_two.h5"])
def test_several_inputs_and_outputs_go_by_name(models: Path, child: Child, name: str) -> None:
    found = child.call("model_checks:load_and_run", time_limit_s=60, path=models / name)
    assert [spec["name"] for spec in found["inputs"]] == ["image", "meta"]
    assert found["shapes"] == {"kind": [5, 2], "age": [5, 1]}
    assert found["difference"] < 1e-6


@pytest.mark.parametrize("name", ["cnn.keras", "cnn.h5", "tf_cnn.keras", "tf_cnn.h5"])
def test_a_file_with_another_ending_loads_by_its_content(models: Path, child: Child, tmp_path: Path, name: str) -> None:
    renamed = tmp_path / "model.bin"
    shutil.copy(models / name, renamed)
    found = child.call("model_checks:load_and_run", time_limit_s=60, path=renamed)
    expected = child.call("model_checks:load_and_run", time_limit_s=60, path=models / name)
    assert found["values"] == expected["values"]


def test_a_loss_of_the_authors_own_does_not_keep_the_model_out(models: Path, child: Child) -> None:
    found = child.call("model_checks:load_and_run", time_limit_s=60, path=models / "own_loss.keras")
    assert found["notices"] == ["custom-training"]


@pytest.mark.parametrize("name", ["custom_export", "tf_custom_folder"])
def test_a_savedmodel_carries_custom_layers_in_its_graph(models: Path, child: Child, name: str) -> None:
    found = child.call("model_checks:load_and_run", time_limit_s=60, path=models / name)
    assert found["library"] == "tensorflow"


@pytest.mark.parametrize("name", ["custom.keras", "custom.h5", "tf_custom.keras", "tf_custom.h5"])
def test_an_unknown_custom_layer_is_named(models: Path, child: Child, name: str) -> None:
    with pytest.raises(ModelError, match="'encoder/twice'"):
        child.call("model_checks:load_and_run", time_limit_s=60, path=models / name)


def test_a_model_that_was_never_built_is_a_named_error(models: Path, child: Child) -> None:
    with pytest.raises(ModelError, match="never built") as caught:
        child.call("model_checks:load_and_run", time_limit_s=60, path=models / "unbuilt.keras")
    assert "Input" in str(caught.value.hint)


def test_a_file_whose_weights_are_damaged_is_a_named_error(models: Path, child: Child, tmp_path: Path) -> None:
    damaged = tmp_path / "cnn.keras"
    content = bytearray((models / "cnn.keras").read_bytes())
    at = content.find(b"\x89HDF") + 200
    content[at : at + 2000] = bytes(2000)
    damaged.write_bytes(content)
    with pytest.raises(ModelError, match="cannot be loaded"):
        child.call("model_checks:load_and_run", time_limit_s=60, path=damaged)


def test_a_savedmodel_without_its_variables_is_a_named_error(models: Path, child: Child, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    shutil.copytree(models / "cnn_export", folder)
    shutil.rmtree(folder / "variables")
    with pytest.raises(ModelError, match="cannot be loaded"):
        child.call("model_checks:load_and_run", time_limit_s=60, path=folder)


def test_a_savedmodel_with_a_truncated_graph_is_a_named_error(models: Path, child: Child, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    shutil.copytree(models / "cnn_export", folder)
    graph = folder / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:5000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        child.call("model_checks:load_and_run", time_limit_s=60, path=folder)


def test_a_missing_input_and_a_wrong_shape_are_named_errors(models: Path, child: Child) -> None:
    with pytest.raises(ModelError, match="'meta'"):
        child.call("model_checks:forward_without_input", time_limit_s=60, path=models / "two.keras")
    with pytest.raises(ModelError, match="does not take this data"):
        child.call("model_checks:forward_wrong_shape", time_limit_s=60, path=models / "cnn.keras")


def test_a_tflite_is_not_loaded_as_a_network(tflites: Path, child: Child) -> None:
    with pytest.raises(ModelError, match="no layers"):
        child.call("model_checks:load_and_run", time_limit_s=60, path=tflites / "float.tflite")
