"""Whether a runtime works on this board, and what it sees in a model."""

from __future__ import annotations

import sys

from .engines import engine_of
from .python_module import PythonModule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kinds import Record


def probe(request: Record) -> Record:
    """Whether the runtime works here at all: the fields of ``protocol.Probe``."""
    engine = engine_of(request)
    engine.open()
    if isinstance(engine, PythonModule):
        engine.prove()
    return {"name": engine.name, "version": engine.version, "python": sys.version.split()[0]}


def describe(request: Record) -> Record:
    """Inputs and outputs of a model as this runtime sees them: the fields of ``protocol.Description``."""
    engine = engine_of(request)
    engine.open()
    engine.load(request["model"])
    engine.build(1)
    fields = ("name", "dtype", "shape")
    return {
        side: [{key: tensor[key] for key in fields} for tensor in tensors]
        for side, tensors in (("inputs", engine.inputs), ("outputs", engine.outputs))
    }
