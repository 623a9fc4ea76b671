"""Training rows for what filter pruning looks at beside fine-tuning: statistics, gradients and scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgekit.core import decode
from edgekit.core.errors import DataError
from edgekit.model import libraries, load
from edgekit.model.load import LoadedModel
from edgekit.optimize.filters.graph import Dependencies
from edgekit.optimize.filters.nodes import leaves
from edgekit.optimize.losses import choose_loss
from edgekit.optimize.training import input_packer

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_BATCH = 64
_GRADIENT_ROWS = 32
_GRADIENT_BATCHES = 16


class Rows:
    """Rows in the order of the source, a bounded number of them, packed as the model is called.

    Args:
        loaded: the model that takes them.
        data: a :class:`edgekit.data.spec.DataSpec` as JSON values.

    Raises:
        DataError: rows that cannot be read or do not fit.
    """

    def __init__(self, loaded: LoadedModel, data: Mapping[str, Any]) -> None:
        from edgekit.data.dataset import open_dataset
        from edgekit.data.spec import DataSpec

        spec = decode.from_json(DataSpec, dict(data), source="training dataset", error=DataError)
        self._specs = load.input_specs(loaded)
        self._pack = input_packer(loaded)
        self._fixed = load.fixed_batch(loaded)
        self._dataset = open_dataset(spec, inputs=self._specs)
        self.has_labels = self._dataset.has_labels
        self.source = spec.source

    def batches(self, size: int, limit: int) -> Iterator[tuple[Any, Array | None]]:
        """Inputs and labels, at most ``limit`` batches; a model of fixed batch size gets batches of that size."""
        rows = self._fixed or size
        for number, batch in enumerate(self._dataset.batches(rows)):
            if number == limit or (self._fixed is not None and len(batch.indices) != rows):
                return
            inputs = {s.name: batch.inputs[s.name].astype(s.dtype, copy=False) for s in self._specs}
            yield self._pack(inputs), batch.labels

    def inputs(self, limit: int) -> Iterator[Any]:
        """As :meth:`batches`, inputs alone."""
        for inputs, _ in self.batches(_BATCH, limit):
            yield inputs


def gradients(
    loaded: LoadedModel, dependencies: Dependencies, rows: Rows | None, loss: str | None
) -> Iterator[Mapping[int, Array]]:
    """Batch by batch the gradient of the loss with respect to every weight that makes or scales channels.

    Args:
        loaded: the model, run as in inference.
        dependencies: of it.
        rows: with labels.
        loss: Keras' name for one; None: see :func:`edgekit.optimize.losses.choose_loss`.

    Raises:
        DataError: no rows, no labels, or no loss that fits them.
    """
    if rows is None or not rows.has_labels:
        raise DataError(
            "the criterion 'taylor' needs training rows with labels, to take gradients on",
            hint="give labelled data with --data, or use --criterion l1",
        )
    tf = libraries.tensorflow()
    library = libraries.keras() if loaded.library == "keras" else libraries.tf_keras()
    weights = [weight for _, layer in leaves(loaded.model) for weight in _made(layer, dependencies)]
    values = [weight.value if loaded.library == "keras" else weight for weight in weights]
    function = None
    for inputs, labels in rows.batches(_GRADIENT_ROWS, _GRADIENT_BATCHES):
        assert labels is not None
        even = len(labels) - len(labels) % 2  # TensorFlow's oneDNN crashes on the gradient of an odd batch
        if not even:
            continue
        inputs, labels = tf.nest.map_structure(lambda value, size=even: value[:size], inputs), labels[:even]
        if function is None:
            chosen = choose_loss(loaded, loss, labels)
            if chosen is None:
                raise DataError(
                    f"no loss fits labels of shape {labels.shape[1:]} and the outputs of this model",
                    hint="name one with --loss, or use --criterion l1",
                )
            function, kind = chosen.build(library), chosen.label_dtype
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for value in values:
                tape.watch(value)
            result = tf.reduce_mean(function(tf.constant(labels.astype(kind)), loaded.model(inputs, training=False)))
        found = tape.gradient(result, values)
        yield {id(weight): _dense(value) for weight, value in zip(weights, found) if value is not None}


def _made(layer: Any, dependencies: Dependencies) -> list[Any]:
    part = dependencies.parts.get(id(layer))
    roles = ("filter", "bias", "scale", "shift")
    indices = {cut.weight for cut in part.cuts.values() if cut.role in roles} if part else set()
    return [layer.weights[index] for index in sorted(indices)]


def _dense(gradient: Any) -> Array:
    import numpy

    tf = libraries.tensorflow()
    found: Array = numpy.asarray(tf.convert_to_tensor(gradient))  # of an Embedding it comes as slices
    return found
