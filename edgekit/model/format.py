"""Which kind of model a file is, found by looking into it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgekit.core.errors import ModelError
from edgekit.model import config as keras_config
from edgekit.model import hdf5

FormatName = Literal["keras3-keras", "keras3-h5", "tf-keras-keras", "tf-keras-h5", "saved-model", "tflite"]
Library = Literal["keras", "tf_keras", "tensorflow", "litert"]

_ACCEPTED = ".keras and .h5 files (Keras 3, Keras 2), SavedModel folders and .tflite files"
_SAVE = "save the model with model.save('model.keras')"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFormat:
    """What a model file is.

    Attributes:
        name: the container and who wrote it.
        library: what loads it.
        library_version: the version that wrote it, where the file says so.
    """

    name: FormatName
    library: Library
    library_version: str | None


def detect_format(path: Path, *, isolated: bool = True) -> ModelFormat:
    """The format of a model file or folder, from its content; the name's ending counts for nothing.

    Cheap: a zip archive's configuration is read here, HDF5 attributes in a child process, of a ``.tflite`` only the
    identifier (:func:`edgekit.model.tflite.read_tflite` reads all of it).

    Args:
        path: the file or SavedModel folder.
        isolated: let a child process parse HDF5; False where this process is one already.

    Raises:
        ModelError: missing, empty, truncated, weights only, or not a model that edgekit takes.
        DependencyError: an HDF5 file, and h5py is not installed.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    head, size = _head(path)
    if size == 0:
        raise ModelError(f"{path.name} is empty (0 bytes)", hint="copy or make the file again")
    if head[4:8] == b"TFL3":
        return _tflite(path, head, size)
    if head.startswith(hdf5.SIGNATURE):
        return _keras(keras_config.read_hdf5_config(path, isolated=isolated), "h5")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        found = keras_config.read_zip_config(path)
        if found is None:
            raise _foreign_zip(path)
        return _keras(found, "keras")
    raise _unknown(path, head)


def _head(path: Path) -> tuple[bytes, int]:
    if path.exists() and not path.is_file():  # opening a pipe would wait for its other end
        raise ModelError(f"{path} is neither a file nor a folder", hint="name a model file")
    try:
        with path.open("rb") as stream:
            return stream.read(4096), path.stat().st_size
    except FileNotFoundError as error:
        raise ModelError(f"no such file: {path}", hint="check the path of the model") from error
    except OSError as error:
        raise ModelError(
            f"cannot read {path}: {error.strerror or error}", hint="check the file's permissions"
        ) from error


def _keras(found: keras_config.KerasConfig, container: Literal["keras", "h5"]) -> ModelFormat:
    version = found.keras_version
    if version is not None and version.split(".")[0].isdigit():
        three = int(version.split(".")[0]) >= 3
    else:  # only Keras 3 writes this key of an input layer and dtypes as objects
        three = _mentions(found.model, "batch_shape") or _mentions(found.model, "DTypePolicy")
    name: FormatName
    if container == "keras":
        name = "keras3-keras" if three else "tf-keras-keras"
    else:
        name = "keras3-h5" if three else "tf-keras-h5"
    return ModelFormat(name=name, library="keras" if three else "tf_keras", library_version=version)


def _mentions(node: Any, word: str) -> bool:
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            if word in item or item.get("class_name") == word:
                return True
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False


def _tflite(path: Path, head: bytes, size: int) -> ModelFormat:
    root = int.from_bytes(head[:4], "little")
    if root + 4 > size:
        raise ModelError(
            f"{path.name} is truncated: its root table would begin at byte {root}, but it ends at byte {size}",
            hint="copy or download the file again, and compare its size with the original's",
        )
    return ModelFormat(name="tflite", library="litert", library_version=None)


def _folder(path: Path) -> ModelFormat:
    graph = path / "saved_model.pb"
    if not graph.is_file():
        raise _foreign_folder(path)
    if graph.stat().st_size == 0:
        raise ModelError(f"{graph} is empty (0 bytes)", hint="export the model again: model.export('folder')")
    # tf_keras keeps its layers beside the graph; model.export() of Keras 3 keeps the graph alone
    layers = path / "keras_metadata.pb"
    library: Library = "tf_keras" if layers.is_file() and layers.stat().st_size > 0 else "tensorflow"
    return ModelFormat(name="saved-model", library=library, library_version=None)


