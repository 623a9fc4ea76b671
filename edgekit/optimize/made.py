"""What the steps of a run hand on: the source, and the model at a point of the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.core import decode
from edgekit.core.artifact import TensorSpec
from edgekit.core.notice import Notice
from edgekit.model.format import ModelFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The model that a run starts from.

    Attributes:
        sha256: of its content.
        trust: allow code inside it.
        code: hash of the files with the user's own classes; None without.
    """

    path: Path
    format: ModelFormat
    sha256: str
    trust: bool
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a step made.

    Attributes:
        name: of the step.
        parameters: everything the result depends on, beside its inputs.
        tflite: the model at this point as a .tflite; float32 until the quantize step.
        model: the trainable model at this point; None after the quantize step and where the source is a .tflite.
        export: the SavedModel that ``tflite`` was converted from; None where the source is a .tflite.
        exported: its record, for messages.
        inputs, outputs: of ``tflite``.
        seconds: of the work, when it was done.
        cached: it was done before.
        notes, details, notices: see :class:`~edgekit.core.artifact.StepRecord`.
    """

    name: str
    parameters: dict[str, Any]
    tflite: Path
    model: Path | None
    export: Path | None
    exported: Mapping[str, Any]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    seconds: float
    cached: bool
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()


def ending_of(fmt: ModelFormat) -> str:
    """Of the file that holds a trainable model of this format; ``.keras`` for those that are folders."""
    if fmt.name == "saved-model":
        return ".keras"
    return ".h5" if fmt.name.endswith("-h5") else ".keras"


def specs_of(values: Any) -> tuple[TensorSpec, ...]:
    """Inputs or outputs from a step's record."""
    return tuple(decode.from_json(TensorSpec, item, source="step", lenient=True) for item in values)


def notices_of(record: Mapping[str, Any]) -> tuple[Notice, ...]:
    """The warnings in a step's record."""
    return tuple(decode.from_json(Notice, item, source="step") for item in record.get("notices", ()))
