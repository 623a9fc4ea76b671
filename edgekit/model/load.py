"""Loads a model with the library that wrote it. Only in the TensorFlow child."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import ModelError
from edgekit.core.notice import Notice
from edgekit.model import config as keras_config
from edgekit.model import custom, hdf5, libraries, safety, savedmodel, unknown
from edgekit.model.format import ModelFormat, detect_format
from edgekit.model.forward import (
    call_flat,
    fixed_batch,
    forward,
    input_names,
    input_specs,
    output_names,
    output_specs,
)

__all__ = [
    "LoadedModel",
    "call_flat",
    "fixed_batch",
    "forget",
    "forward",
    "input_names",
    "input_specs",
    "load_model",
    "output_names",
    "output_specs",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        model: a Keras 3 model, a tf_keras model, or what ``tf.saved_model.load`` gives.
        library: ``keras``, ``tf_keras`` or ``tensorflow``: which of the three.
        format: what the file is.
        path: where it came from.
        signature: of a plain SavedModel, the one that is called; None for Keras models.
        notices: what the user should know (code that was trusted, loss that could not be loaded).
    """

    model: Any
    library: str
    format: ModelFormat
    path: Path
    signature: str | None = None
    notices: tuple[Notice, ...] = ()


_last: dict[tuple[str, int, int, bool, tuple[str, ...]], LoadedModel] = {}


def load_model(path: Path, *, trust: bool = False) -> LoadedModel:
    """Loads a model file or SavedModel folder, compiled where its loss and optimizer are Keras' own or registered.

    Custom layers must have been registered before: :func:`edgekit.model.custom.register`.
    The last model stays in memory: the next call for the same unchanged file returns the same object. Whoever changes
    its weights must not rely on the next call (see :func:`forget`).

    Raises:
        ModelError: not a model, damaged, code without ``trust``, an unknown layer, a .tflite.
        DependencyError: TensorFlow, Keras or tf_keras is not installed.
    """
    path = Path(path)
    fmt = detect_format(path, isolated=False)
    if fmt.name == "tflite":
        raise ModelError(
            f"{path.name} is a .tflite, which has no layers to train or convert",
            hint="name the Keras model or SavedModel that it was made from",
        )
    if trust and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # where the module with the author's own layers may lie
    inner = path / "saved_model.pb" if path.is_dir() else path
    state = inner.stat()
    key = (str(path.resolve()), state.st_mtime_ns, state.st_size, trust, custom.registered())
    if key not in _last:
        _last.clear()
        notices = safety.refuse_code(path, fmt, trust=trust, isolated=False, custom=custom.registered())
        _last[key] = _load_folder(path, fmt, notices) if path.is_dir() else _load_file(path, fmt, notices, trust)
    return _last[key]


def forget() -> None:
    """Drops the model that :func:`load_model` keeps, for callers that change its weights."""
    _last.clear()


def _load_file(path: Path, fmt: ModelFormat, notices: tuple[Notice, ...], trust: bool) -> LoadedModel:
    library = libraries.keras() if fmt.library == "keras" else libraries.tf_keras()
    config = keras_config.read_config(path, fmt.name, isolated=False)
    own = _own_classes([item for _, item in keras_config.layers_of(config.model)]) if trust else {}
    own |= custom.objects(fmt.library, {"model": config.model, "training": config.training})
    library.utils.get_custom_objects().update(own)  # a clone or a rebuilt copy of the model looks them up again
    unknown.check_known(library, config.model, path.name)
    notices = (*notices, *_unused(config))
    ending = ".h5" if fmt.name.endswith("-h5") else ".keras"
    with _named(
        path, ending, plain_functions=fmt.name == "tf-keras-h5" and custom.has_functions(config.model)
    ) as source:
        model = None
        if safety.training_is_plain(config, custom.registered()):
            with contextlib.suppress(Exception):  # an optimizer of another version; the layers are what counts
                model = library.models.load_model(source, custom_objects=own, compile=True, safe_mode=not trust)
        elif config.training is not None:
            notice = Notice(
                code="custom-training",
                message="loss, optimizer or metrics of the model are not Keras' own and were not loaded",
            )
            notices = (*notices, notice)
        if model is None:
            try:
                model = library.models.load_model(source, custom_objects=own, compile=False, safe_mode=not trust)
            except Exception as error:  # the loaders raise whatever they meet
                raise unknown.said(error, path) or _not_loaded(path, fmt, error) from error
    if not getattr(model, "built", True) or not getattr(model, "inputs", None):
        raise ModelError(
            f"{path.name} does not say what its input is: the model was never built",
            hint="begin it with keras.Input(shape=...), or call it once on data, and save it again",
        )
    return LoadedModel(model=model, library=fmt.library, format=fmt, path=path, notices=notices)


