"""Model files that are wrong in one way, made from the shipped example without TensorFlow."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy
from cli_run import EXAMPLE

Layer = dict[str, Any]


def keras_with(path: Path, change: Callable[[list[Layer]], None]) -> Path:
    """The example's ``.keras`` with other layers in its configuration."""
    with zipfile.ZipFile(EXAMPLE / "digits.keras") as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config["config"]["layers"])
                content = json.dumps(config).encode()
            target.writestr(name, content)
    return path


def with_custom_layer(path: Path) -> Path:
    """One layer is of a class that nobody has registered."""

    def change(layers: list[Layer]) -> None:
        layers[-1].update(module="mine.layers", class_name="Doubling", registered_name="Mine>Doubling")

    return keras_with(path, change)


def with_lambda(path: Path, canary: Path) -> Path:
    """A Lambda layer whose code would leave a file behind."""
    import base64
    import marshal

    code = compile(f"open({str(canary)!r}, 'w').close()", "payload", "exec")

    def change(layers: list[Layer]) -> None:
        packed = base64.b64encode(marshal.dumps(code)).decode()
        function = {"class_name": "__lambda__", "config": {"code": packed, "defaults": None, "closure": None}}
        layers[-1].update(class_name="Lambda", config={"name": "payload", "trainable": True, "function": function})

    return keras_with(path, change)


def truncated(source: Path, path: Path, part: float = 0.6) -> Path:
    """The beginning of a file, as a broken download leaves it."""
    content = source.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    return path


def hdf5(path: Path) -> Path:
    """An HDF5 file as Keras lays one out."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "3.13.2", "tensorflow"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": []}})
        file.create_dataset("model_weights/dense/kernel", data=numpy.ones((200, 100), "float32"))
    return path
