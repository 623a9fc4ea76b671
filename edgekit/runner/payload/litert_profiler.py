"""LiteRT's profiler: when each op of a model began and how long it took."""

from __future__ import annotations

import ctypes

from .answer import Failure
from .litert_structs import BUILTIN_OP, DELEGATE_OP, WHOLE, Event, Pointer, ToPointer
from .runs import timed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Tuple

    from .kinds import Record
    from .litert import LiteRtLibrary
    from .litert_api import LiteRtApi
    from .samples import Samples


def check_profiler(api: LiteRtApi, version: str) -> None:
    """Raises Failure where the library does not tell the time of single ops."""
    if api.typed_options() or not api.has("LiteRtCompiledModelGetProfiler"):
        text = "LiteRT %s does not tell the time of single ops; 2.1.3 and later do"
        raise Failure("profile-unsupported", text % (version or "before 2.1.3"))


class Profiler:
    """Takes the time of every op from now on; the library must have been built with ``profiled``."""

    def __init__(self, engine: LiteRtLibrary) -> None:
        self.engine = engine
        self.api = engine.api
        self.profiler = self.api.new("LiteRtCompiledModelGetProfiler", (Pointer,), (engine.compiled,))
        self.api.call("LiteRtStartProfiler", Pointer)(self.profiler)

    def take_events(self) -> List[Tuple[int, str, int, int]]:
        """What was recorded since the last time: type, tag, node, microseconds; of the ops of the model itself only."""
        self.api.call("LiteRtStopProfiler", Pointer)(self.profiler)
        count = ctypes.c_int()
        self.api.call("LiteRtGetNumProfilerEvents", Pointer, ctypes.POINTER(ctypes.c_int))(
            self.profiler, ctypes.byref(count)
        )
        events = (Event * max(1, count.value))()
        if count.value:  # none at all are an error to the library
            self.api.call("LiteRtGetProfilerEvents", Pointer, ctypes.c_int, Pointer)(
                self.profiler, count, ctypes.cast(events, Pointer)
            )
        found = []
        for event in events[: count.value]:
            tag = (event.tag or b"").decode("utf-8", "replace")
            if event.type in (BUILTIN_OP, DELEGATE_OP) and event.subgraph == 0:
                found.append((event.type, tag, event.node, event.elapsed_us))
            elif event.type == WHOLE and tag == "Invoke":
                found.append((event.type, tag, 0, event.elapsed_us))
        self.api.call("LiteRtResetProfiler", Pointer)(self.profiler)
        self.api.call("LiteRtStartProfiler", Pointer)(self.profiler)
        return found

    def summarized_run(self, samples: Samples) -> Record:
        """One more run, as the runtime itself sums it up (text), and as its events tell it."""
        samples.put_next()
        self.take_events()  # of putting the sample
        timed(self.engine)
        text = ctypes.c_void_p()
        self.api.call("LiteRtGetProfileSummary", Pointer, Pointer, ToPointer)(
            self.profiler, self.engine.compiled, ctypes.byref(text)
        )
        found = ctypes.string_at(text).decode("utf-8", "replace") if text.value else ""
        if text.value:
            free = ctypes.CDLL(None).free
            free.restype, free.argtypes = None, (Pointer,)
            free(text)
        return {"text": found, "events": self.take_events()}
