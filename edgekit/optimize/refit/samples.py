"""Made-up inputs of the ranges that models are fed, to see whether two models compute the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.core.artifact import TensorSpec

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_RANGES = ((-1.0, 1.0), (0.0, 255.0))
_ROWS = 4
_FREE_SIZE = 16


def samples(specs: Sequence[TensorSpec]) -> Iterator[dict[str, Array]]:
    """Four rows of seeded noise for every range; whole numbers 0 and 1 for integer inputs, which may be indices.

    Args:
        specs: of the inputs; free sizes but the batch become 16.
    """
    import numpy

    for number, (low, high) in enumerate(_RANGES):
        random = numpy.random.default_rng(number)
        found = {}
        for spec in specs:
            shape = (_ROWS, *(_FREE_SIZE if size < 0 else size for size in spec.shape[1:]))
            floating = spec.dtype.startswith(("float", "bfloat"))
            values = random.uniform(low, high, shape) if floating else random.integers(0, 2, shape)
            found[spec.name] = values.astype(spec.dtype)
        yield found
