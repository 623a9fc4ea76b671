"""The one way from a model to the converter: a SavedModel with named inputs, batch 1 and a dict of outputs.

The other ways drop weights (concrete functions of Keras 3 models), lose the order of several inputs, or leave the
batch dimension open, which puts SHAPE and PACK ops into the file and breaks recurrent layers.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core import decode
from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import ModelError, UsageError
from edgekit.core.events import EventSink, ignore, task
from edgekit.model import libraries, load

if TYPE_CHECKING:
    from edgekit.model.load import LoadedModel

SIGNATURE = "serving_default"
RECORD = "edgekit-export.json"
_WORTH_RELEASING = 4 << 20
_FUSED = ("LSTM", "Bidirectional")
_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentLayer:
    """A layer that loops over time; the converter's int8 pass is fragile with them."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What lies in an exported folder.

    Attributes:
        path: the SavedModel.
        library: whose layers were traced: ``keras``, ``tf_keras`` or ``tensorflow``.
        inputs: with batch 1, in the model's order.
        outputs: likewise.
        weights_bytes: of all variables that the outputs depend on, constant ones left out.
        recurrent: layers with a loop.
        rebuilt_difference: largest absolute difference of outputs between the model and the tf_keras copy that was
            exported in its place; None where the model itself was.
        notes: what a person should read.
    """

    path: str
    library: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    weights_bytes: int
    recurrent: tuple[RecurrentLayer, ...]
    rebuilt_difference: float | None
    notes: tuple[str, ...]


def export(source: str, out: str, trust: bool = False, on_event: EventSink = ignore) -> Exported:
    """Exports a model file. Runs in the TensorFlow child.

    Args:
        source: any format of :mod:`edgekit.model.format` but ``.tflite``.
        out: folder of the new SavedModel; appears whole or not at all.
        trust: allow code inside the model file.

    Raises:
        ModelError: the model cannot be loaded, or has an input of open size.
        UsageError: ``out`` cannot be written.
    """
    with task("load the model", on_event):
        loaded = load.load_model(Path(source), trust=trust)
    with task("export", on_event):
        exported = export_loaded(loaded, Path(out))
    del loaded
    load.forget()
    release_memory(exported.weights_bytes)
    return exported


def export_loaded(loaded: LoadedModel, out: Path) -> Exported:
    """Exports a model that is in memory.

    Raises:
        ModelError: an input of open size, or a model that cannot be traced.
        UsageError: ``out`` cannot be written.
    """
    recurrent = recurrent_layers(loaded.model)
    notes: list[str] = []
    difference = None
    if loaded.library == "keras" and any(layer.type in _FUSED for layer in recurrent):
        loaded, difference, note = _fused(loaded, recurrent)
        notes.append(note)
    traced = _trace(loaded)
    exported = Exported(
        path=str(out),
        library=loaded.library,
        inputs=traced.inputs,
        outputs=traced.outputs,
        weights_bytes=_weights_bytes(traced.function),
        recurrent=recurrent,
        rebuilt_difference=difference,
        notes=tuple(notes),
    )
    _save(traced, exported, out)
    return exported


def read_record(folder: Path) -> Exported:
    """The record of a folder that :func:`export` wrote.

    Raises:
        ModelError: it is not such a folder.
    """
    try:
        value = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder} was not exported by edgekit", hint="convert the model file itself: edgekit convert MODEL"
        ) from error
    record = decode.from_json(Exported, value, source=str(folder / RECORD), error=ModelError, lenient=True)
    return dataclasses.replace(record, path=str(folder))  # it may have been moved since


def release_memory(held_bytes: int) -> None:
    """Gives what a finished step held back to the system, so that the peaks of later steps do not pile up.

    ``held_bytes``: about what the step held; a little is not worth the fifth of a second that this takes.
    """
    if held_bytes < _WORTH_RELEASING:
        return
    import ctypes

    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)


def all_layers(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every layer with its path (``outer/inner``), nested models opened; each layer object once."""
    seen: set[int] = set()

    def walk(parent: Any, path: str) -> Iterator[tuple[str, Any]]:
        for layer in getattr(parent, "layers", None) or ():
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            name = f"{path}{layer.name}"
            if getattr(layer, "layers", None) and not hasattr(layer, "cell"):
                yield from walk(layer, f"{name}/")
            else:
                yield name, layer

    yield from walk(model, prefix)


