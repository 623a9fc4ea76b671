"""Float32 ``.tflite`` → full-integer, with TensorFlow's own calibrator and quantizer.

TensorFlow's public converter does three things for int8: it converts the SavedModel to a float .tflite, calibrates
that, and quantizes it. The float file is needed anyway, as the baseline that every score is compared with; so only the
last two are done here, with the same functions of TensorFlow that the public converter calls. A test holds the result
equal to the public converter's, tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

from edgekit.core import decode, files
from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.suggest import unknown
from edgekit.data.spec import DataSpec
from edgekit.model import libraries
from edgekit.optimize import converter_errors, kernel_versions, model_tree
from edgekit.optimize.calibrate import Share, calibrated, can_share
from edgekit.optimize.convert import Converted
from edgekit.optimize.export import RecurrentLayer, release_memory
from edgekit.optimize.representative import Rows, open_rows

QuantizeMode = Literal["int8", "int8-float-io", "int16x8"]


def quantize(
    float_model: str,
    out: str,
    mode: str,
    representative: Mapping[str, Any],
    recurrent: Sequence[Mapping[str, str]] = (),
    allow_float: bool = False,
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

    Raises:
        UsageError: unknown mode; ``out`` cannot be written.
        DataError: representative data that would ruin the model.
        ModelError: not a float model, or one that the quantizer refuses.
    """
    wanted = check_mode(mode)
    model = model_tree.read(Path(float_model))
    inputs = model_tree.inputs(model)
    rows = open_rows(representative, inputs, on_event)
    spec = decode.from_json(DataSpec, dict(representative), source="representative dataset", error=DataError)
    share = None if wanted == "int16x8" else can_share(Path(float_model), spec, rows.count)
    layers = tuple(RecurrentLayer(name=item["name"], type=item["type"]) for item in recurrent)
    with task(f"quantize to {mode}", on_event):
        return quantize_rows(
            Path(float_model), Path(out), wanted, rows, recurrent=layers, allow_float=allow_float, share=share
        )


def quantize_rows(
    float_model: Path,
    out: Path,
    mode: QuantizeMode,
    rows: Rows,
    *,
    recurrent: Sequence[RecurrentLayer] = (),
    allow_float: bool = False,
    share: Share | None = None,
) -> Converted:
    """As :func:`quantize`, with the rows themselves."""
    check_float(model_tree.read(float_model), float_model)
    try:
        content, count = _quantized(float_model.read_bytes(), mode, rows, share, allow_float=allow_float)
    except Exception as error:
        by_op = converter_errors.tensors_by_op(model_tree.read(float_model))
        raise converter_errors.explain(error, mode=mode, recurrent=recurrent, layers_of_op=by_op) from error
    model = model_tree.parse(content, str(out))
    if mode == "int16x8":  # TensorFlow's older quantizer, which does these, leaves the versions as they were
        kernel_versions.raise_versions(model)
        kernel_versions.set_min_runtime(model, at_least=kernel_versions.INT16_ACTIVATIONS)
        content = model_tree.pack(model)
    files.write_bytes(out, content)
    result = Converted(
        path=str(out),
        mode=mode,
        size_bytes=len(content),
        inputs=model_tree.inputs(model),
        outputs=model_tree.outputs(model),
        samples=count,
    )
    del model, content
    release_memory(result.size_bytes)
    return result


def check_mode(mode: str) -> QuantizeMode:
    """The mode, if it is one that needs representative data.

    Raises:
        UsageError: it is not.
    """
    known = get_args(QuantizeMode)
    if mode not in known:
        message, hint = unknown("quantization mode", mode, known)
        raise UsageError(message, hint=hint)
    return cast(QuantizeMode, mode)


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


def _quantized(
    content: bytes, mode: QuantizeMode, rows: Rows, share: Share | None, *, allow_float: bool
) -> tuple[bytes, int]:
    tf = libraries.tensorflow()
    from tensorflow.lite.python import convert as tf_convert

    if mode == "int16x8":
        return _quantized_int16(content, rows, allow_float=allow_float), rows.seen.count
    edge = tf.int8 if mode == "int8" else tf.float32
    ranged, count = calibrated(content, rows, share)
    quantized = tf_convert.mlir_quantize(ranged, input_data_type=edge, output_data_type=edge)
    return bytes(tf_convert.deduplicate_readonly_buffers(quantized)), count


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
