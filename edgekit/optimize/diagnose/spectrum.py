"""Weight spectra: alpha of each layer, the exponent of the power law that its eigenvalues' tail follows.

WeightWatcher's measure of how well a layer is trained, from its weights alone: Martin, Peng, Mahoney 2021, "Predicting
trends in the quality of state-of-the-art neural networks without access to training or testing data", Nature
Communications 12, 4122. Between 2 and 6 a layer has learnt correlations; above 6 it is close to random (under-trained,
or more layer than the task needs), below 2 it may have been over-trained. It says nothing on how many bits or filters
a layer needs; it says where there is little to lose.

A random matrix gets an alpha too, often one that looks well. So the eigenvalues beyond the Marchenko–Pastur edge, where
those of a random matrix of the same size and variance end, are counted beside it: without any, nothing was learnt
there that shows in the spectrum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgekit.core.events import Event, EventSink, ignore, task

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

Verdict = Literal[
    "over-trained",
    "well trained",
    "under-trained",
    "like random",
    "unclear",
    "too small",
    "too large",
    "no matrix",
    "no spread",
]

#: with fewer eigenvalues the exponent's own error is larger than the range between good and bad
FEWEST_EIGENVALUES = 50
#: the eigenvalues of a larger matrix take minutes
LARGEST_SIDE = 4096
_OVER_TRAINED, _UNDER_TRAINED = 2.0, 6.0
_NEGLIGIBLE = 1e-10  # of the largest eigenvalue: rounding, not spectrum


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLaw:
    """A density proportional to x^-alpha from ``xmin`` upwards.

    Attributes:
        alpha: the exponent.
        sigma: its standard error, (alpha - 1) / sqrt(tail).
        xmin: where the tail begins.
        distance: Kolmogorov–Smirnov distance between the tail and the law, 0 to 1.
        tail: how many values are in it.
    """

    alpha: float
    sigma: float
    xmin: float
    distance: float
    tail: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpectrum:
    """The spectrum of one weight of one layer.

    Attributes:
        layer: with the models around it.
        weight: ``kernel``, ``recurrent_kernel``, ``pointwise_kernel``, …
        rows, columns: of the matrix; of each of them where a convolution has several.
        matrices: how many: one for each place of a convolution's window, their eigenvalues pooled.
        eigenvalues: how many there are.
        spikes: how many of them no random matrix would have.
        law: what fits the tail; None where ``verdict`` says why there is none.
        verdict: what alpha means, or why there is none; ``unclear`` where it lies outside 2 to 6 by less than twice its
            error.
    """

    layer: str
    weight: str
    rows: int
    columns: int
    matrices: int
    eigenvalues: int
    spikes: int
    law: PowerLaw | None
    verdict: Verdict


def spectra(source: str, trust: bool = False, on_event: EventSink = ignore) -> tuple[LayerSpectrum, ...]:
    """The spectrum of every weight matrix of a Keras model. Runs in the TensorFlow child.

    Raises:
        ModelError: the model cannot be loaded.
    """
    from edgekit.model.load import load_model

    loaded = load_model(Path(source), trust=trust)
    with task("weight spectra", on_event):
        found = []
        for layer, weight, matrices, shape in weight_matrices(loaded.model):
            on_event(Event(state="progress", task="weight spectra", message=layer))
            found.append(layer_spectrum(layer, weight, matrices, shape))
        return tuple(found)


def weight_matrices(model: Any) -> Iterator[tuple[str, str, Array | None, tuple[int, ...]]]:
    """Layer, weight, matrices [n, rows, columns] (None: the weight is no matrix), shape of the weight."""
    import numpy

    from edgekit.optimize.export import all_layers

    for name, layer in all_layers(model):
        for weight in getattr(layer, "weights", ()):
            values = numpy.asarray(weight.numpy() if hasattr(weight, "numpy") else weight)
            if values.ndim < 2:
                continue
            # tf_keras says layer/kernel:0, Keras 3 kernel, or layer/kernel in a path
            own = str(getattr(weight, "path", weight.name)).split(":")[0].removeprefix(f"{layer.name}/")
            yield name, own.rpartition(f"{layer.name}/")[2], _matrices(layer, own, values), values.shape


def _matrices(layer: Any, weight: str, values: Array) -> Array | None:
    """``[n, rows, columns]``: of a convolution one matrix of inputs × outputs for each place of its window."""
    kind = type(layer).__name__
    if "depthwise" in weight or (kind.startswith("DepthwiseConv") and "kernel" in weight):
        return None
    if "embedding" in kind.lower() or values.ndim == 2:
        return values[None] if values.ndim == 2 else None
    if "Conv" in kind:
        return values.reshape(-1, *values.shape[-2:])
    if kind in ("MultiHeadAttention", "GroupQueryAttention", "EinsumDense") and values.ndim == 3:
        # the model's width × heads × size of a head, or the other way round in the layer that brings them together
        joined = values.reshape(-1, values.shape[-1]) if "output" in weight else values.reshape(values.shape[0], -1)
        return joined[None]
    return None


def layer_spectrum(layer: str, weight: str, matrices: Array | None, shape: tuple[int, ...]) -> LayerSpectrum:
    """The spectrum of one weight.

    Args:
        layer, weight: their names.
        matrices: ``[n, rows, columns]``; None: the weight is no matrix.
        shape: of the weight as it is.
    """
    if matrices is None:
        return _without("no matrix", layer, weight, (0, *shape[-2:]), 0)
    count = len(matrices) * min(matrices.shape[1:])
    if count < FEWEST_EIGENVALUES:
        return _without("too small", layer, weight, matrices.shape, count)
    if min(matrices.shape[1:]) > LARGEST_SIDE:
        return _without("too large", layer, weight, matrices.shape, count)
    values = eigenvalues(matrices)
    if len(values) < FEWEST_EIGENVALUES:  # a pruned or a copied layer has fewer than its shape
        return _without("too small", layer, weight, matrices.shape, len(values))
    law = fit_power_law(values)
    if law is None:
        return _without("no spread", layer, weight, matrices.shape, len(values))
    _, rows, columns = matrices.shape
    edge = random_edge(matrices)
    return LayerSpectrum(
        layer=layer,
        weight=weight,
        rows=rows,
        columns=columns,
        matrices=len(matrices),
        eigenvalues=len(values),
        spikes=int((values > edge).sum()),
        law=law,
        verdict=_verdict(law) if values[-1] > edge else "like random",
    )


def _verdict(law: PowerLaw) -> Verdict:
    if law.alpha < _OVER_TRAINED:
        return "over-trained" if law.alpha + 2 * law.sigma < _OVER_TRAINED else "unclear"
    if law.alpha > _UNDER_TRAINED:
        return "under-trained" if law.alpha - 2 * law.sigma > _UNDER_TRAINED else "unclear"
    return "well trained"


def _without(verdict: Verdict, layer: str, weight: str, shape: tuple[int, ...], count: int) -> LayerSpectrum:
    return LayerSpectrum(
        layer=layer,
        weight=weight,
        rows=int(shape[1]),
        columns=int(shape[2]),
        matrices=int(shape[0]),
        eigenvalues=count,
        spikes=0,
        law=None,
        verdict=verdict,
    )


def eigenvalues(matrices: Array) -> Array:
    """Eigenvalues of W^T W of each matrix, pooled, ascending, without those that are zero.

    Args:
        matrices: ``[n, rows, columns]``.
    """
    import numpy

    values = matrices.astype(numpy.float64)
    turned = values.transpose(0, 2, 1)
    products = turned @ values if values.shape[1] >= values.shape[2] else values @ turned  # the smaller of the two
    found = numpy.sort(numpy.linalg.eigvalsh(products).ravel())
    kept: Array = found[found > _NEGLIGIBLE * found[-1]] if len(found) else found
    return kept


def random_edge(matrices: Array) -> float:
    """Where the eigenvalues of W^T W end for random matrices of the same size and mean square.

    It is mean square * (sqrt(rows) + sqrt(columns))^2 (Marchenko and Pastur 1967); of a finite matrix it wavers by
    about its smaller side to the power -2/3, which is allowed for twice.

    Args:
        matrices: ``[n, rows, columns]``.
    """
    import numpy

    _, rows, columns = matrices.shape
    edge = float((matrices.astype(numpy.float64) ** 2).mean()) * (rows**0.5 + columns**0.5) ** 2
    return float(edge * (1 + 2 * min(rows, columns) ** (-2 / 3)))


def fit_power_law(values: Array) -> PowerLaw | None:
    """The power law that fits the upper tail best; None where all values are alike.

    Clauset, Shalizi, Newman 2009, "Power-law distributions in empirical data", SIAM Review 51: the exponent by maximum
    likelihood, alpha = 1 + n / sum(ln(x / xmin)), and the tail's beginning where the Kolmogorov–Smirnov distance
    between the tail and its law is least.

    Args:
        values: positive, ascending, at least two.
    """
    import numpy

    logs = numpy.log(values)
    steps = numpy.arange(len(values))
    best: PowerLaw | None = None
    sums = logs[::-1].cumsum()[::-1]  # of each possible tail
    for start in range(len(values) - 1):
        count = len(values) - start
        spread = float(sums[start] - count * logs[start])
        if spread <= 0:
            continue
        alpha = 1 + count / spread
        law = 1 - numpy.exp((1 - alpha) * (logs[start:] - logs[start]))
        distance = float(numpy.abs(law - steps[:count] / count).max())
        if best is None or distance < best.distance:
            best = PowerLaw(
                alpha=alpha,
                sigma=(alpha - 1) / count**0.5,
                xmin=float(values[start]),
                distance=distance,
                tail=count,
            )
    return best
