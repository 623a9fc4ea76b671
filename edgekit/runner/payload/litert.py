"""LiteRT through its C library."""

from __future__ import annotations

import ctypes
import os

from .answer import Failure
from .litert_api import LiteRtApi
from .litert_buffers import first_subgraph, lock, make_buffers, unlock
from .litert_profiler import check_profiler
from .litert_structs import (
    CPU,
    ERROR_SEVERITY,
    MIN_LOG_SEVERITY,
    READ,
    WRITE,
    EnvironmentOption,
    Pointer,
    Size,
    ToPointer,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional

    from .kinds import Record, Source


class LiteRtLibrary:
    """One model in LiteRT, through its C API."""

    name = "LiteRT C API"

    def __init__(self, path: str, version: str) -> None:
        self.path = path
        self.version = version
        self.inputs: List[Record] = []
        self.outputs: List[Record] = []
        self.delegate = "unknown"
        self.fully_delegated: Optional[bool] = None
        self.profiled = False  # set before build: the runtime then takes the time of each op, which costs 68 MB
        self.kernels = "delegate"  # set before build
        self.weight_cache = ""  # set before build

    def files(self) -> List[str]:
        """What is read when the runtime is loaded."""
        return [self.path]

    def open(self) -> None:
        """Loads the library itself."""
        self.api = LiteRtApi(self.path)

    def load(self, model: str) -> None:
        """Opens the model file."""
        self.environment = Pointer()
        option = EnvironmentOption(MIN_LOG_SEVERITY, 0, 2, ERROR_SEVERITY)
        known = 0 if self.api.typed_options() else 1  # releases with typed options do not know the tag
        self.api.call("LiteRtCreateEnvironment", ctypes.c_int, Pointer, ToPointer)(
            known, ctypes.byref(option), ctypes.byref(self.environment)
        )
        name = os.fsencode(model)
        try:
            if self.api.has("LiteRtCreateModelFromFd"):
                kinds, arguments = (Pointer, ctypes.c_char_p), (self.environment, name)
                self.model = self.api.new("LiteRtCreateModelFromFile", kinds, arguments)
            else:
                self.model = self.api.new("LiteRtCreateModelFromFile", (ctypes.c_char_p,), (name,))
        except Failure as failure:
            raise Failure("model-unreadable", "the runtime cannot read %s: %s" % (model, failure.message)) from failure

    def build(self, num_threads: int) -> None:
        """Builds the interpreter and its input and output buffers."""
        self.delegate = "none" if self.kernels == "builtin" else "XNNPACK"  # the default of this API
        options = self.api.new("LiteRtCreateOptions")
        self.api.call("LiteRtSetOptionsHardwareAccelerators", Pointer, ctypes.c_int)(options, CPU)
        add = self.api.call("LiteRtAddOpaqueOptions", Pointer, Pointer)
        add(options, self._cpu_options(num_threads))
        if self.profiled:
            check_profiler(self.api, self.version)
            add(options, self.api.text_options(b"runtime_options_string", b"enable_profiling = true\n"))
        try:
            self.compiled = self.api.new(
                "LiteRtCreateCompiledModel", (Pointer,) * 3, (self.environment, self.model, options)
            )
        except Failure as failure:
            raise Failure("model-unsupported", "the runtime cannot build the model: %s" % failure.message) from failure
        place = self.api, self.environment, self.compiled, first_subgraph(self.api, self.model)
        self._inputs, self.inputs = make_buffers(*place, "Input")
        self._outputs, self.outputs = make_buffers(*place, "Output")
        answer = ctypes.c_bool()
        ask = self.api.call("LiteRtCompiledModelIsFullyAccelerated", Pointer, ctypes.POINTER(ctypes.c_bool))
        ask(self.compiled, ctypes.byref(answer))
        self.fully_delegated = answer.value and self.kernels == "delegate"
        # no argtypes, ready-made arguments: ctypes then costs half a microsecond a call
        self.run = self.api.library.LiteRtRunCompiledModel
        self.nothing = ctypes.CDLL(None).abs  # a C function that takes no time, to see what a call from Python costs
        self.arguments = (
            self.compiled,
            Size(0),
            Size(len(self.inputs)),
            self._inputs,
            Size(len(self.outputs)),
            self._outputs,
        )

    def rebuild(self, num_threads: int) -> None:
        """A fresh interpreter for the same model: without what stateful ops remember."""
        destroy = self.api.library.LiteRtDestroyCompiledModel  # it returns nothing, unlike the others
        destroy.restype, destroy.argtypes = None, (Pointer,)
        destroy(self.compiled)
        self.build(num_threads)

    def put(self, index: int, source: Source) -> None:
        """Fills an input from bytes, or straight from a place in a file without a copy on the Python side."""
        count = self.inputs[index]["bytes"]
        address = lock(self.api, self._inputs[index], WRITE)
        try:
            if isinstance(source, bytes):
                ctypes.memmove(address, source, count)
            else:
                with open(source[0], "rb", buffering=0) as stream:
                    stream.seek(source[1])
                    stream.readinto((ctypes.c_char * count).from_address(address))
        finally:
            unlock(self.api, self._inputs[index])

    def get(self, index: int) -> bytes:
        """The raw bytes of an output."""
        address = lock(self.api, self._outputs[index], READ)
        try:
            return ctypes.string_at(address, self.outputs[index]["bytes"])
        finally:
            unlock(self.api, self._outputs[index])

    def _cpu_options(self, num_threads: int) -> Any:
        if self.weight_cache and (self.kernels == "builtin" or self.api.typed_options()):
            reason = "only XNNPACK in LiteRT 2.1.3 or later keeps packed weights in a file; this is %s"
            raise Failure("weight-cache-unsupported", reason % (self.version or "another one"))
        if self.api.typed_options():
            if self.kernels == "builtin":
                reason = "LiteRT %s always computes with XNNPACK; 2.1.3 and later can do without"
                raise Failure("kernels-unsupported", reason % (self.version or "before 2.1.3"))
            options = self.api.new("LiteRtCreateCpuOptions")
            identifier = self.api.library.LiteRtGetCpuOptionsIdentifier
            identifier.restype, identifier.argtypes = ctypes.c_char_p, ()
            data = self.api.new("LiteRtFindOpaqueOptionsData", (Pointer, ctypes.c_char_p), (options, identifier()))
            self.api.call("LiteRtSetCpuOptionsNumThread", Pointer, ctypes.c_int)(data, num_threads)
            return options
        text = b"num_threads = %d\n" % num_threads
        if self.kernels == "builtin":
            text += b'kernel_mode = "builtin"\n'
        if self.weight_cache:
            if not set(self.weight_cache).isdisjoint('"\\\n'):  # the library does not read escapes
                raise Failure("request", "a weight cache cannot be called %s" % self.weight_cache)
            text += b'weight_cache_file_path = "%s"\n' % os.fsencode(self.weight_cache)
        return self.api.text_options(b"xnnpack", text)
