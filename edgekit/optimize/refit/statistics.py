"""The moving statistics of BatchNormalization layers, computed anew from data, layer after layer.

After weights have changed (pruned, clustered, cut), the means and variances that a layer normalizes with belong to the
old weights. Keras' own moving average forgets slowly and sees noisy batches; here the moments are those of all rows
together (Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", call it PreciseBN). Only in the TensorFlow child.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import DataError, ModelError
from edgekit.model import libraries

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

PASSES = 16
"""Runs through the data at most; a model with more layers has several of them computed in one run."""

Batches = Callable[[], Iterable[Any]]
"""Gives, each time it is called, the same batches, packed as the model is called with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStatistics:
    """What became of one layer's statistics.

    Attributes:
        name: of the layer.
        positions: values per channel that the statistics are of (rows times positions in the image).
        mean_shift: largest change of a channel's mean, in the old standard deviations.
        variance_ratio: the new variance over the old one, of the channel where it changed most.
    """

    name: str
    positions: int
    mean_shift: float
    variance_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reestimated:
    """The layers of a model and their new statistics.

    Attributes:
        layers: in the order in which the model computes them.
        left: layers that were left alone, each with the reason.
        passes: runs through the data.
    """

    layers: tuple[LayerStatistics, ...]
    left: tuple[str, ...]
    passes: int


def reestimate(
    model: Any, library: str, batches: Batches, on_progress: Callable[[int, int], None] | None = None
) -> Reestimated:
    """Sets every BatchNormalization layer's moving mean and variance to the moments of its input over all batches.

    A layer is computed with the new statistics of all layers before it. Where the model has more than ``PASSES``
    layers, neighbours share a run through the data and see each other normalized by the batch. Frozen layers are
    computed too; layers in a nested model as well. No momentum, no labels; nothing but these statistics changes.

    Args:
        model: a Keras 3 or tf_keras model; changed in place.
        library: ``keras`` or ``tf_keras``.
        batches: see :data:`Batches`; inference only, so dropout does nothing.
        on_progress: called with the runs done and in all.

    Raises:
        ModelError: no such layer, or a layer whose input is not finite.
        DataError: no rows.
    """
    layers = normalizations(model, library)
    if not layers:
        raise ModelError(
            f"the model {model.name!r} has no BatchNormalization layer, so there are no statistics to compute",
            hint="leave the batch-norm step out",
        )
    with contextlib.ExitStack() as hooks:
        taps = {id(layer): hooks.enter_context(_tapped(layer)) for layer in layers}
        order = _order(model, list(taps.values()), batches)
        left = [f"{tap.layer.name} ({tap.reason or 'the outputs do not depend on it'})" for tap in _others(taps, order)]
        size = math.ceil(len(order) / PASSES)
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        done = []
        for number, group in enumerate(groups):
            _run(model, group, batches)
            done += [tap.settle() for tap in group]
            if on_progress is not None:
                on_progress(number + 1, len(groups))
    return Reestimated(layers=tuple(done), left=tuple(left), passes=len(groups))


def normalizations(model: Any, library: str) -> list[Any]:
    """Every BatchNormalization layer of a model, nested and wrapped ones too, each once."""
    keras = libraries.keras() if library == "keras" else libraries.tf_keras()
    found = {id(layer): layer for layer in model._flatten_layers(include_self=False, recursive=True)}
    return [layer for layer in found.values() if isinstance(layer, keras.layers.BatchNormalization)]


class _Enough(Exception):
    """The last layer of the group has its batch; what comes after it is not needed."""


def _nobody(tap: _Tap) -> None:
    """Does nothing with it."""


