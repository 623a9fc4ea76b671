"""Which weights can be clustered, how many values they have, and centroids for them: the same for both engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.core.notice import Notice
from edgekit.optimize import sparsity

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

INITIALIZATIONS = ("kmeans++", "linear", "density-based", "random")
NO_KERNEL = "no kernel: scales and offsets only"
_INNER = ("layer", "forward_layer", "backward_layer")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerValues:
    """Distinct values in one layer's kernels.

    Attributes:
        name: path of the layer (``encoder/conv``).
        type: its class.
        weights: numbers in its kernels.
        values_before: distinct ones in the kernel that has most of them, before.
        values: after.
        zeros_before: weights that are zero, before.
        zeros: after.
    """

    name: str
    type: str
    weights: int
    values_before: int
    values: int
    zeros_before: int
    zeros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustered:
    """A model whose weights share a few values.

    Attributes:
        path: the new file.
        engine: ``tfmot``, or ``keras`` for k-means in Keras 3.
        clusters: values that were asked for, for each kernel.
        layers: the clustered ones.
        unclustered: the others that hold weights, with the reason.
        steps: of training that were done.
        loss: which one was trained with, and where it comes from; empty where nothing was trained.
        losses: its mean in each epoch.
        rebuilt_difference: largest difference of outputs between a Keras 3 model and its tf_keras copy.
        notes: what a person should read.
        notices: what the user can act on.
    """

    path: str
    engine: str
    clusters: int
    layers: tuple[LayerValues, ...]
    unclustered: tuple[sparsity.LeftAlone, ...]
    steps: int
    loss: str
    losses: tuple[float, ...]
    rebuilt_difference: float | None
    notes: tuple[str, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """Values and zeros of a layer's kernels before clustering."""

    values: int
    zeros: int


def kernels(layer: Any) -> list[Any]:
    """The variables of a layer that clustering may share; of the user's own layers every trainable matrix."""
    if not sparsity.is_standard(layer):
        return [variable for variable in layer.trainable_variables if len(variable.shape) >= 2]
    if type(layer).__name__ == "Embedding":
        return [layer.embeddings]
    parts = {id(part): part for name in _INNER if (part := getattr(layer, name, None)) is not None}
    return [kernel for part in (parts.values() or (layer,)) for kernel in sparsity.kernels(part)]


def reason(layer: Any, found: Sequence[Any], clusters: int) -> str:
    """Why this layer cannot be clustered; empty where it can."""
    kind = type(layer).__name__
    if not found:
        if kind.startswith("DepthwiseConv"):
            return "depthwise kernels are small, and sharing their values costs the most accuracy"
        return NO_KERNEL if _flat(layer) else "it holds no kernel that clustering knows"
    if max(sparsity.count([kernel]) for kernel in found) <= clusters:
        return f"it has no more than {clusters} weights"
    return ""


def measure(found: Sequence[Any]) -> Before:
    """Distinct values (of the kernel with most of them) and zeros."""
    import numpy

    return Before(
        values=max(int(numpy.unique(numpy.asarray(kernel)).size) for kernel in found), zeros=sparsity.zeros(found)
    )


def weighted_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Path and layer of everything that holds weights."""
    return sparsity.weighted_layers(model)


def _flat(layer: Any) -> bool:
    return all(len(weight.shape) < 2 for weight in layer.weights)


def centroids(weights: Array, clusters: int, initialization: str, *, keep_zero: bool, seed: int) -> Array:
    """Where clustering begins: sorted distinct values, at most ``clusters``.

    Args:
        weights: any shape.
        clusters: how many values are wanted.
        initialization: ``kmeans++`` (Arthur and Vassilvitskii 2007, then Lloyd's iterations), ``linear`` between the
            smallest and the largest, ``density-based`` (evenly spaced quantiles) or ``random`` (uniform).
        keep_zero: one of the values is 0, for the zeros alone.
        seed: of the random ones.
    """
    import numpy

    values = weights.ravel().astype(numpy.float64)
    wanted = clusters
    if keep_zero:
        values, wanted = values[values != 0], clusters - 1
    random = numpy.random.default_rng(seed)
    if not values.size:
        return numpy.zeros(1)
    if initialization == "linear":
        found = numpy.linspace(values.min(), values.max(), wanted)
    elif initialization == "density-based":
        found = numpy.quantile(values, numpy.linspace(0.01, 0.99, wanted))
    elif initialization == "random":
        found = random.uniform(values.min(), values.max(), wanted)
    else:
        found = _kmeans(values, wanted, random)
    return numpy.unique(numpy.concatenate([found, [0.0]]) if keep_zero else found)


def nearest(values: Array, found: Array) -> Array:
    """Index of the nearest of the sorted ``found`` for each value."""
    import numpy

    return numpy.searchsorted((found[1:] + found[:-1]) / 2, values)


def _kmeans(values: Array, wanted: int, random: Any) -> Array:
    import numpy

    sample = values if values.size <= 50_000 else random.choice(values, 50_000, replace=False)
    found = [float(random.choice(sample))]
    distance = (sample - found[0]) ** 2
    while len(found) < wanted and distance.max() > 0:
        found.append(float(random.choice(sample, p=distance / distance.sum())))
        distance = numpy.minimum(distance, (sample - found[-1]) ** 2)
    middle = numpy.unique(found)
    for _ in range(20):
        middle = means(sample, nearest(sample, middle), middle)
    return middle


def means(values: Array, index: Array, old: Array) -> Array:
    """The mean of each cluster; an empty one stays where it was."""
    import numpy

    count = numpy.bincount(index, minlength=old.size)
    total = numpy.bincount(index, weights=values, minlength=old.size)
    result: Array = numpy.where(count > 0, total / numpy.maximum(count, 1), old)
    return result
