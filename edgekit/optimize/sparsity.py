"""Which weights can be pruned, how many are zero, and when a schedule wants how many: the same for both engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import UsageError
from edgekit.core.notice import Notice
from edgekit.optimize.export import all_layers

# layer type → attributes that hold the kernels
_KERNELS: dict[str, tuple[str, ...]] = {
    "Dense": ("kernel",),
    "EinsumDense": ("kernel",),
    "Conv1D": ("kernel",),
    "Conv2D": ("kernel",),
    "Conv3D": ("kernel",),
    "Conv1DTranspose": ("kernel",),
    "Conv2DTranspose": ("kernel",),
    "Conv3DTranspose": ("kernel",),
    "SeparableConv1D": ("pointwise_kernel",),
    "SeparableConv2D": ("pointwise_kernel",),
    "LSTM": ("cell.kernel", "cell.recurrent_kernel"),
    "GRU": ("cell.kernel", "cell.recurrent_kernel"),
    "SimpleRNN": ("cell.kernel", "cell.recurrent_kernel"),
    "MultiHeadAttention": ("_query_dense.kernel", "_key_dense.kernel", "_value_dense.kernel", "_output_dense.kernel"),
}
_REASONS: dict[str, str] = {
    "Embedding": "a lookup table, not a product",
    "DepthwiseConv1D": "depthwise kernels hold few weights and suffer most",
    "DepthwiseConv2D": "depthwise kernels hold few weights and suffer most",
    "Normalization": "holds the data's mean and variance, not weights",
}
_TRANSPARENT = ("Normalization", "Rescaling")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSparsity:
    """Zeros in one layer's kernels.

    Attributes:
        name: path of the layer (``encoder/conv``).
        type: its class.
        weights: values in its kernels.
        zeros_before: of them, zero before pruning.
        zeros: zero after.
    """

    name: str
    type: str
    weights: int
    zeros_before: int
    zeros: int

    @property
    def sparsity(self) -> float:
        """Fraction of zeros after pruning."""
        return self.zeros / self.weights if self.weights else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """A layer with weights that was left as it is, and why."""

    name: str
    type: str
    weights: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """A pruned model.

    Attributes:
        path: the new file.
        engine: ``tfmot``, or ``keras`` for the mask callback in Keras 3.
        layers: the pruned ones.
        unpruned: the others that hold weights, with the reason.
        sparsity: fraction of zeros in the kernels of the pruned layers.
        model_sparsity: fraction of zeros among all weights of the model.
        steps: of training that were done.
        loss: which one was trained with, and where it comes from; empty where nothing was trained.
        losses: its mean in each epoch.
        rebuilt_difference: largest difference of outputs between a Keras 3 model and its tf_keras copy.
        notes: what a person should read.
        notices: what the user can act on.
    """

    path: str
    engine: str
    layers: tuple[LayerSparsity, ...]
    unpruned: tuple[LeftAlone, ...]
    sparsity: float
    model_sparsity: float
    steps: int
    loss: str
    losses: tuple[float, ...]
    rebuilt_difference: float | None
    notes: tuple[str, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """TFMOT's PolynomialDecay: the sparsity rises from ``initial`` to ``final``, fast at first.

    Attributes:
        initial: fraction of zeros at ``begin``.
        final: at ``end`` and after.
        begin: training step, from 0.
        end: training step.
        frequency: steps between two updates of the masks; ``end - begin`` is a multiple, so that ``final`` is reached.

    Source: Zhu and Gupta, "To prune, or not to prune", 2017, arXiv:1710.01878 (power 3).
    """

    initial: float
    final: float
    begin: int
    end: int
    frequency: int

    def updates(self, step: int) -> bool:
        """Whether the masks change at this step (the first training step is 1)."""
        return self.begin <= step <= self.end and (step - self.begin) % self.frequency == 0

    def sparsity(self, step: int) -> float:
        """The wanted fraction of zeros at a step."""
        progress = min(1.0, max(0.0, (step - self.begin) / (self.end - self.begin)))
        return self.final + (self.initial - self.final) * (1.0 - progress) ** 3


def schedule(
    *, initial: float, final: float, steps: int, begin: int = 0, end: int | None = None, frequency: int | None = None
) -> Schedule:
    """The schedule for a training of ``steps`` steps; if nothing else is said, done at half of them in twenty updates.

    Raises:
        UsageError: values that no training can follow.
    """
    if not 0.0 <= initial <= final < 1.0:
        raise UsageError(
            f"sparsity must rise from 0 or more to less than 1, found {initial:g} to {final:g}",
            hint="e.g. --sparsity 0.5",
        )
    last = end if end is not None else max(begin + 1, steps // 2)
    if begin < 0 or last <= begin:
        raise UsageError(f"the schedule cannot run from step {begin} to step {last}", hint="let end be after begin")
    every = frequency or max(1, (last - begin) // 20)
    span = max(every, (last - begin) // every * every)
    return Schedule(initial=initial, final=final, begin=begin, end=begin + span, frequency=every)


def kernels(layer: Any) -> list[Any]:
    """The variables of a layer that pruning may zero; empty where there are none."""
    found = []
    for path in _KERNELS.get(type(layer).__name__, ()):
        value = layer
        for part in path.split("."):
            value = getattr(value, part, None)
        if value is not None:
            found.append(value)
    return found


def is_standard(layer: Any) -> bool:
    """Whether the layer's class is Keras' own."""
    return type(layer).__module__.partition(".")[0] in ("keras", "tf_keras")


def reason_unpruned(layer: Any) -> str:
    """Why nothing in this layer can be pruned."""
    kind = type(layer).__name__
    if kind in _REASONS:
        return _REASONS[kind]
    if any(len(weight.shape) >= 2 for weight in layer.weights):
        return "a wrapper that TFMOT cannot look into" if hasattr(layer, "layer") else "TFMOT does not know this layer"
    return "no kernel: scales and offsets only"


def left_alone(name: str, layer: Any, reason: str) -> LeftAlone:
    """The record of a layer that is left as it is."""
    return LeftAlone(name=name, type=type(layer).__name__, weights=count(layer.weights), reason=reason)


def weighted_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Path and layer of everything that holds weights worth a word."""
    for name, layer in all_layers(model):
        if type(layer).__name__ not in _TRANSPARENT and count(layer.weights):
            yield name, layer


def count(variables: Any) -> int:
    """Values in several variables."""
    total = 0
    for variable in variables:
        size = 1
        for n in variable.shape:
            size *= int(n)
        total += size
    return total


def zeros(variables: Any) -> int:
    """Zeros in several variables."""
    import numpy

    return sum(int((numpy.asarray(variable) == 0).sum()) for variable in variables)
