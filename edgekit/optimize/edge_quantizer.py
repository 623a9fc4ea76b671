"""The door to ai-edge-quantizer: a float32 ``.tflite`` that is calibrated once and quantized as often as wanted."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from edgekit.core import install
from edgekit.core.errors import DataError, DependencyError, EdgekitError, ModelError
from edgekit.core.events import EventSink, ignore
from edgekit.core.notice import Notice
from edgekit.optimize import model_tree
from edgekit.optimize.fixed_shapes import with_fixed_shapes
from edgekit.optimize.passes.around import calibrate_with
from edgekit.optimize.passes.choice import NO_PASSES, Passes
from edgekit.optimize.quantize import check_float
from edgekit.optimize.representative import Rows, open_rows

TfliteMode = Literal["int8", "int8-float-io", "int16x8", "dynamic"]
_EVERYTHING = ".*"
# rows that are held at a time: the quantizer goes through its calibration data twice, so it must be a list
_CHUNK_BYTES = 16 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EdgeQuantizer:
    """A calibrated float model, quantized as often as wanted: calibration is what takes the time.

    Attributes:
        source: name of the float file, for messages.
        content: the float32 .tflite that is quantized, with fixed shapes, after the passes before quantization.
        statistics: tensor name → its range, as ai-edge-quantizer keeps it.
        mode: ``int8``, ``int8-float-io`` or ``int16x8``.
        rows: it was calibrated with.
        samples: how many they are.
        notes, notices: of the passes.
    """

    source: str
    content: bytes
    statistics: Mapping[str, Any]
    mode: TfliteMode
    rows: Rows
    samples: int
    notes: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()

    def build(self, keep: Collection[str] = (), keep_as: str = "float32") -> bytes:
        """The quantized .tflite, without the op versions that it needs (:func:`write_versioned`).

        Args:
            keep: names of the first output tensors of ops that stay out of the mode.
            keep_as: ``float32``, or ``int16``: 16-bit activations with 8-bit weights.

        Raises:
            ModelError: the quantizer refuses the model.
        """
        try:
            work = _configured(_aeq(), self.content, self.mode)
            for scope in _scopes(self.content, self.source, keep):
                _keep(work, f"^{re.escape(scope)}$", keep_as, edge_bits=8 if self.mode == "int8" else None)
            return bytes(work.quantize(dict(self.statistics), enable_progress_report=False).quantized_model)
        except EdgekitError:
            raise
        except Exception as error:
            raise _refused(self.source, self.mode, error) from error

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Tensor name → range."""
        return {
            name: (float(found["min"].min()), float(found["max"].max()))
            for name, found in self.statistics.items()
            if found
        }

    def with_ranges(self, ranges: Mapping[str, tuple[float, float]]) -> EdgeQuantizer:
        """The same with other ranges for these tensors."""
        changed = dict(self.statistics)
        for name in ranges.keys() & changed.keys():
            ends = zip(("min", "max"), ranges[name])
            changed[name] = {**changed[name], **{end: changed[name][end] * 0 + value for end, value in ends}}
        return dataclasses.replace(self, statistics=changed)

    def told(self, notes: Collection[str], notices: Collection[Notice] = ()) -> EdgeQuantizer:
        """The same with more notes and notices."""
        return dataclasses.replace(self, notes=(*self.notes, *notes), notices=(*self.notices, *notices))


def open_edge_quantizer(
    source: Path,
    mode: TfliteMode,
    representative: Mapping[str, Any] | None,
    passes: Passes = NO_PASSES,
    on_event: EventSink = ignore,
) -> EdgeQuantizer:
    """Calibrates once; with the passes that come before quantization.

    Raises:
        DependencyError: ai-edge-quantizer is not installed.
        DataError: representative data that are missing, or would ruin the model.
        ModelError: not a float32 model, or one that the calibrator refuses.
    """
    aeq = _aeq()
    model = model_tree.read(source)
    check_float(model, source)
    if representative is None:
        raise DataError(
            f"{mode} needs representative data",
            hint="give 100 to 500 typical inputs with --representative (or --data)",
        )
    rows = open_rows(representative, _one_sample(model, source), on_event)

    def calibrate(content: bytes) -> EdgeQuantizer:
        try:
            signed, signature = _signed(content, source.name)
            recipe = _configured(aeq, signed, mode).get_quantization_recipe()
            statistics, samples = _calibrated(aeq, signed, recipe, signature, rows)
        except EdgekitError:
            raise
        except Exception as error:
            raise _refused(source.name, mode, error) from error
        return EdgeQuantizer(
            source=source.name, content=signed, statistics=statistics, mode=mode, rows=rows, samples=samples
        )

    fixed = with_fixed_shapes(source.read_bytes(), source.name)
    return calibrate_with(fixed, source.name, rows, passes, calibrate)


def quantized_dynamic(source: Path) -> bytes:
    """The file with 8-bit weights and float activations, which needs no calibration.

    Raises:
        DependencyError, ModelError: see :func:`open_edge_quantizer`.
    """
    aeq = _aeq()
    check_float(model_tree.read(source), source)
    try:
        content, _ = _signed(with_fixed_shapes(source.read_bytes(), source.name), source.name)
        return bytes(_configured(aeq, content, "dynamic").quantize(enable_progress_report=False).quantized_model)
    except EdgekitError:
        raise
    except Exception as error:
        raise _refused(source.name, "dynamic", error) from error


