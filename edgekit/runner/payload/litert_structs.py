"""The C API's own structures and numbers."""

from __future__ import annotations

import ctypes


class Layout(ctypes.Structure):
    """The shape of a tensor."""

    _fields_ = [
        ("rank", ctypes.c_uint32, 7),
        ("has_strides", ctypes.c_uint32, 1),
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    ]


class TensorType(ctypes.Structure):
    """Element type and shape of a tensor."""

    _fields_ = [("element_type", ctypes.c_int32), ("layout", Layout)]


class EnvironmentOption(ctypes.Structure):
    """A setting for all models; the value is a tagged union, aligned to 8 bytes, whose type 2 is an integer."""

    _fields_ = [
        ("tag", ctypes.c_int32),
        ("alignment", ctypes.c_int32),
        ("value_type", ctypes.c_int32),
        ("value", ctypes.c_int64),
    ]


class Event(ctypes.Structure):
    """One entry of the profiler.

    ``node`` is an op's position: in the model for the runtime's own ops, within the part that it took for a delegate's.
    """

    _fields_ = [
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("node", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int32),
    ]


WHOLE, BUILTIN_OP, DELEGATE_OP = 1, 2, 8  # types of events; a run as a whole has the tag "Invoke"
MIN_LOG_SEVERITY = 25  # tag of an environment option
ERROR_SEVERITY = 3
CPU = 1  # the accelerator
HOST_MEMORY = 1  # the kind of tensor buffer
READ, WRITE = 0, 1

Pointer = ctypes.c_void_p
Size = ctypes.c_size_t
ToPointer = ctypes.POINTER(ctypes.c_void_p)
ToSize = ctypes.POINTER(ctypes.c_size_t)
