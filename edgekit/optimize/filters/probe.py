"""Finds out by trying whether a function treats every channel by itself, and whether it keeps zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_KEPT = [0, 2, 3, 6]


def acts_alone(function: Callable[..., Any], shape: tuple[int, ...] = (2, 3, 3, 8)) -> tuple[bool, bool]:
    """Whether ``function`` gives for some channels what it gives for them among others; and 0 for 0.

    Args:
        function: of one tensor, an activation or a layer without weights.
        shape: to try it with, with the batch, at least 7 channels last.
    """
    import numpy

    from edgekit.model import libraries

    tf = libraries.tensorflow()
    if getattr(function, "weights", None):
        return False, False
    random = numpy.random.default_rng(5)
    values = random.normal(scale=4.0, size=shape).astype("float32")
    try:
        whole = numpy.asarray(function(tf.constant(values)))
        some = numpy.asarray(function(tf.constant(values[..., _KEPT])))
        nothing = numpy.asarray(function(tf.zeros(shape)))
    except Exception:  # noqa: BLE001 - an activation may be any code
        return False, False
    if whole.ndim == 0 or whole.shape[-1] != shape[-1] or some.shape != (*whole.shape[:-1], len(_KEPT)):
        return False, False
    return bool(numpy.allclose(whole[..., _KEPT], some, rtol=1e-5, atol=1e-6)), bool((nothing == 0).all())
