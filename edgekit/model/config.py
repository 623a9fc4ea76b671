"""The Keras configuration inside a model file, read without Keras: what detection and the safety scan look at."""

from __future__ import annotations

import functools
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.child import run_once
from edgekit.core.errors import ModelError
from edgekit.model import hdf5, libraries

# the largest configuration seen is 2 MB (EfficientNetV2-L); a zip bomb must not fill the memory
_CONFIG_LIMIT_BYTES = 64 << 20
_HDF5_TIME_LIMIT_S = 30.0
_HDF5_MEMORY_LIMIT_BYTES = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasConfig:
    """What a .keras or .h5 file says about itself.

    Attributes:
        keras_version: of the library that wrote it; None where the file does not say.
        model: the architecture, as Keras serializes it.
        training: loss, optimizer and metrics, or None where it was saved without.
    """

    keras_version: str | None
    model: Mapping[str, Any]
    training: Mapping[str, Any] | None


def read_config(path: Path, container: str, *, isolated: bool) -> KerasConfig:
    """The configuration of a file whose format is known (``keras3-keras``, ``tf-keras-h5``, …).

    Raises:
        ModelError, DependencyError: as the two functions below.
    """
    if container.endswith("-h5"):
        return read_hdf5_config(path, isolated=isolated)
    found = read_zip_config(path)
    if found is None:
        raise ModelError(f"{path.name} is not a .keras archive any more", hint="run the command again")
    return found


def read_zip_config(path: Path) -> KerasConfig | None:
    """The configuration of a ``.keras`` archive; None for a zip of another kind.

    Raises:
        ModelError: truncated, damaged, or a configuration that is not one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "config.json" not in names:
                return None
            config = _json(_member(archive, "config.json", path), f"config.json in {path.name}")
            metadata = (
                _json(_member(archive, "metadata.json", path), f"metadata.json in {path.name}")
                if "metadata.json" in names
                else {}
            )
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ModelError(
            f"{path.name} is truncated or damaged: it begins as a zip archive, but {_lower(error)}",
            hint="copy or download the file again, and compare its size with the original's",
        ) from error
    if not isinstance(config.get("class_name"), str):
        return None
    version = metadata.get("keras_version")
    training = config.get("compile_config")
    return KerasConfig(
        keras_version=str(version) if version else None,
        model={key: value for key, value in config.items() if key != "compile_config"},
        training=training if isinstance(training, Mapping) else None,
    )


def read_hdf5_config(path: Path, *, isolated: bool) -> KerasConfig:
    """The configuration of an ``.h5`` file.

    Args:
        path: the file.
        isolated: let a child process parse it; False where this is one already.

    Raises:
        ModelError: truncated, damaged, or weights without a model.
        DependencyError: h5py is not installed.
    """
    libraries.require("h5py", "h5py, which reads .h5 files,")
    state = path.stat()
    found = _attributes(path, isolated, state.st_mtime_ns, state.st_size)
    if found["model_config"] is None:
        raise _no_model(path, found["groups"])
    training = found["training_config"]
    return KerasConfig(
        keras_version=found["keras_version"],
        model=_json(found["model_config"], f"model_config in {path.name}"),
        training=_json(training, f"training_config in {path.name}") if training else None,
    )


@functools.lru_cache(maxsize=4)  # detection and the safety scan both ask; a child process each time would be felt
def _attributes(path: Path, isolated: bool, _mtime_ns: int, _size_bytes: int) -> Mapping[str, Any]:
    if not isolated:
        return hdf5.attributes(str(path))
    found: Mapping[str, Any] = run_once(
        "edgekit.model.hdf5:attributes",
        purpose=f"reading of {path.name}",
        time_limit_s=_HDF5_TIME_LIMIT_S,
        memory_limit_bytes=_HDF5_MEMORY_LIMIT_BYTES,
        path=str(path),
    )
    return found


def layers_of(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every layer in a configuration with its path (``encoder/dense_1``), wrapped and nested ones too."""
    yield from _layers(config, "")


def _layers(node: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    inner = node.get("config") if isinstance(node, Mapping) else None
    if isinstance(inner, list):  # Keras 1 and 2.0 wrote a Sequential's layers like this
        inner = {"layers": inner}
    if not isinstance(inner, Mapping):
        return
    below = [item for item in inner.get("layers") or () if isinstance(item, Mapping)]
    below += [
        item
        for key in ("layer", "forward_layer", "backward_layer", "cell")
        if isinstance(item := inner.get(key), Mapping) and "class_name" in item
    ]
    cells = inner.get("cells")
    below += [item for item in cells if isinstance(item, Mapping)] if isinstance(cells, list) else []
    for item in below:
        name = layer_name(item)
        path = f"{place}/{name}" if place else name
        yield path, item
        yield from _layers(item, path)


def layer_name(layer: Mapping[str, Any]) -> str:
    """The name that the model's author sees."""
    inner = layer.get("config")
    name = inner.get("name") if isinstance(inner, Mapping) else None
    return str(name or layer.get("name") or layer.get("class_name") or "?")


def _no_model(path: Path, groups: list[str]) -> ModelError:
    weights = path.name.endswith((".weights.h5", "_weights.h5")) or any(
        name in groups for name in ("layers", "_layer_checkpoint_dependencies", "vars", "model_weights")
    )
    if weights or groups:
        return ModelError(
            f"{path.name} holds weights only, not the layers they belong to",
            hint="build the model in Python, model.load_weights(...), and save all of it: model.save('model.keras')",
        )
    return ModelError(
        f"{path.name} is an HDF5 file without a Keras model in it",
        hint="save the model with model.save('model.keras')",
    )


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    with archive.open(name) as stream:
        content = stream.read(_CONFIG_LIMIT_BYTES + 1)
    if len(content) > _CONFIG_LIMIT_BYTES:
        raise ModelError(
            f"{name} in {path.name} is larger than {_CONFIG_LIMIT_BYTES >> 20} MiB, which no model needs",
            hint="do not trust this file; get the model from where it was made",
        )
    return content


def _json(text: bytes | str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where} is not JSON: {error}", hint="save the model again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{where} is not a table", hint="save the model again")
    return value


def _lower(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text[0].lower() + text[1:]
