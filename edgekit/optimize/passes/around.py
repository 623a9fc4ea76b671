"""What the passes do before a float model is quantized and after it, for both quantizers."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from edgekit.core.errors import ModelError
from edgekit.core.events import EventSink
from edgekit.core.notice import Notice
from edgekit.optimize.passes.activations import Activations
from edgekit.optimize.passes.bias import correct_biases
from edgekit.optimize.passes.choice import Passes
from edgekit.optimize.passes.equalize import equalize
from edgekit.optimize.representative import Rows

_Self = TypeVar("_Self", bound="Quantizer")


class Quantizer(Protocol):
    """A calibrated float model that can be quantized again and again; see :class:`TensorflowQuantizer`."""

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
    def samples(self) -> int:
        """How many rows they are."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Of the passes."""

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Of the passes."""

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Tensor name → range."""

    def with_ranges(self: _Self, ranges: Mapping[str, tuple[float, float]]) -> _Self:
        """The same with other ranges for these tensors."""

    def build(self, keep: Collection[str] = (), keep_as: str = "float32") -> bytes:
        """The quantized .tflite; ops are kept out of int8 by the name of their first output tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A float model ready to be calibrated.

    Attributes:
        path: of the file, which is there as long as the ``with`` block.
        content: of the file.
        notes, notices: of what was done to it.
    """

    path: Path
    content: bytes
    notes: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


@contextmanager
def before(float_model: Path, content: bytes, rows: Rows, passes: Passes) -> Iterator[Prepared]:
    """The float model, equalised where that was asked for.

    Args:
        float_model: the file, which the result is written apart from.
        content: what to work on; mostly the file's.
        rows: to calibrate with.
        passes: that were asked for.

    Raises:
        ModelError: it does not run.
        DataError: rows that would ruin the model.
    """
    if not passes.equalize:
        yield Prepared(path=float_model, content=content)
        return
    found = equalize(content, float_model.name, rows)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        path = Path(folder) / float_model.name
        path.write_bytes(found.content)
        yield Prepared(path=path, content=found.content, notes=found.notes, notices=found.notices)


def after(quantizer: Quantizer, content: bytes, passes: Passes, on_event: EventSink) -> tuple[bytes, tuple[str, ...]]:
    """The quantized model with its biases corrected where that was asked for, and the notes of all passes.

    Raises:
        ModelError: a model does not run.
    """
    if passes.ranges != "minmax":
        _check_runs(content, quantizer, passes)
    if not passes.bias_correction:
        return content, quantizer.notes
    found = correct_biases(quantizer.content, content, quantizer.source, quantizer.rows, on_event)
    return found.content, (*quantizer.notes, *found.notes)


def _check_runs(content: bytes, quantizer: Quantizer, passes: Passes) -> None:
    """A range far smaller than what the weights make of one step of the input is refused by XNNPACK."""
    try:
        Activations(content, quantizer.source)
    except ModelError as error:
        raise ModelError(
            f"ranges by {passes.ranges} give a model that LiteRT refuses: {error.message}",
            hint="use ranges minmax; or equalize, for channels of one activation seem to be far apart",
        ) from error