def _foreign_folder(path: Path) -> ModelError:
    names = {item.name for item in path.iterdir()}
    if not names:
        return ModelError(f"{path} is an empty folder", hint=f"name a model; edgekit takes {_ACCEPTED}")
    if "config.json" in names and "model.weights.h5" in names:
        return ModelError(
            f"{path} is an unpacked .keras archive",
            hint=f"pack it again: (cd {path} && zip -r ../model.keras .)",
        )
    if "checkpoint" in names or any(name.endswith(".index") for name in names):
        return ModelError(f"{path} is a checkpoint: weights only, without the layers", hint=_SAVE)
    inside = sorted(name for name in names if name.endswith((".keras", ".h5", ".hdf5", ".tflite")))
    hint = f"did you mean {path / inside[0]}?" if inside else "a SavedModel is made by model.export('folder')"
    return ModelError(f"{path} is a folder without saved_model.pb, so it is no SavedModel", hint=hint)


def _foreign_zip(path: Path) -> ModelError:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        names = []
    if any(name.endswith(("/data.pkl", "/constants.pkl")) for name in names):
        return _pytorch(path)
    if any(name.endswith("saved_model.pb") for name in names):
        return ModelError(f"{path.name} is an archive with a SavedModel in it", hint="unpack it and name the folder")
    if "model.weights.h5" in names:
        return ModelError(f"{path.name} has weights but no config.json with the layers", hint=_SAVE)
    if names and all(name.endswith(".npy") for name in names):
        return ModelError(f"{path.name} holds numpy arrays (.npz), not a model", hint="pass it with --data")
    return ModelError(f"{path.name} is a zip archive, but not a Keras model: no config.json in it", hint=_SAVE)


def _pytorch(path: Path) -> ModelError:
    return ModelError(
        f"{path.name} is a PyTorch file, which edgekit does not load",
        hint="convert it first with litert-torch: litert_torch.convert(model.eval(), (example_input,))"
        ".export('model.tflite'); then `edgekit quantize model.tflite --data ...`",
    )


def _unknown(path: Path, head: bytes) -> ModelError:
    suffix = path.suffix.lower()
    if suffix == ".onnx" or (head[:1] == b"\x08" and b"pytorch" in head[:64]):
        return ModelError(
            f"{path.name} is an ONNX file, which edgekit does not load",
            hint="convert it first, in an environment of its own: pip install onnx2tf && "
            f"onnx2tf -i {path.name} -o saved_model; then name that folder; `edgekit benchmark {path.name}` measures "
            "it as it is, with ONNX Runtime",
        )
    if suffix in {".pt", ".pth"}:
        return _pytorch(path)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return ModelError(
            f"{path.name} is a Python pickle: loading it would run whatever code it contains, so edgekit never does",
            hint=_SAVE,
        )
    if path.name == "saved_model.pb":
        return ModelError(f"{path} is the graph of a SavedModel", hint=f"name its folder: {path.parent}")
    if suffix == ".pb":
        return ModelError(
            f"{path.name} looks like a frozen TensorFlow 1 graph, which edgekit does not load",
            hint="convert it with tf.compat.v1.lite.TFLiteConverter.from_frozen_graph, then name the .tflite",
        )
    if suffix in {".index", ".ckpt"} or ".data-0000" in path.name:
        return ModelError(f"{path.name} is a checkpoint: weights only, without the layers", hint=_SAVE)
    if suffix == ".safetensors":
        return ModelError(f"{path.name} holds weights only (safetensors), without the layers", hint=_SAVE)
    if _is_text(head):
        hint = "a web page was saved instead of the file: download it again" if b"<html" in head.lower() else None
        if head.startswith(b"version https://git-lfs"):
            hint = "this is a Git LFS pointer: run `git lfs pull`"
        return ModelError(
            f"{path.name} is a text file, not a model", hint=hint or f"name a model; edgekit takes {_ACCEPTED}"
        )
    if suffix == ".tflite":
        return ModelError(
            f"{path.name} is not a .tflite: the identifier TFL3 is missing at byte 4", hint="make it again"
        )
    return ModelError(
        f"{path.name} is no model that edgekit knows (it begins with {head[:8].hex(' ')})",
        hint=f"edgekit takes {_ACCEPTED}",
    )


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # a character cut in two by the end of what was read
    return True
