"""A model made ready for quantization-aware training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.optimize.qat.flatten import Flat
from edgekit.optimize.qat.kept import Kernel
from edgekit.optimize.qat.record import LayerTreatment


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What training works on.

    Attributes:
        flat: the user's model as one flat graph.
        treated: name of each of its layers → how it is treated.
        simulated: the model that simulates int8.
        kernels: those that have zeros or shared values to keep.
        input_names: in the order in which ``simulated`` takes them.
    """

    flat: Flat
    treated: dict[str, LayerTreatment]
    simulated: Any
    kernels: list[Kernel]
    input_names: tuple[str, ...]


def keep_zeros(library: Any, prepared: Prepared) -> Any:
    """The Keras callback that holds pruned weights at zero, also in layers that TFMOT's scheme does not cover."""
    masked = []
    for kernel in prepared.kernels:
        if kernel.sparse:
            variable = _variable(prepared.simulated, kernel.layer)
            masked.append((variable, (kernel.values != 0).astype(kernel.values.dtype)))

    class KeepZeros(library.callbacks.Callback):  # type: ignore[misc, name-defined, unused-ignore]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del batch, logs
            for variable, mask in masked:
                variable.assign(variable * mask)

    return KeepZeros()


def _variable(simulated: Any, name: str) -> Any:
    """The kernel that is trained; a simulating layer has a tensor in its place."""
    for layer in simulated.layers:
        if layer.name == f"quant_{name}":
            return layer._weight_vars[0][0]
        if layer.name == name:
            return getattr(layer, "depthwise_kernel", getattr(layer, "kernel", None))
    raise KeyError(name)
