"""Proves a cut: the small model computes what the big one does with the same channels set to zero."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import ModelError
from edgekit.model import load
from edgekit.model.load import LoadedModel
from edgekit.optimize.filters.graph import Dependencies
from edgekit.optimize.filters.nodes import calls, graph, is_model, leaves, maker
from edgekit.optimize.filters.surgery import narrow, removed, staying

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_ROWS = 2
_RANGES: tuple[str | tuple[float, float], ...] = ("normal", (0.0, 1.0), (0.0, 255.0))
_FREE_SIZE = {3: 16, 4: 64, 5: 16}
# of the spread of the outputs: sums in another order, over a hundred layers
_TOLERANCE = 1e-3
_FLOAT = 1e-5
_HALF = 300.0  # times as much in a layer that computes with 16 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Exactness:
    """How exactly a cut was made.

    Attributes:
        rebuilt: largest difference of any output between the model and its rebuild with nothing cut; 0 is exact.
        masked: between the model with the channels set to zero and the small one.
        scale: largest output there: what ``masked`` is to be compared with.
        rows: random rows that were tried.
    """

    rebuilt: float
    masked: float
    scale: float
    rows: int


def check(loaded: LoadedModel, small: Any, dependencies: Dependencies, keep: Mapping[str, Sequence[int]]) -> Exactness:
    """Compares outputs on random rows of several ranges.

    Args:
        loaded: the big model; its weights are the same afterwards.
        small: what :func:`~edgekit.optimize.filters.surgery.narrow` made of it.
        dependencies: of the big one.
        keep: what was kept.

    Raises:
        ModelError: they differ by more than float arithmetic in another order does: a defect of edgekit.
    """
    inputs = [random_inputs(loaded, span, seed) for seed, span in enumerate(_RANGES)]
    whole = replace(loaded, model=narrow(loaded.model, loaded.library, {}, dependencies=dependencies, compiled=False))
    cut = replace(loaded, model=small)
    loose = _HALF if any("16" in str(getattr(layer, "compute_dtype", "")) for _, layer in leaves(small)) else 1.0
    with _bare(loaded.model), _bare(whole.model), _bare(small):
        before = _outputs(loaded, inputs)
        pairs = [_compared(old, new, "rebuilt whole", loose) for old, new in zip(before, _outputs(whole, inputs))]
        rebuilt = max(difference for difference, _ in pairs)
        with masked(loaded.model, dependencies, removed(dependencies, keep)):
            expected = _outputs(loaded, inputs)
        pairs = [_compared(old, new, "cut", loose) for old, new in zip(expected, _outputs(cut, inputs))]
    worst = max(pairs, key=lambda pair: (pair[0] / pair[1], pair[1]))
    return Exactness(rebuilt=rebuilt, masked=worst[0], scale=worst[1], rows=_ROWS * len(_RANGES))


@contextlib.contextmanager
def _bare(model: Any) -> Iterator[None]:
    """While it lasts, the last layers have no activation: a softmax at its limit would hide differences."""
    changed: list[tuple[Any, Any]] = []
    for tensor in graph(model).outputs:
        layer = maker(tensor)
        while is_model(layer):
            layer = maker(graph(layer).outputs[0])
        name = getattr(getattr(layer, "activation", None), "__name__", "")
        if name in ("softmax", "sigmoid", "tanh"):
            changed.append((layer, layer.activation))
            layer.activation = _linear
    try:
        yield
    finally:
        for layer, activation in changed:
            layer.activation = activation


def _linear(x: Any) -> Any:
    return x


@contextlib.contextmanager
def masked(model: Any, dependencies: Dependencies, gone: frozenset[int]) -> Iterator[None]:
    """While it lasts, these channels of the model are zero.

    Their filters, biases and BatchNormalization's scale, shift and mean are zero. Channels that would not be zero then
    (behind a sigmoid) are not read either.
    """
    import numpy

    alive = frozenset(dependencies.channels.alive(list(gone)))
    kept: list[tuple[Any, Array]] = []
    for _, layer in leaves(model):
        part = dependencies.parts.get(id(layer))
        zeroed: dict[int, Array] = {}
        for cut in part.cuts.values() if part else ():
            if cut.role == "variance":
                continue
            stays = staying(dependencies, cut.ids, alive if cut.role == "input" else gone)
            if stays.all():
                continue
            values = zeroed.get(cut.weight)
            if values is None:
                values = numpy.asarray(layer.weights[cut.weight])
                kept.append((layer.weights[cut.weight], values))
            shape = [1] * values.ndim
            shape[cut.axis] = stays.size
            zeroed[cut.weight] = values * stays.reshape(shape)
        for index, values in zeroed.items():
            layer.weights[index].assign(values)
    try:
        yield
    finally:
        for weight, values in kept:
            weight.assign(values)


def _outputs(loaded: LoadedModel, inputs: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """Of each set of rows; states that layers keep between calls are set back before it."""
    found = []
    for rows in inputs:
        for _, layer in leaves(loaded.model):
            if getattr(layer, "stateful", False) is True:
                reset = getattr(layer, "reset_states", None) or getattr(layer, "reset_state", None)
                if reset is not None:
                    reset()
        found.append(load.forward(loaded, rows))
    return found


def _compared(
    expected: Mapping[str, Array], found: Mapping[str, Array], what: str, loose: float
) -> tuple[float, float]:
    """Largest difference and largest value.

    Raises:
        ModelError: too large a difference.
    """
    import numpy

    worst, scale = 0.0, 1e-12
    for name, old in expected.items():
        new = found[name]
        if not numpy.isfinite(old).all() or old.dtype.kind not in "fiub":
            continue  # this range is none for this model
        old, new = old.astype(numpy.float64), new.astype(numpy.float64)
        difference, largest = float(numpy.abs(old - new).max(initial=0.0)), float(numpy.abs(old).max(initial=1e-12))
        allowed = loose * (_TOLERANCE * float(old.std()) + _FLOAT * largest)
        if not difference <= allowed:
            raise ModelError(
                f"the model {what} computes something else: the output {name!r} differs by {difference:.3g} of "
                f"{largest:.3g}; this is a defect of edgekit, and no file was written",
                hint="skip layers until it passes, and report the architecture",
                details={"output": name, "difference": difference, "scale": largest},
            )
        if difference / largest >= worst / scale:
            worst, scale = difference, largest
    return worst, scale


def random_inputs(loaded: LoadedModel, span: str | tuple[float, float], seed: int) -> dict[str, Array]:
    """Rows that fit the inputs: floats of a range, or indices that every table has."""
    import numpy

    random = numpy.random.default_rng(seed)
    limit = _index_limit(loaded.model)
    found: dict[str, Array] = {}
    for spec in load.input_specs(loaded):
        free = _FREE_SIZE.get(len(spec.shape), 8)
        shape = (_ROWS, *(free if size < 0 else size for size in spec.shape[1:]))
        if not spec.dtype.startswith(("float", "bfloat")) or (limit is not None and _is_index(loaded.model, spec.name)):
            top = 2 if spec.dtype == "bool" else limit or 10
            found[spec.name] = random.integers(0, top, size=shape).astype(spec.dtype)
        elif span == "normal":
            found[spec.name] = random.standard_normal(shape).astype("float32")
        else:
            found[spec.name] = random.uniform(span[0], span[1], size=shape).astype("float32")  # type: ignore[arg-type]
    return found


def _index_limit(model: Any) -> int | None:
    sizes = [int(layer.input_dim) for _, layer in leaves(model) if type(layer).__name__ == "Embedding"]
    return min(sizes) if sizes else None


def _is_index(model: Any, name: str) -> bool:
    """Whether an Embedding reads this input; its numbers may well be floats."""
    library = "keras" if type(model).__module__.startswith("keras") else "tf_keras"
    for call in calls(graph(model), library):
        if type(call.layer).__name__ == "Embedding" and maker(call.inputs[0]).name == name:
            return True
    return False
