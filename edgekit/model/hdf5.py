"""What the attributes of an HDF5 file say about the model inside; meant for a child process, since h5py parses in C."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from edgekit.core.errors import ModelError
from edgekit.model import libraries

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def attributes(path: str) -> dict[str, Any]:
    """``keras_version``, ``model_config``, ``training_config`` (texts or None) and ``groups`` (names at the top).

    Raises:
        ModelError: the file is truncated or damaged.
        DependencyError: h5py is not installed.
    """
    h5py = libraries.h5py()
    try:
        with h5py.File(path, "r") as file:
            found = {name: _text(file.attrs.get(name)) for name in ("keras_version", "model_config", "training_config")}
            if found["keras_version"] is None and "model_weights" in file:
                found["keras_version"] = _text(file["model_weights"].attrs.get("keras_version"))
            return {**found, "groups": sorted(str(name) for name in file)}
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        reason = "is truncated" if "truncated" in str(error) else "is damaged"
        raise ModelError(
            f"{Path(path).name} {reason}: HDF5 says {str(error)[:200]!r}",
            hint="copy or download the file again, and compare its size with the original's",
        ) from error


def copy_with_plain_functions(path: Path, out: Path) -> None:
    """Copies an ``.h5`` model and writes functions in its configuration as tf_keras reads them: by their name alone."""
    h5py = libraries.h5py()
    shutil.copyfile(path, out)
    with h5py.File(out, "r+") as file:
        config = json.loads(_text(file.attrs["model_config"]) or "{}")
        file.attrs["model_config"] = json.dumps(_with_names(config)).encode()


def _with_names(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_names(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("class_name") == "function" and isinstance(node.get("config"), str):
        return node["config"]
    return {key: _with_names(value) for key, value in node.items()}


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return None if value is None else str(value)