def _refused(source: str, mode: str, error: Exception) -> ModelError:
    return ModelError(
        f"{source} cannot be quantized to {mode}: {' '.join(str(error).split())[:300]}",
        hint="use --mode dynamic, or quantize the Keras model that it was made from",
    )


def _aeq() -> Any:
    """The modules of ai-edge-quantizer."""
    try:
        from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
        from ai_edge_quantizer.utils import qsv_utils
    except ImportError as error:
        raise DependencyError(f"ai-edge-quantizer is not installed ({error})", hint=install.QUANTIZE) from error
    return SimpleNamespace(
        calibrator=calibrator,
        names=qtyping.TFLOperationName,
        quantizer=quantizer,
        recipe=recipe_manager.RecipeManager,
        min_max=qsv_utils.min_max_update,
    )


def _one_sample(model: Any, source: Path) -> tuple[Any, ...]:
    """The inputs, each with batch 1.

    Raises:
        ModelError: an input of open size or with another batch.
    """
    specs = model_tree.inputs(model)
    for spec in specs:
        if not spec.shape or spec.shape[0] not in (1, -1) or any(size < 0 for size in spec.shape[1:]):
            raise ModelError(
                f"{source.name}: the input {spec.name!r} has the shape {spec.shape}; calibration needs "
                "a batch of 1 and fixed sizes",
                hint="convert the Keras model again: edgekit convert MODEL -o MODEL.tflite",
            )
    return specs


def _configured(aeq: Any, content: bytes, mode: TfliteMode) -> Any:
    """ai-edge-quantizer's quantizer with the recipe of the mode."""
    work = aeq.quantizer.Quantizer(content)
    if mode == "dynamic":
        work.add_dynamic_config(regex=_EVERYTHING, operation_name=aeq.names.ALL_SUPPORTED, num_bits=8)
        return work
    bits = 16 if mode == "int16x8" else 8
    work.add_static_config(
        regex=_EVERYTHING, operation_name=aeq.names.ALL_SUPPORTED, activation_num_bits=bits, weight_num_bits=8
    )
    if mode == "int8-float-io":
        for edge in (aeq.names.INPUT, aeq.names.OUTPUT):
            work.update_quantization_recipe(regex=_EVERYTHING, operation_name=edge, algorithm_key="no_quantize")
    return work


def _scopes(content: bytes, source: str, keep: Collection[str]) -> list[str]:
    """ai-edge-quantizer's names of the ops with these first outputs: all their outputs, a semicolon after each."""
    if not keep:
        return []
    model = model_tree.parse(content, source)
    graph = model.subgraphs[0]
    named = [[model_tree.text(graph.tensors[int(index)].name) for index in op.outputs] for op in graph.operators]
    return ["".join(f"{name};" for name in names) for names in named if names and names[0] in keep]


def _keep(work: Any, regex: str, keep_as: str, *, edge_bits: int | None) -> None:
    """Takes the ops whose outputs' names match out of int8; where one of them is the model's, that stays as it was."""
    names = _aeq().names
    if keep_as == "float32":
        work.update_quantization_recipe(regex=regex, operation_name=names.ALL_SUPPORTED, algorithm_key="no_quantize")
    else:
        work.add_static_config(
            regex=regex, operation_name=names.ALL_SUPPORTED, activation_num_bits=16, weight_num_bits=8
        )
    if edge_bits is None:
        work.update_quantization_recipe(regex=regex, operation_name=names.OUTPUT, algorithm_key="no_quantize")
    else:
        work.add_static_config(
            regex=regex, operation_name=names.OUTPUT, activation_num_bits=edge_bits, weight_num_bits=8
        )


def _calibrated(aeq: Any, content: bytes, recipe: Any, signature: str, rows: Rows) -> tuple[Mapping[str, Any], int]:
    """The range of every tensor over all rows, and how many they were.

    Minimum and maximum, as TensorFlow takes them. The quantizer's default, a moving average, clips small tensors hard:
    on a tensor of 7 normal values it keeps about half of the range.
    """
    rules = aeq.recipe()
    rules.load_quantization_recipe(recipe)
    calibrator = aeq.calibrator.Calibrator(content, num_threads=1, qsv_update_func=aeq.min_max)
    for chunk in _chunks(rows):
        calibrator.calibrate({signature: chunk}, rules)
    return calibrator.get_model_qsvs(), rows.seen.count


def _chunks(rows: Rows) -> Iterator[list[dict[str, Any]]]:
    """Rows in lists of bounded size."""
    stream = rows()
    for first in stream:
        size = max(1, sum(array.nbytes for array in first.values()))
        yield [first, *islice(stream, max(0, _CHUNK_BYTES // size - 1))]


def _signed(content: bytes, source: str) -> tuple[bytes, str]:
    """The model with a signature, which calibration goes by, and its key; older converters write none."""
    model = model_tree.parse(content, source)
    if model.signatureDefs:
        return content, model_tree.text(model.signatureDefs[0].signatureKey)
    graph, schema = model.subgraphs[0], model_tree.schema()
    entry = schema.SignatureDefT()
    entry.signatureKey, entry.subgraphIndex = b"serving_default", 0
    for side in ("inputs", "outputs"):
        named = []
        for index in getattr(graph, side):
            named.append(schema.TensorMapT())
            named[-1].name, named[-1].tensorIndex = graph.tensors[int(index)].name, int(index)
        setattr(entry, side, named)
    model.signatureDefs = [entry]
    return model_tree.pack(model), "serving_default"
