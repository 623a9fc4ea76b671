"""Seeded random input samples for a model that brings none of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.core.artifact import TensorSpec

if TYPE_CHECKING:
    import numpy

_SAMPLES = 3


def random_inputs(inputs: tuple[TensorSpec, ...], seed: int) -> list[list[bytes]]:
    """Three samples: per sample the raw tensors in the order of ``inputs``."""
    import numpy

    generator = numpy.random.default_rng(seed)
    return [[_random(generator, tensor).tobytes() for tensor in inputs] for _ in range(_SAMPLES)]


def _random(generator: numpy.random.Generator, tensor: TensorSpec) -> numpy.ndarray[Any, Any]:
    """Values that the dtype can hold: [0, 1) for floats; small numbers for wide integers, which may be indices."""
    import numpy

    dtype = numpy.dtype(tensor.dtype)
    if dtype.kind == "f":
        return generator.random(tensor.shape).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, tensor.shape).astype(dtype)
    if dtype.itemsize > 2:
        return generator.integers(0, 10, tensor.shape).astype(dtype)
    limits = numpy.iinfo(dtype)
    return generator.integers(limits.min, limits.max, tensor.shape, dtype=dtype, endpoint=True)
