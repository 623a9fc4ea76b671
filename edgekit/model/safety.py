"""Refuses models that carry code: Lambda layers, marshalled functions, foreign modules, ops that touch files.

Loading such a model runs what its author wrote. tf_keras runs it even in its safe mode, so the configuration is read
here, without Keras, before anything is loaded. Sources: CVE-2025-1550, CVE-2025-8747 and CVE-2026-1462 of Keras
(modules and functions named in a configuration), TensorFlow's SECURITY.md (a model is a program).
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgekit.core.errors import ModelError
from edgekit.core.notice import Notice
from edgekit.model import config as keras_config
from edgekit.model import custom as custom_names
from edgekit.model import savedmodel
from edgekit.model.format import ModelFormat

_OWN_MODULES = ("keras", "tf_keras")
# second part of keras.X: where the parts of a model live. keras.utils and keras.saving would download or load files
_MODEL_MODULES = frozenset(
    {
        *("activations", "applications", "constraints", "dtype_policies", "engine", "initializers", "layers", "legacy"),
        *(
            "losses",
            "metrics",
            "mixed_precision",
            "models",
            "ops",
            "optimizers",
            "quantizers",
            "random",
            "regularizers",
        ),
    }
)
_FUNCTION_MODULES = frozenset({"activations", "constraints", "initializers", "losses", "metrics", "regularizers"})
# modules of TensorFlow whose functions a tf_keras model may call as layers (TFOpLambda names them by text)
_TENSOR_MODULES = frozenset(
    {
        *("__operators__", "bitwise", "dtypes", "image", "linalg", "math", "nn", "quantization", "ragged", "random"),
        *("sets", "signal", "sparse", "strings"),
    }
)
# layers that are code, or load it: bytecode, another SavedModel, pickled modules
_CODE_LAYERS = frozenset({"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})
# layers whose table may be the name of a file to read
_TABLES = frozenset({"StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup"})
_CODE_FUNCTIONS = frozenset({"py_function", "numpy_function", "load_op_library", "load_library", "function", "print"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something in a configuration that is not plain Keras.

    Attributes:
        kind: ``code`` runs when the model is loaded or called; ``custom`` is a class that is not in the file.
        layer: the layer it stands in, with the models around it ("encoder/scale").
        what: the type of layer, or what was found.
        module: where Keras would import a ``custom`` class from; None where the file does not say.
    """

    kind: Literal["code", "custom"]
    layer: str
    what: str
    module: str | None = None


def refuse_code(
    path: Path, fmt: ModelFormat, *, trust: bool, isolated: bool = True, custom: Sequence[str] = ()
) -> tuple[Notice, ...]:
    """Raises unless the model is free of code, or ``trust`` says that its author is trusted.

    Args:
        path: the model.
        fmt: what :func:`edgekit.model.format.detect_format` found.
        trust: let code through.
        isolated: let a child process parse HDF5; False where this process is one already.
        custom: classes and functions that the user named, as ``module:name``; they pass, what stands beside them not.

    Returns:
        A notice for each piece of code that was let through.

    Raises:
        ModelError: code without ``trust``; a layer class that is not part of Keras, unless the model is trusted and the
            module that defines the class is at hand.
    """
    found = _findings(Path(path), fmt, custom, isolated=isolated)
    own = [finding for finding in found if finding.kind == "custom" and fmt.name != "saved-model"]
    for finding in own:  # a SavedModel needs no classes: it has the computation in its graph
        if not (trust and is_at_hand(finding.module)):
            raise unknown_layer(finding.layer, finding.what, finding.module)
    code = [finding for finding in found if finding.kind == "code"] + own
    code = list({finding.layer: finding for finding in reversed(code)}.values())[::-1]
    if code and not trust:
        first = code[0]
        more = f" (and {len(code) - 1} more)" if len(code) > 1 else ""
        raise ModelError(
            f"{Path(path).name} contains code: layer {first.layer!r} is {first.what}{more}; "
            "loading the model would run it",
            hint="only for a file that you made yourself: --trust-model",
            details={"layer": first.layer, "type": first.what, "count": len(code)},
        )
    return tuple(
        Notice(
            code="trusted-code",
            message=f"layer {finding.layer!r} is {finding.what}: its code runs because the model is trusted",
        )
        for finding in code
    )


def is_at_hand(module: str | None) -> bool:
    """Whether a module could be imported: from the current folder, or from what is installed. Imports nothing."""
    if module is None or module == "__main__":
        return False
    places = [str(Path.cwd()), *sys.path]
    return importlib.machinery.PathFinder.find_spec(module.partition(".")[0], places) is not None


def unknown_layer(layer: str, kind: str, module: str | None = None) -> ModelError:
    """The error for a layer whose class is not in the file and not in Keras."""
    plain = kind.rsplit(">", 1)[-1].rpartition(".")[2]
    if module is None or module == "__main__":
        beside = (
            f"name the file that defines it, --custom my_layers:{plain} for my_layers.py in the current folder, or "
        )
    else:
        beside = f"put {module}.py into the current folder and add --custom {module}:{plain}, or "
    return ModelError(
        f"layer {layer!r} of class {kind} is not part of Keras, and a model file does not contain the code of it",
        hint=f"{beside}export the model where that class is defined, model.export('folder'), and name the folder: "
        "a SavedModel contains the computation",
        details={"layer": layer, "type": kind},
    )


