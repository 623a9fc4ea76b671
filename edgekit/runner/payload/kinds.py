"""The words of the annotations. Never imported on a board: the module typing would show in the memory figures."""

from __future__ import annotations

from typing import Any, Dict, Tuple, Union

from .litert import LiteRtLibrary
from .python_module import PythonModule

Record = Dict[str, Any]
Source = Union[bytes, Tuple[str, int]]  # an input's bytes, or where they begin in a file
Engine = Union[LiteRtLibrary, PythonModule]
