"""Names the layer or function of a model file that Keras does not have, before Keras dumps its configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.core.errors import ModelError
from edgekit.model import config as keras_config
from edgekit.model import custom, safety

_GRAPHS = ("Functional", "Model", "Sequential", "TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod")
_OLD_KINDS = ("InstanceProperty", "TensorFlowOpLayer", "AddV2", "Merge")
_PLACES = ("activations", "initializers", "losses", "metrics", "regularizers", "constraints")
# what tf_keras says where an older version wrote nothing but the function's name
_SAID = re.compile(r"Unknown (?:activation|loss|metric) function: '(?P<name>\w+)'")


def check_known(library: Any, config: Mapping[str, Any], file: str) -> None:
    """Looks for layers and functions that neither Keras has nor the user registered.

    Args:
        library: ``keras`` or ``tf_keras``.
        config: of the model.
        file: its name, for the message.

    Raises:
        ModelError: names the first one.
    """
    for layer, item in keras_config.layers_of(config):
        _check_layer(library, layer, item)
    for node in custom.nodes(config):
        if node["class_name"] == "function" and not custom.covers(custom.registered(), node):
            _check_function(library, node, file)


def _check_layer(library: Any, layer: str, item: Mapping[str, Any]) -> None:
    kind = str(item["class_name"])
    if custom.covers(custom.registered(), item):
        return
    if item.get("module") not in (None, "keras.layers", "tf_keras.layers"):
        return  # the safety scan has judged it, and Keras imports it by its module
    if kind in _GRAPHS or kind in _OLD_KINDS:
        return
    places = (library.layers, getattr(library.layers, "experimental", None))
    if not any(hasattr(place, kind) for place in places):
        raise safety.unknown_layer(layer, kind)


def _check_function(library: Any, node: Mapping[str, Any], file: str) -> None:
    name = node.get("config")
    if node.get("module") not in (None, "builtins") or not isinstance(name, str):
        return
    known = any(hasattr(getattr(library, place), name) for place in _PLACES)
    if not known and library.saving.get_registered_object(name) is None:
        raise _unknown_function(name.rsplit(">", 1)[-1], file)


def said(error: Exception, path: Path) -> ModelError | None:
    """The error for a function that Keras itself found missing; None where it complains of something else."""
    found = _SAID.search(str(error))
    return _unknown_function(found["name"], path.name) if found else None


def _unknown_function(name: str, file: str) -> ModelError:
    return ModelError(
        f"{file} uses the function {name}, which is not part of Keras, and a model file does not contain its code",
        hint=f"name the file that defines it: --custom my_layers:{name} for my_layers.py in the current folder; or "
        "export the model where it is defined, model.export('folder'), and name the folder",
        details={"name": name},
    )
