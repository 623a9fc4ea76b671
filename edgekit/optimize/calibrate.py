"""Ranges of every tensor of a float32 ``.tflite`` over representative rows, by TensorFlow's calibrator, on two cores.

The calibrator runs one sample after the other on one core, and that is most of the time that int8 takes. Ranges of two
halves are merged by minimum and maximum, so a second process that takes half of the rows changes nothing in the result.
That process loads the calibrator's library alone, without TensorFlow: 0.2 s and 200 MB instead of 3 s and 600 MB.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekit.core import decode, install
from edgekit.core.child import run_once
from edgekit.core.errors import DataError, DependencyError, EdgekitError
from edgekit.data.spec import DataSpec
from edgekit.model import libraries
from edgekit.optimize import model_tree
from edgekit.optimize.representative import Rows, Seen, check_seen, open_rows

_TIMED_ROWS = 4
_TIME_LIMIT_S = 6 * 3600.0
_PACKAGES = ("", ".lite", ".lite.python", ".lite.python.optimize", ".python")
_WRAPPER = "tensorflow.lite.python.optimize._pywrap_tensorflow_lite_calibration_wrapper"


def calibrated(content: bytes, rows: Rows, share: Share | None = None) -> tuple[bytes, int]:
    """The model with the ranges in it, and how many rows were used. Runs in the TensorFlow child.

    Args:
        content: of the float32 file.
        rows: to calibrate with.
        share: how a second process gets at the same rows; None: all of them here.

    Raises:
        DataError: rows that would ruin the model.
        Exception: whatever TensorFlow raises.
    """
    second = None if share is None else _SecondProcess(share)
    try:
        found = _calibrated_here(content, rows, second)
        if second is None or not second.started:
            return found, rows.seen.count
        other = second.result()
        if other is not None:
            check_seen((rows.seen, other.seen))
            return merged(found, other.content), rows.seen.count + other.seen.count
    finally:
        if second is not None:
            second.close()
    return _calibrated_here(content, rows, None), rows.seen.count


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a second process needs for its half.

    Attributes:
        float_model: the file.
        data: where the rows come from.
        positions: the rows of the source, in order.
        worth_seconds: the second process is started where all the rows would take longer than this.
    """

    float_model: Path
    data: DataSpec
    positions: tuple[int, ...]
    worth_seconds: float = 2.0


def can_share(float_model: Path, data: DataSpec, count: int) -> Share | None:
    """The share, where there are two cores, rows in files, and a model without state between samples; else None."""
    if _cores() < 2 or count < 4 * _TIMED_ROWS or not Path(data.source).exists():
        return None
    model = model_tree.read(float_model)
    if len(model.subgraphs) > 1 or any(tensor.isVariable for tensor in model.subgraphs[0].tensors):
        return None
    return Share(float_model=float_model, data=data, positions=data.rows or tuple(range(count)))


def calibrate_part(float_model: str, out: str, data: Mapping[str, Any]) -> Seen:
    """Calibrates with some rows, in a process without TensorFlow, and writes the model with their ranges.

    Raises:
        DataError: rows that would ruin the model.
        DependencyError: the calibrator is not where TensorFlow 2.21 has it.
    """
    rows = open_rows(data, model_tree.inputs(model_tree.read(Path(float_model))))
    library = _calibrator_alone()
    content = library.AddIntermediateTensors(Path(float_model).read_bytes())  # the calibrator only points to it
    calibrator = library.CalibrationWrapper(content, [], [])
    calibrator.Prepare([list(spec.shape) for spec in rows.inputs])
    for row in rows.part():
        calibrator.FeedTensor([row[spec.name] for spec in rows.inputs])
    Path(out).write_bytes(calibrator.Calibrate())
    return rows.seen


def merged(one: bytes, other: bytes) -> bytes:
    """One calibrated model with the ranges of two: the smaller minimum and the larger maximum of each tensor."""
    result = bytearray(one)
    for (_, low, high), (_, other_low, other_high) in zip(_ranges(one), _ranges(other), strict=True):
        struct.pack_into("<f", result, low, min(_float(one, low), _float(other, other_low)))
        struct.pack_into("<f", result, high, max(_float(one, high), _float(other, other_high)))
    return bytes(result)


def ranges_in(content: bytes) -> dict[str, tuple[float, float]]:
    """Tensor name → its range in a calibrated model."""
    return {name: (_float(content, low), _float(content, high)) for name, low, high in _ranges(content)}


