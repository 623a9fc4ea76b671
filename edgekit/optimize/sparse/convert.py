"""Exported SavedModel → ``.tflite`` whose sparse weights are stored in the sparse encoding, float32 or float16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from edgekit.core.errors import ModelError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.model import libraries
from edgekit.optimize import convert, converter_errors, model_tree
from edgekit.optimize.convert import Converted
from edgekit.optimize.export import SIGNATURE, Exported, read_record
from edgekit.optimize.sparse.rules import ENOUGH_ZEROS, SparseFit, examine

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

SparseMode = Literal["float32", "float16"]
_MODES: tuple[SparseMode, ...] = get_args(SparseMode)
_SAMPLES = 3
_TOLERANCE = 1e-4  # of the largest output; the same products in another order


def convert_sparse(saved_model: str, out: str, mode: str = "float32", on_event: EventSink = ignore) -> Converted:
    """Converts a folder that :func:`edgekit.optimize.export.export` wrote. Runs in the TensorFlow child.

    The result is compared with the dense conversion of the same folder, and its sparse tensors are counted.

    Args:
        saved_model: the folder.
        out: the ``.tflite`` to write.
        mode: ``float32`` or ``float16``; there are no sparse kernels for integers.

    Raises:
        UsageError: unknown mode; ``out`` cannot be written.
        ModelError: no weights are sparse enough, the converter refuses an op, or the outputs differ.
    """
    wanted = convert.check_mode(mode, _MODES, "sparse conversion mode")
    exported = read_record(Path(saved_model))
    with task(f"convert to sparse {mode}", on_event):
        content = _converted(exported, wanted, sparse=True)
        model = model_tree.parse(content, out)
        count = _encoded(model)
        if not count:
            raise ModelError(
                "no weights of this model are sparse enough to be stored in the sparse encoding",
                hint="prune it first: the step xnnpack-sparse, or prune with sparsity = 0.8",
            )
        dense = _converted(exported, wanted, sparse=False)
        difference = _difference(dense, content)
        fit = examine(model)
        stored = (
            f"{count} tensors are stored in the sparse encoding: {len(content):,} bytes, and {len(dense):,} when "
            f"stored dense (largest difference of outputs {difference:.1e})"
        )
        return convert.write(
            model, content, Path(out), mode, notes=(*exported.notes, stored, _verdict(fit)), notices=_notices(fit)
        )


def _converted(exported: Exported, mode: SparseMode, *, sparse: bool) -> bytes:
    tf = libraries.tensorflow()
    converter = tf.lite.TFLiteConverter.from_saved_model(exported.path, signature_keys=[SIGNATURE])
    optimizations = []
    if sparse:
        optimizations.append(tf.lite.Optimize.EXPERIMENTAL_SPARSITY)
    if mode == "float16":
        optimizations.append(tf.lite.Optimize.DEFAULT)
        converter.target_spec.supported_types = [tf.float16]
    converter.optimizations = optimizations
    try:
        return bytes(converter.convert())
    except Exception as error:
        raise converter_errors.explain(error, mode=mode, recurrent=exported.recurrent) from error


def _encoded(model: Any) -> int:
    """Tensors in the sparse encoding that a DENSIFY op unpacks, which is what XNNPACK looks for."""
    unpacked = {
        int(op.inputs[0])
        for op in model.subgraphs[0].operators
        if model_tree.op_name(model, op) in ("DENSIFY", "DEQUANTIZE")
    }
    return sum(tensor.sparsity is not None for at, tensor in enumerate(model.subgraphs[0].tensors) if at in unpacked)


def _difference(dense: bytes, sparse: bytes) -> float:
    """Largest absolute difference of any output between the two files, on seeded inputs.

    Raises:
        ModelError: they differ by more than the order of addition explains.
    """
    import numpy

    random = numpy.random.default_rng(0)
    first, second = _interpreter(dense), _interpreter(sparse)
    worst = 0.0
    for _ in range(_SAMPLES):
        rows = {
            detail["name"]: random.random(detail["shape"]).astype(detail["dtype"])
            for detail in first.get_input_details()
        }
        for old, new in zip(_run(first, rows), _run(second, rows), strict=True):
            difference = float(numpy.abs(old.astype("float64") - new).max())
            if not difference <= _TOLERANCE * max(1e-6, float(numpy.abs(old).max())):
                raise ModelError(
                    f"the sparse file gives other outputs than the dense one (by {difference:.2g})",
                    hint="convert without sparse = true",
                )
            worst = max(worst, difference)
    return worst


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return interpreter


def _run(interpreter: Any, rows: Mapping[str, Array]) -> list[Array]:
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], rows[detail["name"]])
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def _verdict(fit: SparseFit) -> str:
    if fit.taken:
        return (
            f"{len(fit.kernels)} 1×1 convolutions with {fit.macs_share:.0%} of the multiply-accumulates have "
            f"{fit.zeros:.0%} zeros and the form that XNNPACK has sparse kernels for: lower latency with LiteRT 1.2 or "
            "later on arm64, none on x86"
        )
    return f"no lower latency anywhere: {_why_not(fit)}"


def _why_not(fit: SparseFit) -> str:
    if not fit.fits:
        return f"XNNPACK has no sparse kernels for this form ({'; '.join(fit.reasons[:3])})"
    if fit.zeros <= ENOUGH_ZEROS:
        return f"{fit.zeros:.0%} of the weights that XNNPACK counts are zero, and it wants more than two thirds"
    return "its 1×1 convolutions are not stored in the sparse encoding"


def _notices(fit: SparseFit) -> tuple[Notice, ...]:
    if fit.taken:
        return ()
    return (
        Notice(
            code="sparse-kernels-not-taken",
            message=f"the weights are stored sparse, but XNNPACK will run the model dense: {_why_not(fit)}",
            hint="put the step xnnpack-sparse before it, or leave sparse out",
        ),
    )
