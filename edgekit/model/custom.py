"""Custom layers, losses and activations that the user named as ``module:name``: trusted, and nothing else is."""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from edgekit.core.errors import UsageError
from edgekit.core.hashing import sha256_file
from edgekit.core.suggest import nearest

_FORM = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<attribute>[A-Za-z_]\w*)")
_FAMILIES = ("keras", "tf_keras")
_registered: dict[str, tuple[str, Any]] = {}  # class or function name → ("module:name", the object)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomName:
    """Where a class or function of the user's is.

    Attributes:
        module: as Python imports it; files of the current folder are found.
        attribute: its name there, which is its name in the model file too.
    """

    module: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


def parse(names: Sequence[str]) -> tuple[CustomName, ...]:
    """Checks how the names are written, and that each one means one thing. Imports nothing.

    Raises:
        UsageError: not ``module:name``; one class from two modules.
    """
    found: dict[str, CustomName] = {}
    for text in names:
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(
                f"--custom {text!r} does not say where the class is",
                hint="write module:name, e.g. --custom my_layers:Scale for the class Scale in my_layers.py",
            )
        name = CustomName(module=match["module"], attribute=match["attribute"])
        if found.setdefault(name.attribute, name) != name:
            raise UsageError(
                f"--custom names two classes {name.attribute}: {found[name.attribute]} and {name}",
                hint="name the one that the model was made with",
            )
    return tuple(found.values())


def register(names: Sequence[str]) -> None:
    """Imports the modules and makes the classes and functions known to :func:`edgekit.model.load.load_model`.

    Runs the user's modules, so only in the TensorFlow child. A name that is registered already is left as it is.

    Raises:
        UsageError: no such module, nothing of that name in it, or neither a class of Keras nor a function.
    """
    for name in parse(names):
        known = _registered.get(name.attribute)
        if known is None or known[0] != str(name):
            _registered[name.attribute] = (str(name), _imported(name))


def registered() -> tuple[str, ...]:
    """The names registered in this process, as ``module:name``."""
    return tuple(name for name, _ in _registered.values())


def source_sha256(names: Sequence[str]) -> str:
    """Hash of the files that the modules are in, so that a changed class is not taken for the old one. Imports nothing.

    Modules that are no plain file (a C extension, a missing one) count by their name only.
    """
    found = hashlib.sha256()
    for name in parse(names):
        file = _file(name.module)
        found.update(f"{name}={sha256_file(file) if file else ''};".encode())
    return found.hexdigest()


def covers(names: Sequence[str], node: Mapping[str, Any]) -> bool:
    """Whether a node of a model's configuration is a class or function of the names, however Keras would look it up.

    Keras looks a class up by its registered name and, failing that, tf_keras imports the module that the file names. So
    both names must be the user's, and without a registered name the module must be too.
    """
    modules = {name.attribute: name.module for name in parse(names)}
    kind, module = _plain(node.get("class_name")), node.get("module")
    if kind == "function":
        return _plain(node.get("config")) in modules
    if kind not in modules:
        return False
    if node.get("registered_name") is None:
        return module is None or module == modules[kind]
    return _plain(node["registered_name"]) == kind


def has_functions(config: Mapping[str, Any]) -> bool:
    """Whether a configuration names a registered function, as an activation for instance."""
    return any(node["class_name"] == "function" and covers(registered(), node) for node in nodes(config))


def function_of(node: Mapping[str, Any], library: Any) -> Any:
    """The registered function that a node names, known to ``library`` from now on, so that cloned layers find it."""
    name = _plain(node["config"])
    library.utils.get_custom_objects()[name] = _registered[name][1]
    return _registered[name][1]


