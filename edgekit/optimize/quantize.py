"""Float32 ``.tflite`` → full-integer, with TensorFlow's own calibrator and quantizer.

TensorFlow's public converter does three things for int8: it converts the SavedModel to a float .tflite, calibrates
that, and quantizes it. The float file is needed anyway, as the baseline that every score is compared with; so only the
last two are done here, with the same functions of TensorFlow that the public converter calls. A test holds the result
equal to the public converter's, tensor by tensor.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from edgekit.core import decode
from edgekit.core.errors import DataError, ModelError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.data.spec import DataSpec
from edgekit.model import libraries
from edgekit.optimize import converter_errors, kernel_versions, model_tree
from edgekit.optimize.calibrate import calibrated, can_share, ranges_in, with_ranges
from edgekit.optimize.convert import Converted, check_mode, write
from edgekit.optimize.export import RecurrentLayer, release_memory
from edgekit.optimize.passes.around import calibrate_with, finish
from edgekit.optimize.passes.choice import NO_PASSES, Passes, check_passes
from edgekit.optimize.representative import Rows, open_rows

QuantizeMode = Literal["int8", "int8-float-io", "int16x8"]
MODES: tuple[QuantizeMode, ...] = get_args(QuantizeMode)


def quantize(
    float_model: str,
    out: str,
    mode: str,
    representative: Mapping[str, Any],
    recurrent: Sequence[Mapping[str, str]] = (),
    allow_float: bool = False,
    ranges: str = "minmax",
    equalize: bool = False,
    bias_correction: bool = False,
    on_event: EventSink = ignore,
) -> Converted:
    """Quantizes what :func:`edgekit.optimize.convert.convert` wrote as float32. Runs in the TensorFlow child.

    Args:
        float_model: the float32 file.
        out: the ``.tflite`` to write.
        mode: ``int8`` (integer inputs and outputs), ``int8-float-io`` or ``int16x8`` (int16 inputs and outputs).
        representative: a :class:`edgekit.data.spec.DataSpec` as JSON values.
        recurrent: the ``recurrent`` of the export, for error messages.
        allow_float: let ops without an int16x8 kernel stay in float. In int8 the quantizer always does that; the audit
            tells.
        ranges, equalize, bias_correction: see :class:`edgekit.optimize.passes.choice.Passes`; int8 alone.

    Raises:
        UsageError: unknown mode, or a pass that does not fit it; ``out`` cannot be written.
        DataError: representative data that would ruin the model.
        ModelError: not a float model, or one that the quantizer refuses.
    """
    wanted = check_mode(mode, MODES, "quantization mode")
    passes = check_passes(wanted, ranges, equalize, bias_correction)
    layers = tuple(RecurrentLayer(name=item["name"], type=item["type"]) for item in recurrent)
    with task(f"quantize to {mode}", on_event):
        if wanted == "int16x8":
            return _quantize_int16(
                Path(float_model), Path(out), representative, layers, allow_float=allow_float, on_event=on_event
            )
        quantizer = open_quantizer(Path(float_model), wanted, representative, layers, passes, on_event)
        content, notes = finish(quantizer, quantizer.build(), passes, on_event)
        model = model_tree.parse(content, out)
        result = write(
            model, content, Path(out), mode, samples=quantizer.samples, notes=notes, notices=quantizer.notices
        )
    del model, content
    release_memory(result.size_bytes)
    return result


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TensorflowQuantizer:
    """A calibrated float model, quantized to int8 as often as wanted: calibration is what takes the time.

    Attributes:
        source: name of the float file, for messages.
        content: the float32 .tflite that is quantized, after the passes before quantization.
        ranged: the same with a range for every tensor.
        mode: ``int8`` or ``int8-float-io``.
        rows: it was calibrated with.
        samples: how many they are.
        recurrent: layers with a loop, for error messages.
        notes, notices: of the passes.
    """

    source: str
    content: bytes
    ranged: bytes
    mode: QuantizeMode
    rows: Rows
    samples: int
    recurrent: tuple[RecurrentLayer, ...] = ()
    notes: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()

    def build(self, keep: Collection[str] = (), keep_as: str = "float32") -> bytes:
        """The quantized .tflite.

        Args:
            keep: names of the first output tensors of ops that stay in float32.
            keep_as: ``float32``; this quantizer has no other way.

        Raises:
            ModelError: the quantizer refuses the model.
        """
        assert keep_as == "float32", keep_as
        tf = libraries.tensorflow()
        from tensorflow.lite.python import convert as tf_convert

        edge = tf.int8 if self.mode == "int8" else tf.float32
        denied = {"denylisted_nodes": set(keep)} if keep else {}
        try:
            quantized = tf_convert.mlir_quantize(self.ranged, input_data_type=edge, output_data_type=edge, **denied)
            return bytes(tf_convert.deduplicate_readonly_buffers(quantized))
        except Exception as error:
            by_op = converter_errors.tensors_by_op(model_tree.parse(self.content, self.source))
            raise converter_errors.explain(
                error, mode=self.mode, recurrent=self.recurrent, layers_of_op=by_op
            ) from error

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Tensor name → range."""
        return ranges_in(self.ranged)

    def with_ranges(self, ranges: Mapping[str, tuple[float, float]]) -> TensorflowQuantizer:
        """The same with other ranges for these tensors."""
        return dataclasses.replace(self, ranged=with_ranges(self.ranged, ranges))

    def told(self, notes: Collection[str], notices: Collection[Notice] = ()) -> TensorflowQuantizer:
        """The same with more notes and notices."""
        return dataclasses.replace(self, notes=(*self.notes, *notes), notices=(*self.notices, *notices))


