"""Exported SavedModel → ``.tflite`` in float32, float16 or with dynamic-range weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from edgekit.core import files
from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import ModelError, UsageError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.core.suggest import unknown
from edgekit.model import libraries
from edgekit.optimize import converter_errors, model_tree
from edgekit.optimize.export import SIGNATURE, Exported, read_record, release_memory

ConvertMode = Literal["float32", "float16", "dynamic"]
_MODES: tuple[ConvertMode, ...] = get_args(ConvertMode)
_Mode = TypeVar("_Mode", bound=str)
_BYTES_PER_WEIGHT = {"float32": 4, "float16": 2, "dynamic": 1, "int8": 1, "int8-float-io": 1, "int16x8": 1}
_STATEFUL = ("READ_VARIABLE", "ASSIGN_VARIABLE", "VAR_HANDLE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A ``.tflite`` that was written.

    Attributes:
        path: of the file.
        mode: its numeric mode.
        size_bytes: of the file.
        inputs: by signature name, with scale and zero point.
        outputs: likewise.
        samples: representative rows that it was calibrated with.
        notes: what a person should read.
        notices: what a person should act on.
    """

    path: str
    mode: str
    size_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    samples: int = 0
    notes: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def convert(saved_model: str, out: str, mode: str = "float32", on_event: EventSink = ignore) -> Converted:
    """Converts a folder that :func:`edgekit.optimize.export.export` wrote. Runs in the TensorFlow child.

    Args:
        saved_model: the folder.
        out: the ``.tflite`` to write.
        mode: ``float32``, ``float16`` or ``dynamic``; the calibrated modes are made from the float32 file by
            :mod:`edgekit.optimize.quantize`.

    Raises:
        UsageError: unknown mode; ``out`` cannot be written.
        ModelError: the converter refuses an op (named, with its layer), or loses the weights.
    """
    wanted = check_mode(mode, _MODES, "conversion mode")
    exported = read_record(Path(saved_model))
    with task(f"convert to {mode}", on_event):
        content = _converted(exported, wanted)
        model = model_tree.parse(content, out)
        check_weights(model, exported, mode)
        result = write(model, content, Path(out), mode, notes=exported.notes)
    del model, content
    release_memory(result.size_bytes)
    return result


def write(
    model: Any,
    content: bytes,
    out: Path,
    mode: str,
    *,
    samples: int = 0,
    notes: Sequence[str] = (),
    notices: Sequence[Notice] = (),
) -> Converted:
    """Writes a ``.tflite`` that was made and gives its record.

    Args:
        model: ``content`` as a ``ModelT``.
        content: of the file.
        out: the file.
        mode, samples, notes, notices: see :class:`Converted`.

    Raises:
        UsageError: ``out`` cannot be written.
    """
    files.write_bytes(out, content)
    return Converted(
        path=str(out),
        mode=mode,
        size_bytes=len(content),
        inputs=model_tree.inputs(model),
        outputs=model_tree.outputs(model),
        samples=samples,
        notes=tuple(notes),
        notices=tuple(notices),
    )


def check_mode(mode: str, known: Sequence[_Mode], what: str) -> _Mode:
    """The mode, if it is one of those.

    Args:
        mode: what was asked for.
        known: what there is.
        what: the name of the choice, for the message.

    Raises:
        UsageError: it is not.
    """
    for name in known:
        if name == mode:
            return name
    message, hint = unknown(what, mode, known)
    raise UsageError(message, hint=hint)


def check_weights(model: Any, exported: Exported, mode: str) -> None:
    """Finds out whether the weights are in the file: some ways through the converter drop them without an error.

    Raises:
        ModelError: variables are left in the graph, or far too few constants are there.
    """
    left = sorted(
        {
            name
            for graph in model.subgraphs
            for op in graph.operators or ()
            if (name := model_tree.op_name(model, op)) in _STATEFUL
        }
    )
    if left:
        raise ModelError(
            f"the conversion left variables in the graph ({', '.join(left)}), so the file does not hold the weights",
            hint="a layer keeps state between calls or creates its variables outside the model; "
            "assign its variables to the layer in __init__ or build",
        )
    expected = exported.weights_bytes * _BYTES_PER_WEIGHT[mode] // 4
    held = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    if held < expected // 10:
        raise ModelError(
            f"the conversion lost the weights: {held} bytes of constants in the file, about {expected} expected",
            hint="report this with the model's layers (edgekit inspect MODEL); float16 or dynamic may fare better",
        )


def _converted(exported: Exported, mode: ConvertMode) -> bytes:
    tf = libraries.tensorflow()
    converter = tf.lite.TFLiteConverter.from_saved_model(exported.path, signature_keys=[SIGNATURE])
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        return bytes(converter.convert())
    except Exception as error:
        raise converter_errors.explain(error, mode=mode, recurrent=exported.recurrent) from error
