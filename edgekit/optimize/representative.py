"""Representative rows on their way to the calibrator: checked one by one, batch 1, by input name.

The converter itself takes no offence: with no rows or with NaN it returns a float32 model, with constant rows
meaningless scales. So everything is checked here, while the rows stream by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError
from edgekit.core.events import Event, EventSink, ignore

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_STEPS_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What went by.

    Attributes:
        count: rows.
        ranges: input name → smallest and largest value.
        checked: names of the inputs that must not be constant.
    """

    count: int = 0
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    checked: tuple[str, ...] = ()


class Rows:
    """Representative rows that can be gone through once, or again for each pass.

    Args:
        source: gives a fresh iterable of rows each time: input name → array without batch dimension; the name may be
            empty where the model has a single input.
        inputs: the float model's, with batch 1.
        count: how many rows there are, where it is known; for the progress only.

    Attributes:
        inputs: see there.
        seen: what the last pass went through, so far.
    """

    def __init__(
        self,
        source: Callable[[], Iterable[Mapping[str, Array]]],
        inputs: Sequence[TensorSpec],
        *,
        count: int | None = None,
        on_event: EventSink = ignore,
    ) -> None:
        self.inputs = tuple(inputs)
        self.seen = Seen()
        self._source = source
        self._count = count
        self._on_event = on_event

    def __call__(self) -> Iterator[dict[str, Array]]:
        """Yields ``{input name: array of shape (1, …)}``.

        Raises:
            DataError: no rows; a missing input; wrong shape or type; NaN or infinite values; a constant input.
        """
        yield from self.part()
        check_seen((self.seen,))

    def part(self) -> Iterator[dict[str, Array]]:
        """The same rows, without the checks of all of them together (:func:`check_seen`).

        Raises:
            DataError: a missing input; wrong shape or type; NaN or infinite values.
        """
        ranges = {spec.name: _Range(spec) for spec in self.inputs}
        checked = tuple(spec.name for spec in self.inputs if spec.dtype.startswith("float"))
        self.seen = Seen()
        for index, row in enumerate(self._source()):
            values = {spec.name: _value(row, self.inputs, spec, index) for spec in self.inputs}
            arrays = {name: ranges[name].checked(value, index) for name, value in values.items()}
            extent = {name: (found.low, found.high) for name, found in ranges.items() if found.low <= found.high}
            self.seen = Seen(count=index + 1, ranges=extent, checked=checked)
            self._tell(index + 1)
            yield arrays

    @property
    def count(self) -> int:
        """How many rows there are; 0 where it is not known."""
        return self._count or 0

    def expect(self, count: int) -> None:
        """Says that this pass ends after ``count`` rows, for the progress."""
        self._count = count

    def _tell(self, seen: int) -> None:
        if self._count and (seen == self._count or seen % max(1, self._count // _STEPS_TOLD) == 0):
            self._on_event(
                Event(
                    state="progress",
                    task="calibrate",
                    message=f"{seen} of {self._count} rows",
                    fraction=min(1.0, seen / self._count),
                )
            )


def check_seen(parts: Sequence[Seen]) -> None:
    """The checks of all rows together.

    Raises:
        DataError: there were none, or an input is the same everywhere.
    """
    count = sum(part.count for part in parts)
    if not count:
        raise DataError(
            "the representative dataset has no rows",
            hint="give 100 to 500 typical inputs with --representative (or --data)",
        )
    for name in parts[0].checked if count > 1 else ():
        extents = [part.ranges[name] for part in parts if name in part.ranges]
        low, high = min(extent[0] for extent in extents), max(extent[1] for extent in extents)
        if low == high:
            raise DataError(
                f"the input {name!r} is {low:g} everywhere in all {count} representative rows",
                hint="give real samples: the scales of every layer are taken from them",
            )


def open_rows(data: Mapping[str, Any], inputs: Sequence[TensorSpec], on_event: EventSink = ignore) -> Rows:
    """The representative rows of a dataset description (:class:`edgekit.data.spec.DataSpec` as JSON values).

    Raises:
        DataError: it cannot be opened, or is empty.
    """
    from edgekit.core import decode
    from edgekit.data.dataset import open_dataset
    from edgekit.data.spec import DataSpec

    spec = decode.from_json(DataSpec, dict(data), source="representative dataset", error=DataError)
    dataset = open_dataset(spec, inputs=inputs)
    return Rows(lambda: (row.inputs for row in dataset.rows()), inputs, count=dataset.count, on_event=on_event)


class _Range:
    """What was seen of one input."""

    def __init__(self, spec: TensorSpec) -> None:
        self.spec = spec
        self.low, self.high = float("inf"), float("-inf")

    def checked(self, value: Any, index: int) -> Array:
        import numpy

        spec = self.spec
        array = numpy.asarray(value)
        if array.shape != spec.shape[1:]:
            raise DataError(
                f"row {index}: the input {spec.name!r} has shape {array.shape}, the model wants {spec.shape[1:]}",
                hint=_shape_hint(array.shape, spec.shape[1:]),
            )
        wanted = numpy.dtype(spec.dtype)
        if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and wanted.kind in "iu"):
            raise DataError(
                f"row {index}: the input {spec.name!r} is {array.dtype}, the model wants {spec.dtype}",
                hint="store the data in the type that the model takes",
            )
        array = numpy.ascontiguousarray(array, dtype=wanted)
        if array.size:
            low, high = float(array.min()), float(array.max())
            if not (numpy.isfinite(low) and numpy.isfinite(high)):
                raise DataError(
                    f"row {index}: the input {spec.name!r} has NaN or infinite values",
                    hint="remove such rows; the converter would silently return a float32 model",
                )
            self.low, self.high = min(self.low, low), max(self.high, high)
        return array[None]


def _value(row: Mapping[str, Any], inputs: Sequence[TensorSpec], spec: TensorSpec, index: int) -> Any:
    if spec.name in row:
        return row[spec.name]
    if len(inputs) == 1 and len(row) == 1:
        return next(iter(row.values()))
    raise DataError(
        f"row {index}: the input {spec.name!r} is missing (the data have: {', '.join(map(repr, row)) or 'nothing'})",
        hint=f"name the arrays of the dataset after the model's inputs: {', '.join(s.name for s in inputs)}",
    )


def _shape_hint(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if len(found) == 3 and len(wanted) == 3 and (found[1], found[2], found[0]) == wanted:
        return "the data are channels-first (CHW) and the model is channels-last (HWC): transpose them"
    return "bring the data into the model's shape, without a batch dimension per row"
