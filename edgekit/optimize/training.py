"""Training rows for either Keras: shuffled batches in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import DataError, EdgekitError
from edgekit.model import libraries, load

if TYPE_CHECKING:
    import numpy

    from edgekit.data.dataset import Dataset
    from edgekit.model.load import LoadedModel

    Array = numpy.ndarray[Any, Any]

_BUFFER_BYTES = 64 << 20
_LOOKED_AT = 1024


@dataclass(slots=True, kw_only=True)
class Batches:
    """A dataset as a ``tf.data`` stream of (inputs, labels), shuffled anew in every epoch.

    Shuffled within a buffer of bounded size, so that the source is read once per epoch and never held whole.

    Attributes:
        dataset: with labels.
        batch_size: rows per step; the last batch of an epoch is smaller.
        seed: the order depends on it and on the epoch only.
        failure: what the dataset raised while TensorFlow pulled at it; TensorFlow would only show its text.
    """

    dataset: Dataset
    batch_size: int
    seed: int
    failure: EdgekitError | None = field(default=None, init=False)

    @property
    def steps(self) -> int:
        """Per epoch."""
        return -(-self.dataset.count // self.batch_size)

    def labels(self) -> Array:
        """The labels of the first rows, to look at: shape [rows, …].

        Raises:
            DataError: no rows.
        """
        for batch in self.dataset.batches(_LOOKED_AT):
            assert batch.labels is not None
            return batch.labels
        raise DataError("the training dataset has no rows", hint="name a dataset with --data")

    def stream(self, loaded: LoadedModel, label_shape: tuple[int, ...], label_dtype: str) -> Any:
        """Epoch after epoch without end, for ``fit(..., steps_per_epoch=steps)``."""
        tf = libraries.tensorflow()
        specs = load.input_specs(loaded)
        pack = input_packer(loaded)
        wanted = {s.name: tf.TensorSpec((None, *(None if n < 0 else n for n in s.shape[1:])), s.dtype) for s in specs}
        signature = (pack(wanted), tf.TensorSpec((None, *label_shape), label_dtype))

        def generate() -> Iterator[Any]:
            try:
                for inputs, label in self._epochs():
                    typed = {spec.name: inputs[spec.name].astype(spec.dtype, copy=False) for spec in specs}
                    yield pack(typed), label.astype(label_dtype)
            except EdgekitError as error:
                self.failure = error
                raise

        return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(1)

    def _epochs(self) -> Iterator[tuple[dict[str, Array], Array]]:
        import numpy

        epoch = 0
        while True:
            random = numpy.random.default_rng([self.seed, epoch])
            waiting: list[tuple[dict[str, Array], Any]] = []
            for row in self._shuffled(random):
                waiting.append(row)
                if len(waiting) == self.batch_size:
                    yield _stacked(waiting)
                    waiting = []
            if waiting:
                yield _stacked(waiting)
            epoch += 1

    def _shuffled(self, random: Any) -> Iterator[tuple[dict[str, Array], Any]]:
        buffer: list[tuple[dict[str, Array], Any]] = []
        limit = 0
        for row in self.dataset.rows():
            item = (row.inputs, row.label)
            if not limit:
                limit = max(self.batch_size, _BUFFER_BYTES // max(1, sum(a.nbytes for a in row.inputs.values())))
            if len(buffer) < limit:
                buffer.append(item)
                continue
            place = int(random.integers(limit))
            out, buffer[place] = buffer[place], item
            yield out
        for place in random.permutation(len(buffer)):
            yield buffer[int(place)]


def _stacked(rows: list[tuple[dict[str, Array], Any]]) -> tuple[dict[str, Array], Array]:
    import numpy

    inputs = {name: numpy.stack([row[0][name] for row in rows]) for name in rows[0][0]}
    return inputs, numpy.asarray([row[1] for row in rows])


def input_packer(loaded: LoadedModel) -> Any:
    """A function from ``{input name: value}`` to the structure that the model is called with."""
    names = load.input_names(loaded)
    model = getattr(loaded.model, "_functional", None) or loaded.model
    structure = getattr(model, "_inputs_struct" if loaded.library == "keras" else "_nested_inputs", None)
    if isinstance(structure, Mapping):
        tensors = {id(tensor): name for tensor, name in zip(loaded.model.inputs, names, strict=True)}
        keys = {key: tensors[id(tensor)] for key, tensor in structure.items()}
        return lambda values: {key: values[name] for key, name in keys.items()}
    if len(names) == 1:
        return lambda values: values[names[0]]
    return lambda values: tuple(values[name] for name in names)
