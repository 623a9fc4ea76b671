"""Inputs and outputs of a model in LiteRT: what they are, and the memory that holds them."""

from __future__ import annotations

import ctypes

from .answer import Failure
from .litert_structs import HOST_MEMORY, Pointer, Size, TensorType, ToPointer, ToSize
from .tensors import tensor_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Tuple

    from .kinds import Record
    from .litert_api import LiteRtApi


def first_subgraph(api: LiteRtApi, model: Any) -> Any:
    """The subgraph of a model's first signature; of the model itself where it has none."""
    count = Size()
    api.call("LiteRtGetNumModelSignatures", Pointer, ToSize)(model, ctypes.byref(count))
    if count.value == 0:
        return api.new("LiteRtGetModelSubgraph", (Pointer, Size), (model, 0))
    signature = api.new("LiteRtGetModelSignature", (Pointer, Size), (model, 0))
    return api.new("LiteRtGetSignatureSubgraph", (Pointer,), (signature,))


def make_buffers(api: LiteRtApi, environment: Any, compiled: Any, subgraph: Any, side: str) -> Tuple[Any, List[Record]]:
    """The tensor buffers of one side in the model's order, and what they hold."""
    count = Size()
    api.call("LiteRtGetNumSubgraph%ss" % side, Pointer, ToSize)(subgraph, ctypes.byref(count))
    buffers = (Pointer * count.value)()
    tensors = []
    for index in range(count.value):
        tensor = api.new("LiteRtGetSubgraph%s" % side, (Pointer, Size), (subgraph, index))
        kind, name = describe(api, tensor)
        shape = list(kind.layout.dimensions[: kind.layout.rank])
        tensors.append(tensor_record(name, kind.element_type, shape))
        requirements = api.new(
            "LiteRtGetCompiledModel%sBufferRequirements" % side,
            (Pointer, Size, Size),
            (compiled, 0, index),
        )
        needed = Size()
        api.call("LiteRtGetTensorBufferRequirementsBufferSize", Pointer, ToSize)(requirements, ctypes.byref(needed))
        if needed.value < tensors[-1]["bytes"]:
            raise Failure("model-unsupported", "%s %s has no fixed size" % (side.lower(), name))
        try:
            buffers[index] = api.new(
                "LiteRtCreateManagedTensorBuffer",
                (Pointer, ctypes.c_int, ctypes.POINTER(TensorType), Size),
                (environment, HOST_MEMORY, ctypes.byref(kind), needed),
            )
        except Failure as failure:  # its size is known and its kind is plain memory: nothing else can be wrong
            text = "the runtime cannot get %d bytes for %s %s"
            raise Failure("out-of-memory", text % (needed.value, side.lower(), name)) from failure
    return buffers, tensors


def describe(api: LiteRtApi, tensor: Any) -> Tuple[TensorType, str]:
    """Type and name of a tensor; a batch (or another dimension) that is not fixed becomes 1."""
    kind = TensorType()
    name = ctypes.c_char_p()
    api.call("LiteRtGetTensorName", Pointer, ctypes.POINTER(ctypes.c_char_p))(tensor, ctypes.byref(name))
    text = (name.value or b"").decode("utf-8", "replace")
    try:
        api.call("LiteRtGetRankedTensorType", Pointer, ctypes.POINTER(TensorType))(tensor, ctypes.byref(kind))
    except Failure:
        raise Failure("model-unsupported", "the tensor %s has no fixed rank" % text) from None
    for axis in range(kind.layout.rank):
        if kind.layout.dimensions[axis] < 0:
            kind.layout.dimensions[axis] = 1
    return kind, text


def lock(api: LiteRtApi, buffer: Any, access: int) -> int:
    """The address of a buffer's memory, for reading or writing until it is unlocked."""
    address = Pointer()
    api.call("LiteRtLockTensorBuffer", Pointer, ToPointer, ctypes.c_int)(buffer, ctypes.byref(address), access)
    return address.value or 0


def unlock(api: LiteRtApi, buffer: Any) -> None:
    """Gives the memory back to the runtime."""
    api.call("LiteRtUnlockTensorBuffer", Pointer)(buffer)
