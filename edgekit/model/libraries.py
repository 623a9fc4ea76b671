"""The doors to TensorFlow, Keras 3, tf_keras and h5py: imported when asked for, an error of ours if missing."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

from edgekit.core import install
from edgekit.core.errors import DependencyError


def tensorflow() -> Any:
    """The module ``tensorflow``. Only ever called in a child process.

    Raises:
        DependencyError: it is not installed.
    """
    return _imported("tensorflow", "TensorFlow")


def keras() -> Any:
    """The module ``keras`` (Keras 3) on the TensorFlow backend, whatever the user's Keras configuration says.

    Raises:
        DependencyError: it is not installed, or it is Keras 2.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    tensorflow()  # Keras alone would name its backend as what is missing
    module = _imported("keras", "Keras 3")
    if str(module.__version__).split(".")[0] != "3":
        raise DependencyError(f"keras {module.__version__} is installed, but Keras 3 is needed", hint=install.OPTIMIZE)
    return module


def tf_keras() -> Any:
    """The module ``tf_keras`` (Keras 2).

    Raises:
        DependencyError: it is not installed.
    """
    return _imported("tf_keras", "tf_keras (Keras 2)")


def h5py() -> Any:
    """The module ``h5py``.

    Raises:
        DependencyError: it is not installed.
    """
    return _imported("h5py", "h5py, which reads .h5 files,")


def require(module: str, what: str) -> None:
    """Finds out without importing it whether a module is there.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise DependencyError(f"{what} is not installed", hint=install.OPTIMIZE)


def _imported(module: str, what: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DependencyError(f"{what} is not installed ({error})", hint=install.OPTIMIZE) from error
