"""Which kind of model a file is: by its content, and a named error for everything that is none."""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgekit.core.errors import DependencyError, EdgekitError, ModelError
from edgekit.model.format import detect_format


@pytest.mark.parametrize(
    ("name", "format_name", "library"),
    [
        ("cnn.keras", "keras3-keras", "keras"),
        ("cnn.h5", "keras3-h5", "keras"),
        ("cnn_export", "saved-model", "tensorflow"),
        ("tf_cnn.keras", "tf-keras-keras", "tf_keras"),
        ("tf_cnn.h5", "tf-keras-h5", "tf_keras"),
        ("tf_cnn_folder", "saved-model", "tf_keras"),
    ],
)
def test_each_format_is_told_by_its_content(models: Path, name: str, format_name: str, library: str) -> None:
    found = detect_format(models / name)
    assert (found.name, found.library) == (format_name, library)


def test_the_version_that_wrote_the_file_is_reported(models: Path) -> None:
    assert str(detect_format(models / "cnn.keras").library_version).startswith("3.")
    assert str(detect_format(models / "tf_cnn.h5").library_version).startswith("2.")


@pytest.mark.parametrize("name", ["cnn.keras", "tf_cnn.h5", "tf_cnn.keras", "cnn.h5"])
def test_a_misleading_ending_changes_nothing(models: Path, tmp_path: Path, name: str) -> None:
    renamed = tmp_path / "model.tflite"
    shutil.copy(models / name, renamed)
    assert detect_format(renamed) == detect_format(models / name)


@pytest.mark.parametrize("name", ["cnn.keras", "tf_cnn.keras"])
def test_the_configuration_decides_where_no_version_is_written(models: Path, tmp_path: Path, name: str) -> None:
    bare = tmp_path / name
    with zipfile.ZipFile(models / name) as old, zipfile.ZipFile(bare, "w") as new:
        for item in old.namelist():
            if item != "metadata.json":
                new.writestr(item, old.read(item))
    assert detect_format(bare).name == detect_format(models / name).name


def test_a_tflite_is_told_by_its_identifier(tflites: Path) -> None:
    assert detect_format(tflites / "float.tflite").name == "tflite"


def _refusal(path: Path) -> EdgekitError:
    with pytest.raises(ModelError) as caught:
        detect_format(path)
    assert caught.value.exit_code == 4
    assert caught.value.hint
    return caught.value


def test_a_missing_file_is_a_named_error(tmp_path: Path) -> None:
    assert "no such file" in str(_refusal(tmp_path / "model.keras"))


def test_an_empty_file_is_a_named_error(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.touch()
    assert "empty" in str(_refusal(path))


@pytest.mark.parametrize("ending", ["keras", "h5", "tflite"])
def test_a_text_file_with_a_models_name_is_a_named_error(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"model.{ending}"
    path.write_text("this is no model, but it is long enough to be one\n" * 200, encoding="utf-8")
    assert "text file" in str(_refusal(path))


def test_a_web_page_and_a_git_lfs_pointer_get_their_own_way_out(tmp_path: Path) -> None:
    page, pointer = tmp_path / "page.h5", tmp_path / "pointer.keras"
    page.write_text("<!doctype html><html><body>Sign in</body></html>", encoding="utf-8")
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n", encoding="utf-8")
    assert "download" in str(_refusal(page).hint)
    assert "git lfs pull" in str(_refusal(pointer).hint)


@pytest.mark.parametrize("name", ["cnn.keras", "tf_cnn.keras", "cnn.h5", "tf_cnn.h5"])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_a_named_error(models: Path, tmp_path: Path, name: str, fraction: float) -> None:
    whole = (models / name).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(whole[: int(len(whole) * fraction)])
    message = str(_refusal(cut))
    assert name in message
    assert "truncated" in message or "damaged" in message


@pytest.mark.parametrize("name", ["cnn.weights.h5", "tf_weights.h5"])
def test_weights_without_layers_are_called_so(models: Path, name: str) -> None:
    error = _refusal(models / name)
    assert "weights only" in str(error)
    assert "model.save(" in str(error.hint)


def test_a_damaged_configuration_is_a_named_error(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    for text in ('{"class_name": "Functional", ', "[1, 2]", "[" * 100_000):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", text)
        assert "config.json" in str(_refusal(path))


def test_a_zip_bomb_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("config.json", "w") as stream:
        for _ in range(100):
            stream.write(b" " * (1 << 20))
    assert "larger than" in str(_refusal(path))


def test_folders_that_are_no_savedmodel_say_what_they_are(models: Path, tmp_path: Path) -> None:
    empty, checkpoint, unpacked, around = (tmp_path / name for name in ("empty", "checkpoint", "unpacked", "around"))
    for folder in (empty, checkpoint, unpacked, around):
        folder.mkdir()
    (checkpoint / "checkpoint").touch()
    with zipfile.ZipFile(models / "cnn.keras") as archive:
        archive.extractall(unpacked)
    shutil.copy(models / "cnn.keras", around)
    assert "empty folder" in str(_refusal(empty))
    assert "checkpoint" in str(_refusal(checkpoint))
    assert "unpacked" in str(_refusal(unpacked))
    assert "cnn.keras" in str(_refusal(around).hint)


def test_models_of_other_frameworks_are_recognised_with_a_way_out(tmp_path: Path) -> None:
    onnx, torch, old_torch = tmp_path / "m.onnx", tmp_path / "m.pt", tmp_path / "m.bin"
    onnx.write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x052.1.0" + bytes(100))
    with zipfile.ZipFile(torch, "w") as archive:
        archive.writestr("model/data.pkl", b"")
    old_torch.write_bytes(pickle.dumps({"state": 1}))
    assert "ONNX" in str(_refusal(onnx))
    assert "onnx2tf" in str(_refusal(onnx).hint)
    assert "PyTorch" in str(_refusal(torch))
    assert "litert" in str(_refusal(torch).hint)
    assert "pickle" in str(_refusal(old_torch))


def test_a_data_archive_is_not_taken_for_a_model(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"")
    assert "--data" in str(_refusal(path).hint)


def test_a_pipe_does_not_hang_the_detection(tmp_path: Path) -> None:
    pipe = tmp_path / "model.keras"
    os.mkfifo(pipe)
    assert "neither a file nor a folder" in str(_refusal(pipe))


def test_without_h5py_an_h5_file_names_the_package_to_install(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "h5py" else there(name))
    with pytest.raises(DependencyError) as caught:
        detect_format(models / "cnn.h5")
    assert caught.value.hint == "pip install 'edgekit[optimize]'"


def test_unknown_bytes_are_a_named_error(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(bytes(range(200, 256)) * 10)
    assert "no model that edgekit knows" in str(_refusal(path))


def test_detection_imports_neither_tensorflow_nor_h5py(models: Path) -> None:
    code = (  # in a process of its own: other tests import what they like into ours
        "import sys; from pathlib import Path; from edgekit.model.format import detect_format\n"
        "detect_format(Path(sys.argv[1]))\n"
        "print(sorted({'tensorflow', 'keras', 'tf_keras', 'h5py'} & set(sys.modules)))"
    )
    argv = [sys.executable, "-c", code, str(models / "cnn.h5")]
    assert subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout == "[]\n"
