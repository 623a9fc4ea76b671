"""The C API of LiteRT: the loaded library, its functions by name, and says in words what their status means."""

from __future__ import annotations

import ctypes
import os

from .answer import Failure
from .litert_structs import Pointer, ToPointer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Tuple

STATUS = {
    1: "invalid argument",
    2: "out of memory",
    3: "runtime failure",
    4: "missing input",
    5: "unsupported",
    6: "not found",
    8: "wrong version",
    500: "the file cannot be read",
    501: "not a valid FlatBuffer",
    502: "a library cannot be loaded",
    504: "compilation failed",
}


def check(status: int, what: str) -> int:
    """The status of a C function; raises Failure where it is not zero."""
    if status:
        raise Failure("runtime", "%s: status %d (%s)" % (what, status, STATUS.get(status, "unknown")))
    return status


class LiteRtApi:
    """The loaded library (``libLiteRt.so``, ``libLiteRtRuntimeCApi.so``; 1.4.0 to 2.3.0).

    The API changed between releases. What a library needs is seen by its symbols, never by its version:
    ``LiteRtCreateModelFromFd`` came together with the environment as first argument of ``LiteRtCreateModelFromFile``
    (2.1.6), and ``LiteRtCreateCpuOptions`` went away when options became TOML text (2.1.3).
    """

    def __init__(self, path: str) -> None:
        if not os.path.exists(path):
            raise Failure("library-missing", "no such file: %s" % path)
        self.path = path
        try:
            self.library = ctypes.CDLL(path)
        except OSError as error:
            raise Failure("library-load", str(error)) from error
        if not self.has("LiteRtRunCompiledModel"):
            raise Failure("library-load", "%s does not export LiteRT's C API" % path)

    def has(self, name: str) -> bool:
        """Whether the library has a function."""
        return hasattr(self.library, name)

    def typed_options(self) -> bool:
        """Whether options have functions of their own: before 2.1.3; later they are TOML text."""
        return self.has("LiteRtCreateCpuOptions")

    def call(self, name: str, *kinds: Any) -> Any:
        """The C function ``name``; it raises Failure where its status is not zero."""
        try:
            function = getattr(self.library, name)
        except AttributeError:
            raise Failure("library-abi", "%s has no %s" % (self.path, name)) from None
        function.restype, function.argtypes = ctypes.c_int, kinds
        function.errcheck = lambda status, _function, _arguments: check(status, name)
        return function

    def new(self, name: str, kinds: Tuple[Any, ...] = (), arguments: Tuple[Any, ...] = ()) -> Any:
        """Calls a function whose last parameter receives a new object, and returns that."""
        made = Pointer()
        self.call(name, *kinds, ToPointer)(*arguments, ctypes.byref(made))
        return made

    def text_options(self, identifier: bytes, text: bytes) -> Any:
        """Options as the TOML text of one part of the runtime."""
        libc = ctypes.CDLL(None)  # the library frees the text itself, so the text must come from malloc
        libc.strdup.restype, libc.strdup.argtypes = Pointer, (ctypes.c_char_p,)
        return self.new(
            "LiteRtCreateOpaqueOptions",
            (ctypes.c_char_p, Pointer, Pointer),
            (identifier, libc.strdup(text), ctypes.cast(libc.free, Pointer)),
        )
