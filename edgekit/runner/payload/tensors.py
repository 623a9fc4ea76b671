"""What inputs and outputs are: element types, sizes, whether they are finite."""

from __future__ import annotations

import array
import math

from .answer import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

    from .kinds import Record

# the numbers of the element types are those of the TensorFlow Lite schema: name, bytes per element
DTYPES = {
    1: ("float32", 4),
    2: ("int32", 4),
    3: ("uint8", 1),
    4: ("int64", 8),
    6: ("bool", 1),
    7: ("int16", 2),
    9: ("int8", 1),
    10: ("float16", 2),
    11: ("float64", 8),
    13: ("uint64", 8),
    16: ("uint32", 4),
    17: ("uint16", 2),
}


def tensor_record(name: str, element_type: int, shape: List[int]) -> Record:
    """Name, dtype, shape and size in bytes of one input or output."""
    if element_type not in DTYPES:
        raise Failure("model-unsupported", "the tensor %s has element type %d: not supported" % (name, element_type))
    dtype, width = DTYPES[element_type]
    count = width
    for length in shape:
        count *= length
    return {"name": name, "dtype": dtype, "shape": shape, "bytes": count}


def all_finite(raw: bytes, dtype: str) -> bool:
    """Whether a raw output holds neither NaN nor infinity."""
    if dtype == "float16":
        return all(bits & 0x7C00 != 0x7C00 for bits in array.array("H", raw))
    if dtype in ("float32", "float64"):
        return all(map(math.isfinite, array.array("f" if dtype == "float32" else "d", raw)))
    return True
