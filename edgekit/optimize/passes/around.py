"""The passes around a quantization, for both quantizers; each is kept only where the outputs come closer to float's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol, TypeVar

from edgekit.core.events import EventSink
from edgekit.core.notice import Notice
from edgekit.optimize.passes.bias import correct_biases
from edgekit.optimize.passes.choice import NO_PASSES, Passes
from edgekit.optimize.passes.equalize import equalize
from edgekit.optimize.passes.error import OutputError
from edgekit.optimize.passes.ranges import choose
from edgekit.optimize.representative import Rows

_Q = TypeVar("_Q", bound="Quantizer")


class Quantizer(Protocol):
    """A calibrated float model that can be quantized again and again.

    See :class:`edgekit.optimize.quantize.TensorflowQuantizer`.
    """

    @property
    def source(self) -> str:
        """Name of the float file."""

    @property
    def content(self) -> bytes:
        """The float32 .tflite that is quantized."""

    @property
    def rows(self) -> Rows:
        """What it was calibrated with."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Of the passes."""

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Tensor name → range."""

    def with_ranges(self: _Q, ranges: Mapping[str, tuple[float, float]]) -> _Q:
        """The same with other ranges for these tensors."""

    def told(self: _Q, notes: Collection[str], notices: Collection[Notice] = ()) -> _Q:
        """The same with more notes and notices."""

    def build(self, keep: Collection[str] = (), keep_as: str = "float32") -> bytes:
        """The quantized .tflite; ops are kept out of int8 by the name of their first output tensor."""


def calibrate_with(content: bytes, source: str, rows: Rows, passes: Passes, calibrate: Callable[[bytes], _Q]) -> _Q:
    """A float model calibrated, after the passes that come before quantization.

    Args:
        content: of the float32 .tflite.
        source: its name, for messages.
        rows: to calibrate with.
        passes: that were asked for.
        calibrate: gives the quantizer of a float model.

    Raises:
        ModelError: the model does not run.
        DataError: rows that would ruin the model.
    """
    present = calibrate(content)
    if passes == NO_PASSES:
        return present
    error = OutputError(content, source, rows)
    if passes.equalize:
        found = equalize(content, source, rows)
        if not found.pairs:
            present = present.told(found.notes)
        else:
            scaled = calibrate(found.content).told(found.notes, found.notices)
            present = _closer(scaled, present, error, "cross-layer equalisation")
    if passes.ranges != "minmax":
        chosen = choose(present.content, source, rows, present.ranges, passes.ranges)
        ranged = present.with_ranges(chosen.ranges).told(chosen.notes)
        present = _closer(ranged, present, error, f"ranges by {passes.ranges}")
    return present


def _closer(changed: _Q, present: _Q, error: OutputError, what: str) -> _Q:
    """Whichever comes closer to the float model in int8."""
    before, after = error.of(present.build()), error.of(changed.build())
    moved = f"the outputs' error in int8 went from {before:.3g} to {after:.3g} of their power ({len(error.rows)} rows)"
    if after < before:
        return changed.told([f"{what}: {moved}"])
    if after == float("inf"):
        return present.told([f"{what} undone: LiteRT refuses the model that it gives"])
    return present.told([f"{what} undone: {moved}"])


def finish(quantizer: Quantizer, content: bytes, passes: Passes, on_event: EventSink) -> tuple[bytes, tuple[str, ...]]:
    """The quantized model with its biases corrected where that was asked for, and the notes of all passes.

    Raises:
        ModelError: a model does not run.
    """
    if not passes.bias_correction:
        return content, quantizer.notes
    found = correct_biases(quantizer.content, content, quantizer.source, quantizer.rows, on_event)
    return found.content, (*quantizer.notes, *found.notes)