def _unused(config: keras_config.KerasConfig) -> tuple[Notice, ...]:
    """A notice for every registered name that the file does not contain."""
    text = json.dumps([config.model, config.training])
    return tuple(
        Notice(
            code="custom-unused",
            message=f"--custom {name} is not in the model",
            hint="leave it out, or check which name the model has: edgekit inspect",
        )
        for name in custom.registered()
        if not re.search(rf"\b{name.partition(':')[2]}\b", text)
    )


def _own_classes(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The author's own layer classes, imported from their modules, under the names that Keras looks for."""
    found = {}
    for item in layers:
        module, kind = item.get("module"), str(item["class_name"])
        if module is None or str(module).partition(".")[0] in ("builtins", "keras", "tf_keras"):
            continue
        if custom.covers(custom.registered(), item):
            continue
        try:
            found[kind] = getattr(importlib.import_module(str(module)), kind)
        except Exception as error:  # the author's own code runs here
            raise ModelError(
                f"the class {kind} cannot be imported from {module}: {type(error).__name__}: {error}",
                hint=f"mend {module}.py, or export the model where it works: model.export('folder')",
            ) from error
        found[str(item.get("registered_name") or kind)] = found[kind]
    return found


@contextlib.contextmanager
def _named(path: Path, ending: str, *, plain_functions: bool) -> Iterator[str]:
    """The file under a name with the ending that Keras chooses its loader by.

    With ``plain_functions`` it is a copy: tf_keras does not read the form in which it writes a function into an .h5.
    """
    if path.name.endswith(ending) and not plain_functions:
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        link = Path(folder) / f"model{ending}"
        if plain_functions:
            hdf5.copy_with_plain_functions(path, link)
        else:
            link.symlink_to(path.resolve())
        yield str(link)


def _not_loaded(path: Path, fmt: ModelFormat, error: Exception) -> ModelError:
    what = " ".join(str(error).split())[:300]
    version = f" {fmt.library_version}" if fmt.library_version else ""
    return ModelError(
        f"{path.name} (written by {fmt.library}{version}) cannot be loaded: {type(error).__name__}: {what}",
        hint="if the file is whole, export the model where it was made, model.export('folder'), and name the folder",
    )


def _load_folder(path: Path, fmt: ModelFormat, notices: tuple[Notice, ...]) -> LoadedModel:
    tf = libraries.tensorflow()
    if fmt.library == "tf_keras" and not safety.has_custom_layers(path, custom.registered()):
        tf_keras = libraries.tf_keras()
        with contextlib.suppress(Exception):  # what cannot be revived as Keras still runs as a graph
            own = custom.objects("tf_keras", {"layers": list(savedmodel.keras_layers(path))})
            model = tf_keras.models.load_model(str(path), custom_objects=own, compile=True)
            if isinstance(model, (tf_keras.Sequential, tf_keras.Model)) and getattr(model, "inputs", None):
                return LoadedModel(model=model, library="tf_keras", format=fmt, path=path, notices=notices)
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # protobuf, file and op errors alike
        what = " ".join(str(error).split())[:300]
        raise ModelError(
            f"the SavedModel {path} cannot be loaded: {type(error).__name__}: {what}",
            hint="export it again: model.export('folder'); copy the whole folder, with variables/",
        ) from error
    return LoadedModel(
        model=loaded, library="tensorflow", format=fmt, path=path, signature=_signature(path, loaded), notices=notices
    )


def _signature(path: Path, loaded: Any) -> str:
    names = sorted(str(name) for name in getattr(loaded, "signatures", {}))
    if "serving_default" in names:
        return "serving_default"
    if len(names) == 1:
        return names[0]
    if not names:
        raise ModelError(
            f"the SavedModel {path} has no signature, so nothing says how to call it",
            hint="export it with model.export('folder'), or tf.saved_model.save(..., signatures=...)",
        )
    raise ModelError(
        f"the SavedModel {path} has several signatures and none is called serving_default: {', '.join(names)}",
        hint="export it with the one to use as signatures={'serving_default': ...}",
    )
