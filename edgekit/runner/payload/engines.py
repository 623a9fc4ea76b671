"""Which runtime a request asks for, and what became of it."""

from __future__ import annotations

import os
import sys

from .answer import Failure
from .litert import LiteRtLibrary
from .onnx_runtime import OnnxRuntime
from .python_module import PythonModule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kinds import Engine, Record


def engine_of(request: Record) -> Engine:
    """The runtime that a request names."""
    engine: Engine
    if request.get("library"):
        engine = LiteRtLibrary(request["library"], request.get("library_version") or "")
    elif request.get("module"):
        if request.get("module_path"):
            sys.path.insert(0, request["module_path"])
        engine = OnnxRuntime("onnxruntime") if request["module"] == "onnxruntime" else PythonModule(request["module"])
    else:
        raise Failure("request", "the request names neither a library nor a module")
    engine.kernels = request.get("kernels") or "delegate"
    if engine.kernels not in ("delegate", "builtin"):
        raise Failure("request", "there are no kernels called %s" % engine.kernels)
    engine.weight_cache = request.get("weight_cache") or ""
    return engine


def runtime_of(engine: Engine) -> Record:
    """The fields of ``protocol.RuntimeUsed``."""
    cache = engine.weight_cache
    return {
        "name": engine.name,
        "version": engine.version,
        "delegate": engine.delegate,
        "fully_delegated": engine.fully_delegated,
        "kernels": engine.kernels,
        "weight_cache": bool(cache) and os.path.exists(cache) and os.stat(cache).st_size > 0,
    }
