"""Makes raw blocks what the model takes: names, shapes, preprocessing, dtypes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

import numpy

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError
from edgekit.data.block import Array
from edgekit.data.spec import Preprocessing

Place = Callable[[int], str]


def plain(name: str) -> str:
    """An input's name without what converters add: ``serving_default_image:0`` → ``image``."""
    return name.removeprefix("serving_default_").partition(":")[0]


def match_names(found: Sequence[str], inputs: Sequence[TensorSpec], *, source: str) -> dict[str, str]:
    """The model's input name → the source's.

    Raises:
        DataError: an input that the source does not have.
    """
    if len(inputs) == 1 and len(found) == 1:
        return {inputs[0].name: found[0]}
    by_plain = {plain(name): name for name in found}
    matched = {
        spec.name: by_plain[plain(spec.name)] if spec.name not in found else spec.name
        for spec in inputs
        if spec.name in found or plain(spec.name) in by_plain
    }
    missing = [plain(spec.name) for spec in inputs if spec.name not in matched]
    if missing:
        wanted = ", ".join(plain(spec.name) for spec in inputs)
        has = ", ".join(name or "one without a name" for name in found)
        raise DataError(
            f"{source}: the model's input {', '.join(map(repr, missing))} is missing; the data have: {has}",
            hint=f"name the inputs as the model does ({wanted}): arrays of the .npz, or keys of the dict",
        )
    return matched


def takes_integers(spec: TensorSpec) -> bool:
    """Whether the input wants whole numbers (token ids, raw pixels) and not real values, quantized or not."""
    return spec.dtype.startswith(("int", "uint")) and spec.scale is None


def fit_shape(array: Array, spec: TensorSpec, *, place: str) -> Array:
    """``array`` [rows, …] in the input's shape; axes of length 1 and flattened rows are put right.

    Raises:
        DataError: another shape.
    """
    wanted, found = tuple(spec.shape[1:]), array.shape[1:]
    if _matches(found, wanted):
        return array
    fixed = all(n > 0 for n in wanted)
    same = [n for n in found if n != 1] == [n for n in wanted if n != 1]
    flat = len(found) == 1 and found[0] == int(numpy.prod(wanted, dtype=numpy.int64))
    if fixed and (same or flat):
        return array.reshape(len(array), *wanted)
    if not fixed and len(found) + 1 == len(wanted) and _matches((*found, 1), wanted):
        return array[..., None]
    raise DataError(
        f"{place}: the shape is {_shape(found)}, the model's input {plain(spec.name)!r} takes {_shape(wanted)}"
        + _mix_up(found, wanted),
        hint=_shape_hint(found, wanted),
    )


def check_numbers(array: Array, *, place: str, hint: str = "convert it: x.astype('float32')") -> None:
    """Raises:
    DataError: text, objects, complex numbers or records where numbers are wanted.
    """
    if array.dtype.kind not in "biuf":
        kind = {"U": "text", "S": "bytes", "O": "Python objects", "c": "complex numbers"}.get(
            array.dtype.kind, str(array.dtype)
        )
        raise DataError(f"{place}: found {kind} where numbers are wanted", hint=hint)


def to_real(array: Array, preprocessing: Preprocessing, *, channels_axis: int = -1) -> Array:
    """float32 values after ``x * scale``, then ``(x - mean) / std``. Computed in float64, so x * (1/255) is x / 255.

    Raises:
        DataError: ``--mean`` or ``--std`` has another number of values than the data have channels.
    """
    with numpy.errstate(over="ignore"):  # infinity is found, with its row, when the data are checked
        return _real(array, preprocessing, channels_axis)


def _real(array: Array, preprocessing: Preprocessing, channels_axis: int) -> Array:
    if not preprocessing.arithmetic:
        return array.astype(numpy.float32, copy=False)
    real = array.astype(numpy.float64)
    if preprocessing.scale is not None:
        real *= preprocessing.scale
    if preprocessing.mean is not None:
        real -= _per_channel(preprocessing.mean, real, channels_axis, "--mean")
    if preprocessing.std is not None:
        real /= _per_channel(preprocessing.std, real, channels_axis, "--std")
    return real.astype(numpy.float32)


def to_integers(array: Array, spec: TensorSpec, *, place: str) -> Array:
    """Whole numbers of the input's dtype.

    Raises:
        DataError: fractions, or values that the dtype cannot hold.
    """
    dtype = numpy.dtype(spec.dtype)
    limits = numpy.iinfo(dtype)
    name = plain(spec.name)
    if array.dtype.kind == "f" and not bool((array == numpy.floor(array)).all()):
        raise DataError(
            f"{place}: the model's input {name!r} takes whole numbers ({dtype}), the data have fractions",
            hint="leave --scale, --mean and --std out for this model",
        )
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise DataError(
            f"{place}: values from {array.min()} to {array.max()} do not fit the model's input {name!r} "
            f"({dtype}: {limits.min} to {limits.max})"
        )
    return array.astype(dtype)


def channels_axis(spec: TensorSpec | None) -> int:
    """The axis of a block [rows, …] that holds the channels: the last, or 1 for a channels-first image."""
    return 1 if spec is not None and is_channels_first(tuple(spec.shape[1:])) else -1


def is_channels_first(shape: Sequence[int]) -> bool:
    """(3, 224, 224) → True; (224, 224, 3) → False."""
    return len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4)


def _per_channel(values: tuple[float, ...], array: Array, axis: int, option: str) -> Array:
    if len(values) == 1:
        return numpy.float64(values[0])  # type: ignore[return-value]  # a scalar broadcasts like an array
    length = array.shape[axis] if array.ndim > 1 else 0
    if len(values) != length:
        raise DataError(
            f"{option} has {len(values)} values, the data have {length} channels (shape {_shape(array.shape[1:])})",
            hint=f"give {option} one value, or {length}",
        )
    shape = [1] * array.ndim
    shape[axis] = length
    return numpy.asarray(values, numpy.float64).reshape(shape)


def _matches(found: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(found) == len(wanted) and all(w in (-1, f) for f, w in zip(found, wanted))


def _shape(shape: Sequence[int]) -> str:
    return "×".join("?" if n < 0 else str(n) for n in shape) or "a single number"


def _transposition(found: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...] | None:
    if len(found) != len(wanted) or len(found) not in (2, 3):
        return None
    first, last = (len(found) - 1, *range(len(found) - 1)), (*range(1, len(found)), 0)
    for order in (last, first, *permutations(range(len(found)))):
        if _matches([found[axis] for axis in order], wanted):
            return order
    return None


def _mix_up(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    order = _transposition(found, wanted)
    if order is None:
        return ""
    if order == (1, 2, 0):
        return ": the data are channels-first (NCHW), the model is channels-last (NHWC)"
    if order == (2, 0, 1):
        return ": the data are channels-last (NHWC), the model is channels-first (NCHW)"
    return ": the axes are in another order"


def _shape_hint(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    order = _transposition(found, wanted)
    if order is not None:
        axes = ", ".join(str(axis + 1) for axis in order)
        return f"save the data as numpy.transpose(x, (0, {axes}))"
    return f"make every sample {_shape(wanted)}: resize or reshape it before saving"