def open_quantizer(
    float_model: Path,
    mode: QuantizeMode,
    representative: Mapping[str, Any],
    recurrent: tuple[RecurrentLayer, ...] = (),
    passes: Passes = NO_PASSES,
    on_event: EventSink = ignore,
) -> TensorflowQuantizer:
    """Calibrates once; with the passes that come before quantization.

    Raises:
        DataError: representative data that would ruin the model.
        ModelError: not a float model, or one that the calibrator refuses.
    """
    model = model_tree.read(float_model)
    check_float(model, float_model)
    rows = open_rows(representative, model_tree.inputs(model), on_event)
    spec = decode.from_json(DataSpec, dict(representative), source="representative dataset", error=DataError)

    def calibrate(content: bytes) -> TensorflowQuantizer:
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            path = float_model
            if content is not given:  # a second process reads the file
                path = Path(folder) / float_model.name
                path.write_bytes(content)
            try:
                ranged, count = calibrated(content, rows, can_share(path, spec, rows.count))
            except Exception as error:
                by_op = converter_errors.tensors_by_op(model)
                raise converter_errors.explain(error, mode=mode, recurrent=recurrent, layers_of_op=by_op) from error
        return TensorflowQuantizer(
            source=float_model.name,
            content=content,
            ranged=ranged,
            mode=mode,
            rows=rows,
            samples=count,
            recurrent=recurrent,
        )

    given = float_model.read_bytes()
    return calibrate_with(given, float_model.name, rows, passes, calibrate)


def check_float(model: Any, path: Path) -> None:
    """Refuses a model that is quantized already.

    Raises:
        ModelError: it has integer or float16 weights, or QUANTIZE ops.
    """
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        kind = model_tree.dtype(tensor)
        quantization = tensor.quantization
        scaled = quantization is not None and quantization.scale is not None and len(quantization.scale) > 0
        if kind == "float16" or (scaled and kind in ("int8", "uint8", "int16", "int4")):
            raise ModelError(
                f"{path.name} is quantized already (the tensor {model_tree.text(tensor.name)!r} is {kind})",
                hint="give the float32 .tflite or the Keras model that it was made from",
            )


def _quantize_int16(
    float_model: Path,
    out: Path,
    representative: Mapping[str, Any],
    recurrent: tuple[RecurrentLayer, ...],
    *,
    allow_float: bool,
    on_event: EventSink,
) -> Converted:
    model = model_tree.read(float_model)
    check_float(model, float_model)
    rows = open_rows(representative, model_tree.inputs(model), on_event)
    try:
        content = _quantized_int16(float_model.read_bytes(), rows, allow_float=allow_float)
    except Exception as error:
        by_op = converter_errors.tensors_by_op(model)
        raise converter_errors.explain(error, mode="int16x8", recurrent=recurrent, layers_of_op=by_op) from error
    model = model_tree.parse(content, str(out))
    # TensorFlow's older quantizer, which does these, leaves the versions as they were
    kernel_versions.raise_versions(model)
    kernel_versions.set_min_runtime(model, at_least=kernel_versions.INT16_ACTIVATIONS)
    content = model_tree.pack(model)
    result = write(model, content, out, "int16x8", samples=rows.seen.count)
    del model, content
    release_memory(result.size_bytes)
    return result


def _quantized_int16(content: bytes, rows: Rows, *, allow_float: bool) -> bytes:
    """TensorFlow does 16-bit activations with an older quantizer, which calibrates by itself."""
    tf = libraries.tensorflow()
    from tensorflow.lite.python import convert as tf_convert
    from tensorflow.lite.python import util as tf_util
    from tensorflow.lite.python.optimize import calibrator as tf_calibrator

    def lists() -> Iterator[list[Any]]:
        for row in rows():
            yield [row[spec.name] for spec in rows.inputs]

    calibrator = tf_calibrator.Calibrator(tf_calibrator.add_intermediate_tensors(content))
    quantized = calibrator.calibrate_and_quantize(lists, tf.int16, tf.int16, allow_float, tf.int16, tf.int64)
    quantized = tf_util.modify_model_io_type(quantized, tf.int16, tf.int16)
    return bytes(tf_convert.deduplicate_readonly_buffers(quantized))
