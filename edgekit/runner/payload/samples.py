"""The input samples of a job."""

from __future__ import annotations

import os

from .answer import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Sequence

    from .kinds import Engine, Record, Source

PRELOAD_BYTES = 64 << 20  # samples beyond this are not rotated in: a small board must not swap for its inputs


class Samples:
    """The input samples: in memory for timing, straight from their files when memory is what is measured."""

    def __init__(self, engine: Engine, paths: Sequence[Sequence[str]], in_memory: bool) -> None:
        self.engine = engine
        self.sources: List[List[Source]] = []
        self.index = 0
        total = 0
        for number_, files in enumerate(paths):
            if len(files) != len(engine.inputs):
                text = "sample %d has %d files for a model with %d inputs"
                raise Failure("samples", text % (number_, len(files), len(engine.inputs)))
            total += sum(tensor["bytes"] for tensor in engine.inputs)
            if self.sources and total > PRELOAD_BYTES:
                break
            self.sources.append([self._source(*pair, in_memory=in_memory) for pair in zip(files, engine.inputs)])
        if not self.sources:
            raise Failure("samples", "no input samples")

    def put(self, index: int) -> None:
        """Gives sample ``index`` to the model."""
        for position, source in enumerate(self.sources[index]):
            self.engine.put(position, source)

    def put_next(self) -> None:
        """Gives the next sample in turn."""
        self.put(self.index)
        self.index = (self.index + 1) % len(self.sources)

    @staticmethod
    def _source(place: str, tensor: Record, in_memory: bool) -> Source:
        """One tensor: a file of its own, or ``PATH@OFFSET`` in a file of many."""
        path, _, offset = place.rpartition("@")
        if not (path and offset.isdigit()):
            path, offset = place, ""
        start = int(offset or 0)
        try:
            size = os.stat(path).st_size - start
            if size != tensor["bytes"] if offset == "" else size < tensor["bytes"]:
                text = "%s has %d bytes; the input %s (%s %s) needs %d"
                raise Failure(
                    "samples", text % (place, size, tensor["name"], tensor["dtype"], tensor["shape"], tensor["bytes"])
                )
            if not in_memory:
                return path, start
            with open(path, "rb") as stream:
                stream.seek(start)
                return stream.read(tensor["bytes"])
        except OSError as error:
            raise Failure("samples", "cannot read %s: %s" % (path, error.strerror)) from error
