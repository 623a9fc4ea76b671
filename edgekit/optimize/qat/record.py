"""What quantization-aware training did, layer by layer, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgekit.core.artifact import TensorSpec
from edgekit.core.notice import Notice

Treatment = Literal["trained", "output", "calibrated"]
Preserve = Literal["none", "sparsity", "clusters", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTreatment:
    """How one layer went through quantization-aware training.

    Attributes:
        name: path of the layer (``encoder/conv``).
        type: its class.
        treatment: ``trained``: its int8 weights and outputs were simulated while it trained; ``output``: its outputs
            alone; ``calibrated``: it trained in float and was quantized afterwards with representative rows.
        reason: why it is not ``trained``, or what of it is not; else empty.
    """

    name: str
    type: str
    treatment: Treatment
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKept:
    """Zeros and shared values of one kernel, in the model and in the int8 file.

    Attributes:
        name: path of the layer.
        weights: numbers in the kernel.
        zeros_before: of them, zero in the model.
        zeros: zero in the file.
        values_before: most distinct values in one output channel, in the model.
        values: likewise in the file.
        found: whether the kernel was found in the file at all.
    """

    name: str
    weights: int
    zeros_before: int
    zeros: int
    values_before: int
    values: int
    found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Qat:
    """A ``.tflite`` from quantization-aware training.

    Attributes:
        path: of the file.
        mode: ``int8`` or ``int8-float-io``.
        size_bytes: of the file.
        inputs: by signature name, with scale and zero point.
        outputs: likewise.
        samples: representative rows that it was calibrated with.
        preserve: what of earlier steps was kept.
        layers: how each layer was treated.
        removed: layers that work in training only and were taken out.
        kept: zeros and shared values of the layers that had some; empty with ``preserve="none"``.
        steps: of training that were done.
        loss: which one was trained with, and where it comes from; empty where nothing was trained.
        losses: its mean in each epoch.
        rebuilt_difference: largest difference of outputs between a Keras 3 model and its tf_keras copy.
        notes: what a person should read.
        notices: what the user can act on.
    """

    path: str
    mode: str
    size_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    samples: int
    preserve: Preserve
    layers: tuple[LayerTreatment, ...]
    removed: tuple[str, ...]
    kept: tuple[LayerKept, ...]
    steps: int
    loss: str
    losses: tuple[float, ...]
    rebuilt_difference: float | None
    notes: tuple[str, ...]
    notices: tuple[Notice, ...]