def recurrent_layers(model: Any) -> tuple[RecurrentLayer, ...]:
    """The layers with a loop over time, for messages and for the choice of the path."""
    found = []
    for name, layer in all_layers(model):
        kind = type(layer).__name__
        if kind not in _RECURRENT:
            continue
        inner = getattr(layer, "forward_layer", None)
        if kind == "Bidirectional" and inner is not None:
            kind = "Bidirectional" if type(inner).__name__ == "LSTM" else type(inner).__name__
        found.append(RecurrentLayer(name=name, type=kind))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traced:
    module: Any
    function: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def _fused(loaded: LoadedModel, recurrent: Sequence[RecurrentLayer]) -> tuple[LoadedModel, float | None, str]:
    """The tf_keras copy of a Keras 3 model, whose LSTM layers become one fused op each."""
    from edgekit.model.rebuild import RebuildRefused, rebuild_as_tf_keras

    names = ", ".join(layer.name for layer in recurrent)
    try:
        rebuilt = rebuild_as_tf_keras(loaded.model)
    except RebuildRefused as refused:
        return loaded, None, f"{names}: exported as a loop, not as a fused LSTM op, because {refused.message}"
    note = (
        f"{names}: exported through a tf_keras copy of the model, where an LSTM is one fused op "
        f"(largest difference of outputs {rebuilt.max_abs_difference:.1e})"
    )
    copy = dataclasses.replace(loaded, model=rebuilt.model, library="tf_keras")
    return copy, rebuilt.max_abs_difference, note


def _trace(loaded: LoadedModel) -> _Traced:
    """One sample through the model, as a graph.

    The module keeps hold of the variables: what a SavedModel does not track, the converter drops.
    """
    tf = libraries.tensorflow()
    specs = tuple(fixed_input(spec) for spec in load.input_specs(loaded))
    outputs = load.output_names(loaded)
    module = tf.Module()
    if loaded.library == "keras":
        module.weights_of_model = [variable.value for variable in loaded.model.variables]
    else:
        module.model = loaded.model

    def serve(*values: Any) -> dict[str, Any]:
        if loaded.library != "tensorflow":
            return dict(zip(outputs, load.call_flat(loaded, list(values)), strict=True))
        names = load.input_names(loaded)
        answer = loaded.model.signatures[loaded.signature](**dict(zip(names, values, strict=True)))
        return {name: answer[name] for name in outputs}

    signature = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in specs]
    try:
        function = tf.function(serve, input_signature=signature, autograph=False).get_concrete_function()
    except Exception as error:
        raise ModelError(
            f"{loaded.path.name} cannot run one sample at a time: {' '.join(str(error).split())[:300]}",
            hint="a model with a fixed batch size must be saved with an open one: Input(shape=...) without batch_size",
        ) from error
    answers = tuple(_output(name, tensor) for name, tensor in function.structured_outputs.items())
    return _Traced(module=module, function=function, inputs=specs, outputs=answers)


def _output(name: str, tensor: Any) -> TensorSpec:
    sizes = () if tensor.shape.rank is None else tuple(-1 if n is None else int(n) for n in tensor.shape)
    return TensorSpec(name=name, dtype=tensor.dtype.name, shape=sizes)


def fixed_input(spec: TensorSpec) -> TensorSpec:
    """The input with batch 1.

    Raises:
        ModelError: another dimension is open.
    """
    if not spec.shape or any(size < 0 for size in spec.shape[1:]):
        shown = ", ".join("?" if size < 0 else str(size) for size in spec.shape)
        raise ModelError(
            f"the input {spec.name!r} has an open size: ({shown}); a .tflite for a board needs fixed sizes",
            hint="save the model again with fixed sizes: fixed = keras.Input((224, 224, 3)); "
            "keras.Model(fixed, model(fixed)).save('fixed.keras')",
            details={"input": spec.name},
        )
    # TensorFlow makes two argument names of one with a blank in it
    name = re.sub(r"[^A-Za-z0-9_./-]", "_", spec.name)
    return TensorSpec(name=name, dtype=spec.dtype, shape=(1, *spec.shape[1:]))


def _weights_bytes(function: Any) -> int:
    """Bytes of the variables that the function reads; constant ones fold away and do not count."""
    total = 0
    for variable in {id(v): v for v in function.graph.variables}.values():
        values = variable.numpy()
        if values.size > 1 and values.dtype.kind == "f" and (values != values.flat[0]).any():
            total += values.nbytes
    return total


def _save(traced: _Traced, exported: Exported, out: Path) -> None:
    tf = libraries.tensorflow()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name[:40]}.", dir=out.parent))
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}", hint="choose another place") from error
    try:
        tf.saved_model.save(traced.module, str(temporary / "model"), signatures={SIGNATURE: traced.function})
        (temporary / "model" / RECORD).write_text(json.dumps(decode.to_json(exported), indent=1) + "\n")
        if out.exists():
            shutil.rmtree(out)
        (temporary / "model").replace(out)
    except (OSError, tf.errors.ResourceExhaustedError) as error:
        raise UsageError(f"cannot write {out}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