def training_is_plain(config: keras_config.KerasConfig, custom: Sequence[str] = ()) -> bool:
    """Whether loss, optimizer and metrics are Keras' own or ``custom``, so that the model can be loaded compiled."""
    return config.training is not None and not any(True for _ in scan(config.training, custom))


def has_custom_layers(folder: Path, custom: Sequence[str] = ()) -> bool:
    """Whether tf_keras could not revive all the layers of a SavedModel as what they were."""
    found = (finding for layer in savedmodel.keras_layers(folder) for finding in scan(_architecture(layer), custom))
    return any(finding.kind == "custom" for finding in found)


def _findings(path: Path, fmt: ModelFormat, custom: Sequence[str], *, isolated: bool) -> list[Finding]:
    if fmt.name == "tflite":
        return []
    if fmt.name == "saved-model":
        effects = savedmodel.effect_ops(path)
        found = [Finding(kind="code", layer="the graph", what=f"an op {name}") for name in effects]
        for layer in savedmodel.keras_layers(path):
            found += scan(_architecture(layer), custom)
        return list(dict.fromkeys(found))
    return list(dict.fromkeys(scan(keras_config.read_config(path, fmt.name, isolated=isolated).model, custom)))


def _architecture(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: layer[key] for key in ("class_name", "config", "name") if key in layer}


def scan(config: Mapping[str, Any], custom: Sequence[str] = ()) -> Iterator[Finding]:
    """What is neither plain Keras nor ``custom`` in a configuration, wherever it is nested."""
    stack: list[tuple[Any, str]] = [(config, "")]
    while stack:
        node, place = stack.pop()
        if isinstance(node, list):
            stack.extend((item, place) for item in reversed(node))
        elif isinstance(node, Mapping):
            if isinstance(node.get("class_name"), str):
                inner = node.get("config")
                if isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
                    place = f"{place}/{inner['name']}" if place else inner["name"]
                finding = _judge(node, place.partition("/")[2] or place or "model", custom)
                if finding is not None:
                    yield finding
            stack.extend((item, place) for item in reversed(list(node.values())))


def _judge(node: Mapping[str, Any], place: str, custom: Sequence[str]) -> Finding | None:
    kind = str(node["class_name"])
    plain = kind.rsplit(">", 1)[-1]
    inner = node.get("config")
    if plain in _CODE_LAYERS:
        return Finding(kind="code", layer=place, what=f"a {plain} layer")
    if plain == "__lambda__" or (isinstance(inner, Mapping) and "__lambda__" in inner):
        return Finding(kind="code", layer=place, what="a Python function stored as bytecode")
    if isinstance(inner, Mapping) and inner.get("function_type") in ("lambda", "function"):
        return Finding(kind="code", layer=place, what=f"a {plain} layer with a Python function in it")
    if plain in ("TFOpLambda", "SlicingOpLambda", "ClassMethod") and isinstance(inner, Mapping):
        symbol = str(inner.get("function") or inner.get("cls_symbol") or "")
        return None if _is_tensor_function(symbol) else Finding(kind="code", layer=place, what=f"a call of tf.{symbol}")
    if plain == "TensorFlowOpLayer" and any(f'"{name}"' in str(node) for name in savedmodel.EFFECT_OPS):
        return Finding(kind="code", layer=place, what="an op that touches files or calls Python")
    if plain in _TABLES and isinstance(inner, Mapping) and isinstance(inner.get("vocabulary"), str):
        return Finding(kind="code", layer=place, what=f"a {plain} layer that reads {inner['vocabulary']!r}")
    if custom and custom_names.covers(custom, node):
        return None
    return _judge_module(node, plain, kind, place)


def _judge_module(node: Mapping[str, Any], plain: str, kind: str, place: str) -> Finding | None:
    module, inner = node.get("module"), node.get("config")
    if plain == "__typespec__":
        known = isinstance(module, str) and module.startswith("tensorflow.python.")
        return None if known else Finding(kind="code", layer=place, what=f"an import of {module}")
    if module is None:
        registered = str(node.get("registered_name") or kind)
        # "Package>Name" is a class that its author registered; Custom>Adam and the like are Keras' own optimizers
        foreign = ">" in registered and isinstance(inner, Mapping) and "name" in inner and "learning_rate" not in inner
        return Finding(kind="custom", layer=place, what=registered) if foreign else None
    parts = str(module).split(".")
    if parts[0] in _OWN_MODULES:
        inside = [part for part in parts[1:] if part != "src"]
        if plain == "function":
            allowed = bool(inside) and inside[0] in _FUNCTION_MODULES
        else:
            allowed = not inside or inside[0] in _MODEL_MODULES
        return None if allowed else Finding(kind="code", layer=place, what=f"a reference to {module}.{plain}")
    if module == "builtins":
        return None  # the name of one of Keras' own functions; Keras looks nowhere else
    if plain == "function":
        return Finding(kind="code", layer=place, what=f"a call of {module}.{node.get('config')}")
    return Finding(kind="custom", layer=place, what=f"{module}.{plain}", module=str(module))


def _is_tensor_function(symbol: str) -> bool:
    parts = [part for part in symbol.split(".") if part not in ("compat", "v1", "v2", "experimental")]
    if len(parts) == 1:
        return parts[0] not in _CODE_FUNCTIONS
    return bool(parts) and parts[0] in _TENSOR_MODULES