class _Tap:
    """Stands in for a layer's ``call``: gathers the moments of its input while it is active."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.call = layer.call
        self.reason = ""
        self.calls = 0  # of the layer in one batch: more than one where it is shared
        self.left = 0  # of them, in the batch that runs now
        self.active = False
        self.last = False
        self.on_call: Callable[[_Tap], None] = _nobody
        self._count = 0
        self._mean: Array | None = None
        self._squares: Array | None = None  # sum of squared distances from the mean

    def __call__(self, inputs: Any, *arguments: Any, **keywords: Any) -> Any:
        if not hasattr(inputs, "numpy"):
            self.reason = "it runs inside a graph of its own, as in TimeDistributed"
            return self.call(inputs, *arguments, **keywords)
        if not self.active:
            self.on_call(self)
            return self.call(inputs, *arguments, **keywords)
        moments = self._gather(inputs, keywords.get("mask"))
        self.left -= 1
        if self.last and not self.left:
            raise _Enough
        return self._normalized(inputs, *moments)

    def settle(self) -> LayerStatistics:
        """Writes the moments into the layer.

        Raises:
            ModelError: they are not finite.
        """
        import numpy

        assert self._mean is not None
        assert self._squares is not None
        mean, variance = self._mean, self._squares / self._count
        if not (numpy.isfinite(mean).all() and numpy.isfinite(variance).all()):
            raise ModelError(
                f"the input of layer {self.layer.name!r} is NaN or infinite for these rows",
                hint="check the scale of the data, and the weights before that layer",
            )
        old_mean = numpy.asarray(self.layer.moving_mean, dtype="float64")
        old_variance = numpy.asarray(self.layer.moving_variance, dtype="float64") + self.layer.epsilon
        ratio = (variance + self.layer.epsilon) / old_variance
        self.layer.moving_mean.assign(mean.astype("float32"))
        self.layer.moving_variance.assign(variance.astype("float32"))
        return LayerStatistics(
            name=str(self.layer.name),
            positions=self._count,
            mean_shift=float(numpy.abs((mean - old_mean) / numpy.sqrt(old_variance)).max()),
            variance_ratio=float(ratio[numpy.abs(numpy.log(ratio)).argmax()]),
        )

    def _gather(self, inputs: Any, mask: Any) -> tuple[Array, Array]:
        """Adds one batch to the moments (Chan et al. 1979); its own mean and variance."""
        import numpy

        values = numpy.moveaxis(numpy.asarray(inputs), self._axis(inputs), -1)
        if mask is not None:
            values = values[numpy.asarray(mask).astype(bool)]
        values = values.reshape(-1, values.shape[-1])
        count = len(values)
        mean = values.mean(axis=0, dtype="float64")
        squares = numpy.square(values - mean.astype(values.dtype)).sum(axis=0, dtype="float64")
        if self._mean is None or self._squares is None:
            self._count, self._mean, self._squares = count, mean, squares
        else:
            both = self._count + count
            apart = mean - self._mean
            self._squares = self._squares + squares + apart**2 * (self._count * count / both)
            self._mean = self._mean + apart * (count / both)
            self._count = both
        return mean, squares / count

    def _normalized(self, inputs: Any, mean: Array, variance: Array) -> Any:
        tf = libraries.tensorflow()
        axis = self._axis(inputs)
        shape = [1] * len(inputs.shape)
        shape[axis] = len(mean)

        def broad(value: Any) -> Any:
            return None if value is None else tf.reshape(tf.cast(tf.convert_to_tensor(value), inputs.dtype), shape)

        offset, scale = getattr(self.layer, "beta", None), getattr(self.layer, "gamma", None)
        return tf.nn.batch_normalization(
            inputs, broad(mean), broad(variance), broad(offset), broad(scale), self.layer.epsilon
        )

    def _axis(self, inputs: Any) -> int:
        axis = self.layer.axis
        number = int(axis[0] if isinstance(axis, (list, tuple)) or hasattr(axis, "__len__") else axis)
        return number % len(inputs.shape)


@contextlib.contextmanager
def _tapped(layer: Any) -> Iterator[_Tap]:
    tap = _Tap(layer)
    # past Keras' own __setattr__, which would take the tap for a part of the model
    object.__setattr__(layer, "call", tap)
    try:
        yield tap
    finally:
        object.__delattr__(layer, "call")


def _order(model: Any, taps: list[_Tap], batches: Batches) -> list[_Tap]:
    """The taps in the order in which the model calls their layers.

    Raises:
        DataError: no rows.
    """
    found: list[_Tap] = []

    def called(tap: _Tap) -> None:
        if not tap.calls:
            found.append(tap)
        tap.calls += 1

    for batch in batches():
        for tap in taps:
            tap.on_call = called
        model(batch, training=False)
        for tap in taps:
            tap.on_call = _nobody
        return found
    raise DataError("there are no rows to compute statistics from", hint="name a dataset with --data")


def _others(taps: dict[int, _Tap], order: list[_Tap]) -> list[_Tap]:
    return [tap for tap in taps.values() if tap not in order]


def _run(model: Any, group: list[_Tap], batches: Batches) -> None:
    """Gathers the moments of a group of neighbours; each batch goes as far as the last of them."""
    for tap in group:
        tap.active = True
    group[-1].last = True
    for batch in batches():
        for tap in group:
            tap.left = tap.calls
        with contextlib.suppress(_Enough):
            model(batch, training=False)
    for tap in group:
        tap.active = False
