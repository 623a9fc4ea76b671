"""A function of the user's as a source: ``module:function`` that yields samples."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy

from edgekit.core.errors import DataError, UsageError
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.core.suggest import nearest
from edgekit.data.block import Array, Block, hash_rows, rows_per_block

_MOST_SAMPLES = 5_000_000
_YIELDS = "yield an array, (array, label), a dict of arrays by input name, or (dict, label)"


def import_function(name: str) -> Callable[..., Any]:
    """The user's function called ``module:function``; modules of the current folder are found.

    Raises:
        UsageError: no such module or function, or importing it failed.
    """
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # stays: the function may import its neighbours when it runs
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        hint = f"run edgekit in the folder of {module_name}.py, or install the package"
        raise UsageError(f"cannot import {error.name!r} for {name}", hint=hint) from error
    except AttributeError as error:
        names = [key for key in vars(sys.modules[module_name]) if not key.startswith("_")]
        guess = nearest(attribute, names)
        raise UsageError(
            f"{module_name} has no function {attribute!r}",
            hint=f"did you mean {module_name}:{guess}?" if guess else None,
        ) from error
    except Exception as error:  # the user's module may raise anything
        raise UsageError(f"importing {module_name} failed: {_said(error)}") from error
    if not callable(found):
        raise UsageError(f"{name} is not a function", hint=f"name a function that does: {_YIELDS}")
    return found  # type: ignore[no-any-return]  # callable was checked


def module_sha256(function: Callable[..., Any]) -> str | None:
    """Hash of the file that the function is written in; None where there is no such file."""
    path = getattr(sys.modules.get(getattr(function, "__module__", "")), "__file__", None)
    return sha256_file(Path(path)) if path and Path(path).is_file() else None


def apply(function: Callable[..., Any], inputs: dict[str, Array], *, name: str, place: str) -> dict[str, Array]:
    """The user's preprocessing on every sample of a block.

    Raises:
        DataError: the function raised, or returned something else than it was given.
    """
    rows = len(next(iter(inputs.values())))
    results: list[dict[str, Array]] = []
    for row in range(rows):
        sample: Any = {key: array[row] for key, array in inputs.items()}
        only = next(iter(sample)) if len(sample) == 1 else None
        try:
            result = function(sample if only is None else sample[only])
        except Exception as error:  # the user's function may raise anything
            raise DataError(f"{name} failed at {place}: {_said(error)}") from error
        mapped = result if isinstance(result, Mapping) else {only or "": result}
        if set(mapped) != set(inputs):
            raise DataError(f"{name} returned {_kind(result)} at {place}", hint="return what it takes")
        results.append({key: _array(value, f"the result of {name} at {place}") for key, value in mapped.items()})
    try:
        return {key: numpy.stack([result[key] for result in results]) for key in inputs}
    except ValueError as error:
        raise DataError(f"{name} returned samples of different shapes near {place}") from error


class FunctionSource:
    """What ``module:function()`` yields. The function is called anew for every pass."""

    class_names = None
    notices: tuple[Notice, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self._function = import_function(name)
        self._count: int | None = None
        first = next(self._samples(), None)
        if first is None:
            raise DataError(f"{name} yields no samples", hint=_YIELDS)
        self.input_names = tuple(first[0])
        self.has_labels = first[1] is not None

    @property
    def counted(self) -> bool:
        """Only after the first ``count``."""
        return self._count is not None

    def count(self) -> int:
        """All rows: runs through the function once."""
        if self._count is None:
            self._count = sum(1 for _ in self._samples())
        return self._count

    def blocks(self, rows: Array | None) -> Iterator[Block]:
        """See :class:`~edgekit.data.block.Source`."""
        chosen = None if rows is None else iter(rows.tolist())
        following = None if chosen is None else next(chosen, None)
        waiting: list[tuple[int, dict[str, Array], Array | None]] = []
        for index, (inputs, label) in enumerate(self._samples()):
            if chosen is not None:
                if index != following:
                    continue
                following = next(chosen, None)
            if waiting and (_form(waiting[0]) != _form((index, inputs, label)) or len(waiting) >= _size(inputs)):
                yield _block(waiting)
                waiting = []
            waiting.append((index, inputs, label))
            if chosen is not None and following is None:
                break
        if waiting:
            yield _block(waiting)
        if following is not None:
            raise DataError(f"{self.name} ended before sample {following}", hint="yield the same samples every time")

    def content_sha256(self) -> str:
        """Hash of all samples and labels."""
        digest = hashlib.sha256()
        for inputs, label in self._samples():
            for name in sorted(inputs):
                digest.update(f"{name}{inputs[name].dtype}{inputs[name].shape}".encode() + inputs[name].tobytes())
            if label is not None:
                digest.update(f"{label.dtype}{label.shape}".encode() + label.tobytes())
        return digest.hexdigest()

    def row_hashes(self, rows: Array | None) -> Iterator[bytes]:
        """See :class:`~edgekit.data.block.Source`."""
        return hash_rows(self.blocks(rows))

    def place(self, index: int) -> str:
        """Where row ``index`` is, for people."""
        return f"sample {index} of {self.name}"

    def _samples(self) -> Iterator[tuple[dict[str, Array], Array | None]]:
        """The samples as (inputs, label).

        Raises:
            DataError: the function raised, never ends, or yields something else than samples.
        """
        index = 0
        try:
            found = self._function()
            if not isinstance(found, Iterable) or isinstance(found, (str, bytes, Mapping)):
                raise DataError(f"{self.name} returned {_kind(found)}, not an iterable of samples", hint=_YIELDS)
            iterator = iter(found)
            while True:
                try:
                    sample = next(iterator)
                except StopIteration:
                    return
                if index >= _MOST_SAMPLES:
                    raise DataError(
                        f"{self.name} did not end after {_MOST_SAMPLES} samples",
                        hint="make it finite: edgekit runs through it several times",
                    )
                yield self._parsed(sample, index)
                index += 1
        except (DataError, GeneratorExit):
            raise
        except Exception as error:  # the user's function may raise anything
            raise DataError(f"{self.name} failed at sample {index}: {_said(error)}") from error

    def _parsed(self, sample: Any, index: int) -> tuple[dict[str, Array], Array | None]:
        place = self.place(index)
        label = None
        if isinstance(sample, tuple):
            if len(sample) != 2:
                raise DataError(f"{place} is a tuple of {len(sample)}", hint=_YIELDS)
            sample, label = sample
        named = sample if isinstance(sample, Mapping) else {"": sample}
        inputs = {str(name): _array(value, place) for name, value in named.items()}
        if index:
            if set(inputs) != set(self.input_names):
                had = ", ".join(self.input_names) or "one array"
                raise DataError(f"{place} has the inputs {', '.join(inputs)}; sample 0 had {had}", hint=_YIELDS)
            if (label is not None) != self.has_labels:
                raise DataError(f"{place} {'has' if label is not None else 'lacks'} a label, unlike sample 0")
        return inputs, None if label is None else _array(label, f"the label of {place}")


def _array(value: Any, place: str) -> Array:
    try:
        array = numpy.asarray(value)
    except Exception as error:  # ragged lists, foreign tensors
        raise DataError(f"{place} is no array: {_said(error)}", hint=_YIELDS) from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{place} is {_kind(value)} ({array.dtype}), not numbers", hint=_YIELDS)
    return array


def _block(waiting: list[tuple[int, dict[str, Array], Array | None]]) -> Block:
    labels = [label for _, _, label in waiting if label is not None]
    return Block(
        inputs={name: numpy.stack([inputs[name] for _, inputs, _ in waiting]) for name in waiting[0][1]},
        labels=numpy.stack(labels) if labels else None,
        indices=numpy.asarray([index for index, _, _ in waiting], numpy.int64),
    )


def _form(item: tuple[int, dict[str, Array], Array | None]) -> tuple[Any, ...]:
    _, inputs, label = item
    shapes = tuple((name, array.shape) for name, array in sorted(inputs.items()))
    return shapes, None if label is None else label.shape


def _size(inputs: dict[str, Array]) -> int:
    return rows_per_block(sum(array.nbytes for array in inputs.values()))


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
