"""Training rows for either Keras: shuffled batches in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import DataError, EdgekitError
from edgekit.model import libraries, load

if TYPE_CHECKING:
    import numpy

    from edgekit.data.dataset import Dataset
    from edgekit.model.load import LoadedModel
    from edgekit.optimize.distill.loss import Distillation
    from edgekit.optimize.distill.targets import SoftTargets

    Array = numpy.ndarray[Any, Any]

_BUFFER_BYTES = 64 << 20
_LOOKED_AT = 1024


@dataclass(slots=True, kw_only=True)
class Batches:
    """A dataset as a ``tf.data`` stream of (inputs, labels), shuffled anew in every epoch.

    Shuffled within a buffer of bounded size, so that the source is read once per epoch and never held whole.

    Every batch has an even number of rows: with odd ones, TensorFlow 2.21 (oneDNN) writes outside of its memory when
    it trains a 1×1 convolution of stride 2 with fewer than 16 input channels, as small residual models have them.

    Attributes:
        dataset: with labels, or without where a teacher gives the targets.
        batch_size: rows per step; an odd one is rounded up, and the last batch of an epoch is smaller.
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
        return -(-self.dataset.count // self._rows_per_step)

    @property
    def _rows_per_step(self) -> int:
        return self.batch_size if self.batch_size == 1 else self.batch_size + self.batch_size % 2

    def labels(self) -> Array:
        """The labels of the first rows, to look at: shape [rows, …].

        Raises:
            DataError: no rows.
        """
        _, labels = self.first()
        assert labels is not None
        return labels

    def first(self) -> tuple[dict[str, Array], Array | None]:
        """Inputs and labels of the first rows, to look at.

        Raises:
            DataError: no rows.
        """
        for batch in self.dataset.batches(_LOOKED_AT):
            return batch.inputs, batch.labels
        raise DataError("the training dataset has no rows", hint="name a dataset with --data")

    def stream(self, loaded: LoadedModel, label_shape: tuple[int, ...], label_dtype: str) -> Any:
        """Epoch after epoch without end, for ``fit(..., steps_per_epoch=steps)``."""
        tf = libraries.tensorflow()

        def target(places: list[int], labels: list[Any]) -> Any:
            del places
            return _array(labels).astype(label_dtype)

        return self._stream(loaded, tf.TensorSpec((None, *label_shape), label_dtype), target)

    def stream_with_teacher(self, loaded: LoadedModel, targets: SoftTargets, loss: Distillation) -> Any:
        """As :meth:`stream`, with the teacher's outputs of each row and, if ``loss`` wants them, the labels."""

        def target(places: list[int], labels: list[Any]) -> Any:
            return loss.pack(targets.table[places], None if loss.labels is None else _array(labels))

        return self._stream(loaded, loss.signature(), target, targets)

    def _stream(
        self,
        loaded: LoadedModel,
        target_signature: Any,
        target: Callable[[list[int], list[Any]], Any],
        targets: SoftTargets | None = None,
    ) -> Any:
        tf = libraries.tensorflow()
        specs = load.input_specs(loaded)
        names = [spec.name for spec in specs]
        pack = input_packer(loaded)
        wanted = {s.name: tf.TensorSpec((None, *(None if n < 0 else n for n in s.shape[1:])), s.dtype) for s in specs}

        def generate() -> Iterator[Any]:
            try:
                for rows in self._epochs():
                    if targets is not None:
                        for row in rows:
                            targets.check(row.place, row.inputs, names)
                    inputs = {spec.name: _stacked(rows, spec.name).astype(spec.dtype, copy=False) for spec in specs}
                    yield pack(inputs), target([row.place for row in rows], [row.label for row in rows])
            except EdgekitError as error:
                self.failure = error
                raise

        signature = (pack(wanted), target_signature)
        return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(1)

    def _epochs(self) -> Iterator[list[_Row]]:
        import numpy

        epoch = 0
        while True:
            random = numpy.random.default_rng([self.seed, epoch])
            waiting: list[_Row] = []
            for row in self._shuffled(random):
                waiting.append(row)
                if len(waiting) == self._rows_per_step:
                    yield _even(waiting)
                    waiting = []
            if waiting:
                yield _even(waiting)
            epoch += 1

    def _shuffled(self, random: Any) -> Iterator[_Row]:
        buffer: list[_Row] = []
        limit = 0
        for place, row in enumerate(self.dataset.rows()):
            item = _Row(place=place, inputs=row.inputs, label=row.label)
            if not limit:
                limit = max(self._rows_per_step, _BUFFER_BYTES // max(1, sum(a.nbytes for a in row.inputs.values())))
            if len(buffer) < limit:
                buffer.append(item)
                continue
            place = int(random.integers(limit))
            out, buffer[place] = buffer[place], item
            yield out
        for place in random.permutation(len(buffer)):
            yield buffer[int(place)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row and its place in the order of the dataset."""

    place: int
    inputs: dict[str, Array]
    label: Any


def _even(rows: list[_Row]) -> list[_Row]:
    """A single row twice, which trains the same; of any other odd number, without the last, another in every epoch."""
    if len(rows) == 1:
        return rows * 2
    return rows[: len(rows) - len(rows) % 2]


def _stacked(rows: list[_Row], name: str) -> Array:
    import numpy

    return numpy.stack([row.inputs[name] for row in rows])


def _array(labels: list[Any]) -> Array:
    import numpy

    return numpy.asarray(labels)


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
