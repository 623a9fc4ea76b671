"""inspect and audit: what is in a model file, and whether a .tflite is what it claims to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from edgekit.core.artifact import Audit
    from edgekit.core.events import EventSink
    from edgekit.model.description import ModelDescription


def inspect(
    model: str | PathLike[str],
    *,
    trust_model: bool = False,
    custom: Sequence[str] = (),
    on_event: EventSink = ignore,
) -> ModelDescription:
    """Reads all that a model file says about itself; a ``.tflite`` needs no TensorFlow.

    Raises:
        ModelError: missing, damaged, not a model, or code inside without ``trust_model``.
        DependencyError: a Keras model or SavedModel, and TensorFlow is not installed.
    """
    from pathlib import Path

    from edgekit.model.inspect import inspect_model

    return inspect_model(Path(model), trust=trust_model, custom=tuple(custom), on_event=on_event)


def audit(model: str | PathLike[str]) -> Audit:
    """Whether a ``.tflite`` computes in integers throughout, and the oldest runtime that has its op versions.

    Raises:
        ModelError: missing, damaged, or not a .tflite.
    """
    from pathlib import Path

    from edgekit.optimize.audit import audit_tflite

    return audit_tflite(Path(model))