def with_ranges(content: bytes, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """A calibrated model with other ranges for the tensors of these names; the others keep theirs."""
    result = bytearray(content)
    for name, low, high in _ranges(content):
        if name in ranges:
            struct.pack_into("<f", result, low, ranges[name][0])
            struct.pack_into("<f", result, high, ranges[name][1])
    return bytes(result)


def _calibrated_here(content: bytes, rows: Rows, second: _SecondProcess | None) -> bytes:
    tf = libraries.tensorflow()
    try:
        from tensorflow.lite.python.optimize import calibrator as tf_calibrator
    except ImportError as error:
        raise DependencyError(
            f"TensorFlow {tf.__version__} has no calibrator where 2.21 has it", hint=install.OPTIMIZE
        ) from error

    def lists() -> Iterator[list[Any]]:
        # lists in the order of the graph's inputs: for dicts the calibrator makes a second interpreter
        for row in rows() if second is None else second.first_half(rows):
            yield [row[spec.name] for spec in rows.inputs]

    calibrator = tf_calibrator.Calibrator(tf_calibrator.add_intermediate_tensors(content))
    return bytes(calibrator.calibrate(lists))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    content: bytes
    seen: Seen


class _SecondProcess:
    """Calibrates with the second half of the rows, if they take long enough, while this process does the first."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._folder = tempfile.TemporaryDirectory(prefix="edgekit-")
        self._thread: threading.Thread | None = None
        self._seen: Seen | None = None
        self._error: EdgekitError | None = None
        self._mine = len(share.positions)

    @property
    def started(self) -> bool:
        """Whether there is a second half."""
        return self._thread is not None

    def first_half(self, rows: Rows) -> Iterator[dict[str, Any]]:
        """The rows for this process: all of them, unless the first few took so long that sharing pays."""
        begin = time.perf_counter()
        stream = rows.part()
        done = 0
        while done < self._mine and (row := next(stream, None)) is not None:
            yield row
            done += 1
            if done == _TIMED_ROWS:
                self._consider((time.perf_counter() - begin) / done, rows)
        if not self.started:
            check_seen((rows.seen,))

    def _consider(self, seconds_per_row: float, rows: Rows) -> None:
        left = len(self._share.positions) - _TIMED_ROWS
        if left * seconds_per_row < self._share.worth_seconds:
            return
        self._mine = _TIMED_ROWS + (left + 1) // 2
        rows.expect(self._mine)
        self._thread = threading.Thread(target=self._work, name="calibration", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        data = dataclasses.replace(self._share.data, rows=self._share.positions[self._mine :])
        try:
            answer = run_once(
                "edgekit.optimize.calibrate:calibrate_part",
                purpose="calibration",
                time_limit_s=_TIME_LIMIT_S,
                float_model=self._share.float_model,
                out=self._out,
                data=data,
            )
            self._seen = decode.from_json(Seen, answer, source="calibration")
        except EdgekitError as error:
            self._error = error

    @property
    def _out(self) -> Path:
        return Path(self._folder.name) / "calibrated.tflite"

    def result(self) -> _Part | None:
        """The other half; None where the process could not do it, which says nothing about the rows."""
        assert self._thread is not None
        self._thread.join()
        if isinstance(self._error, DataError):
            raise self._error
        return None if self._seen is None else _Part(content=self._out.read_bytes(), seen=self._seen)

    def close(self) -> None:
        """Forgets the process's file; it ends with this process at the latest."""
        if self._thread is None or not self._thread.is_alive():
            self._folder.cleanup()


def _calibrator_alone() -> Any:
    """The calibrator's library under empty packages with TensorFlow's names; nothing else of it works afterwards."""
    if "tensorflow" not in sys.modules:
        spec = importlib.util.find_spec("tensorflow")
        if spec is None or not spec.submodule_search_locations:
            raise DependencyError("TensorFlow is not installed", hint=install.OPTIMIZE)
        for package in _PACKAGES:
            module = ModuleType(f"tensorflow{package}")
            module.__path__ = [str(Path(spec.submodule_search_locations[0], *package.split(".")[1:]))]
            sys.modules[module.__name__] = module
    try:
        return importlib.import_module(_WRAPPER)
    except (ImportError, RuntimeError) as error:
        raise DependencyError("TensorFlow has no calibrator where 2.21 has it", hint=install.OPTIMIZE) from error


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ranges(content: bytes) -> list[tuple[str, int, int]]:
    """Name, and places of minimum and maximum, of each tensor that has them."""
    graph = model_tree.schema().Model.GetRootAs(content, 0).Subgraphs(0)
    found = []
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        quantization = tensor.Quantization()
        if quantization is not None and quantization.MinLength() and quantization.MaxLength():
            table = quantization._tab
            places = table.Vector(table.Offset(4)), table.Vector(table.Offset(6))
            found.append((model_tree.text(tensor.Name()), *places))
    return found


def _float(content: bytes, place: int) -> float:
    value: float = struct.unpack_from("<f", content, place)[0]
    return value