def objects(library: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What was registered, under every name that the configuration has for it ("Scale", "Mine>Scale").

    Args:
        library: that wrote the model, ``keras`` or ``tf_keras``.
        config: of the model, or of its training.

    Raises:
        UsageError: a class of the other Keras.
    """
    found = {name: thing for name, (_, thing) in _registered.items()}
    for node in nodes(config):
        named = (node.get("class_name"), node.get("registered_name"), node.get("config"))
        for text in (value for value in named if isinstance(value, str)):
            if _plain(text) in _registered and covers(registered(), node):
                where, thing = _registered[_plain(text)]
                _check_family(where, thing, library)
                found[text] = thing
    return found


def _check_family(where: str, thing: Any, library: str) -> None:
    family = _family(thing) if isinstance(thing, type) else None
    if family is not None and family != library:
        wanted = "import keras" if library == "keras" else "import tf_keras as keras"
        raise UsageError(
            f"{where} is a class of {family}, but the model was written by {library}",
            hint=f"derive it from the other library, `{wanted}`, or name the class that the model was made with",
        )


def nodes(config: Any) -> Iterator[Mapping[str, Any]]:
    """Everything in a configuration that stands for an object: whatever has a class name."""
    stack = [config]
    while stack:
        node = stack.pop()
        if isinstance(node, Mapping):
            if isinstance(node.get("class_name"), str):
                yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def _plain(name: Any) -> str:
    return str(name).rsplit(">", 1)[-1]


def _imported(name: CustomName) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # at the end: a user's queue.py must not stand in for Python's own
    try:
        module = importlib.import_module(name.module)
    except ModuleNotFoundError as error:
        if error.name is not None and (name.module == error.name or name.module.startswith(f"{error.name}.")):
            raise UsageError(
                f"there is no module {name.module} for --custom {name}",
                hint=f"run edgekit in the folder of {name.module.replace('.', '/')}.py, or install the package",
            ) from error
        raise _broken(name, error) from error
    except Exception as error:  # the user's module may raise anything
        raise _broken(name, error) from error
    if not hasattr(module, name.attribute):
        raise _missing(name, module)
    thing = getattr(module, name.attribute)
    if isinstance(thing, type) and _family(thing) is None:
        raise UsageError(
            f"{name} is a class, but not one of Keras",
            hint="derive it from keras.layers.Layer, or name a loss, a metric or a function",
        )
    if not isinstance(thing, type) and not isinstance(thing, FunctionType) and not _is_keras_function(thing):
        raise UsageError(
            f"{name} is of type {type(thing).__name__}, neither a layer nor a function",
            hint="name a class derived from keras.layers.Layer, a loss or an activation function",
        )
    return thing


def _is_keras_function(thing: Any) -> bool:
    """A tf.function, or a function in a decorator: callable, with a name of its own."""
    return callable(thing) and isinstance(getattr(thing, "__name__", None), str)


def _missing(name: CustomName, module: ModuleType) -> UsageError:
    known = [
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value))
    ]
    guess = nearest(name.attribute, known)
    own = [key for key in known if getattr(getattr(module, key), "__module__", None) == module.__name__]
    choices = f"it has: {', '.join(sorted(own)[:8])}" if own else f"the file is {getattr(module, '__file__', '?')}"
    return UsageError(
        f"{name.module} has nothing called {name.attribute}",
        hint=f"did you mean {name.module}:{guess}? {choices}" if guess else choices,
    )


def _broken(name: CustomName, error: Exception) -> UsageError:
    what = " ".join(str(error).split())[:300]
    return UsageError(
        f"importing {name.module} for --custom {name} failed: {type(error).__name__}: {what}",
        hint=f"python -c 'import {name.module}' shows where",
    )


def _family(cls: type) -> str | None:
    """``keras`` or ``tf_keras``: whose layer, loss or metric a class is; None for any other class."""
    packages = (base.__module__.partition(".")[0] for base in cls.__mro__)
    return next((package for package in packages if package in _FAMILIES), None)


def _file(module: str) -> Path | None:
    places: list[str] | None = [*sys.path, str(Path.cwd())]
    spec = None
    for part in module.split("."):
        spec = importlib.machinery.PathFinder.find_spec(part, places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or [])
    origin = Path(spec.origin) if spec is not None and spec.origin else None
    return origin if origin is not None and origin.is_file() else None
