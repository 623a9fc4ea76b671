"""Trains a model with quantization in mind and converts it to a full-integer ``.tflite``."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from edgekit.core import decode, files
from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.suggest import unknown
from edgekit.model import libraries, load
from edgekit.model.load import LoadedModel
from edgekit.optimize import model_tree, written
from edgekit.optimize.elsewhere import evenly
from edgekit.optimize.export import fixed_input, recurrent_layers
from edgekit.optimize.finetune import Tuning, plan_tuning
from edgekit.optimize.qat import annotate, kept
from edgekit.optimize.qat.account import explain
from edgekit.optimize.qat.convert import convert
from edgekit.optimize.qat.flatten import Flat, check, flatten
from edgekit.optimize.qat.prepared import Prepared, keep_zeros
from edgekit.optimize.qat.ranges import Ranges, batches_of
from edgekit.optimize.qat.record import LayerTreatment, Preserve, Qat
from edgekit.optimize.representative import Rows, open_rows
from edgekit.optimize.training import input_packer
from edgekit.optimize.tuning import FineTuning

_MODES = ("int8", "int8-float-io")
_LEARNING_RATE = 1e-4  # of a trained model that only has to get used to int8
_FUSED = ("LSTM", "Bidirectional")
_RANGE_ROWS, _RANGE_BATCH, _CALIBRATION_ROWS = 512, 32, 300


def qat(
    source: str,
    out: str,
    data: Mapping[str, Any] | None = None,
    *,
    mode: str = "int8",
    preserve: str = "none",
    representative: Mapping[str, Any] | None = None,
    tuning: Mapping[str, Any] | None = None,
    teacher: str | None = None,
    trust: bool = False,
    on_event: EventSink = ignore,
) -> Qat:
    """Trains a copy of the model in ``source`` while int8 is simulated, and writes it as ``out``.

    Runs in the TensorFlow child. Layers that TFMOT cannot simulate train in float and are calibrated with
    representative rows, so that the file is full-integer where the ops allow it.

    Args:
        source: Keras 3 or tf_keras model.
        out: the ``.tflite`` to write.
        data: training rows, a :class:`edgekit.data.spec.DataSpec` as JSON values; None: no training, and the result is
            no better than post-training quantization.
        mode: ``int8`` (integer inputs and outputs) or ``int8-float-io``.
        preserve: what of earlier steps training keeps: ``none``; ``sparsity``, the zeros (PQAT); ``clusters``, the
            shared values (CQAT); ``both`` (PCQAT).
        representative: rows to calibrate with, likewise; None: some of ``data``.
        tuning: a :class:`~edgekit.optimize.tuning.FineTuning` as JSON values; None: its defaults, with a learning rate
            of 1e-4.
        teacher: model whose outputs ``fine_tune="distill"`` learns.
        trust: allow code inside the model file.

    Raises:
        UsageError: a parameter that makes no sense; ``out`` cannot be written.
        ModelError: a model that cannot be loaded, has nothing that TFMOT can simulate, or cannot be converted.
        DataError: rows that do not fit.
    """
    wanted = FineTuning.of(tuning if tuning is not None else {"learning_rate": _LEARNING_RATE})
    keeping = _checked(mode, preserve, Path(out))
    with written.changing(source, trust=trust, on_event=on_event) as loaded:
        written.check_layers(loaded, "trained with quantization in mind")
        model, difference = _as_tf_keras(loaded)
        _check_recurrent(model, loaded)
        rows = _representative(loaded, representative, data, on_event)
        course, notices = plan_tuning(
            loaded, data, wanted, Path(teacher) if teacher else None, trust=trust, on_event=on_event
        )
        with task("prepare", on_event):
            prepared = _prepared(loaded, model, rows, keeping)
        losses: list[float] = []
        if course is not None:
            with task("qat", on_event):
                losses = _train(course, prepared, loaded, on_event)
        with task(f"convert to {mode}", on_event):
            content = convert(prepared.simulated, loaded, load.output_names(loaded), rows, mode)
        files.write_bytes(Path(out), content)
    layers = kept.compare(prepared.kernels, content)
    account = explain(prepared, keeping, layers, course, difference)
    tree = model_tree.parse(content, out)
    return Qat(
        path=out,
        mode=mode,
        size_bytes=len(content),
        inputs=model_tree.inputs(tree),
        outputs=model_tree.outputs(tree),
        samples=rows.seen.count,
        preserve=keeping,
        layers=account.layers,
        removed=prepared.flat.removed,
        kept=layers,
        steps=course.steps if course else 0,
        loss=course.loss.described if course else "",
        losses=tuple(losses),
        rebuilt_difference=difference,
        notes=account.notes,
        notices=(*loaded.notices, *notices, *account.notices),
    )


def _checked(mode: str, preserve: str, out: Path) -> Preserve:
    if mode not in _MODES:
        message, hint = unknown("mode", mode, _MODES)
        raise UsageError(f"quantization-aware training: {message}", hint=hint)
    if out.suffix != ".tflite":
        raise UsageError(f"{out.name} does not end in .tflite", hint=f"-o {out.with_suffix('.tflite')}")
    for known in get_args(Preserve):
        if known == preserve:
            found: Preserve = known
            return found
    message, hint = unknown("preserve", preserve, get_args(Preserve))
    raise UsageError(message, hint=hint)


def _as_tf_keras(loaded: LoadedModel) -> tuple[Any, float | None]:
    """The model that TFMOT gets: the user's own, or the tf_keras copy of a Keras 3 one."""
    if loaded.library == "tf_keras":
        return loaded.model, None
    from edgekit.model.rebuild import RebuildRefused, rebuild_as_tf_keras

    try:
        rebuilt = rebuild_as_tf_keras(loaded.model)
    except RebuildRefused as refused:
        raise ModelError(
            f"{loaded.path.name} cannot be trained with quantization in mind: {refused.message}",
            hint="use quantize --mode int8 instead (recipe int8), which needs no rebuilt model",
            details=refused.details,
        ) from refused
    return rebuilt.model, rebuilt.max_abs_difference


def _check_recurrent(model: Any, loaded: LoadedModel) -> None:
    """The converter crashes when it calibrates a loop, so that is said before hours of training."""
    loops = [layer for layer in recurrent_layers(model) if layer.type not in _FUSED]
    if loops:
        named = ", ".join(f"{layer.name} ({layer.type})" for layer in loops)
        raise ModelError(
            f"{loaded.path.name} has recurrent layers that the converter cannot make int8: {named}",
            hint="use --mode dynamic, or replace these layers by LSTM, which becomes one fused op that int8 can do",
        )


def _representative(
    loaded: LoadedModel, representative: Mapping[str, Any] | None, data: Mapping[str, Any] | None, on_event: EventSink
) -> Rows:
    """Rows to calibrate with: those given, or some of the training rows, evenly spread."""
    specs = [dataclasses.replace(fixed_input(spec), name=spec.name) for spec in load.input_specs(loaded)]
    if representative is not None:
        return open_rows(representative, specs, on_event)
    if data is None:
        raise DataError(
            "quantization-aware training needs rows to find the ranges with",
            hint="give typical inputs with --representative (or --data)",
        )
    from edgekit.data.dataset import open_dataset
    from edgekit.data.spec import DataSpec

    spec = decode.from_json(DataSpec, dict(data), source="training dataset", error=DataError)
    count = open_dataset(spec, inputs=specs).count
    some = tuple(evenly(spec, count, _CALIBRATION_ROWS)) if count > _CALIBRATION_ROWS else spec.rows
    return open_rows(decode.to_json(dataclasses.replace(spec, rows=some)), specs, on_event)


def _prepared(loaded: LoadedModel, model: Any, rows: Rows, keeping: Preserve) -> Prepared:
    flat = flatten(model, load.input_names(loaded))
    treated = annotate.treatments(flat)
    _check_any(flat, treated, loaded)
    names = [str(tensor.name).split(":")[0] for tensor in flat.model.inputs]
    batches = batches_of(itertools.islice(rows.part(), _RANGE_ROWS), names, _RANGE_BATCH)
    first = next(batches)
    check(flat, model, first)
    simulated = annotate.simulating(flat, treated, keeping)
    for layer in simulated.layers:
        inner = getattr(layer, "layer", layer)
        if type(inner).__name__ == "BatchNormalization":
            inner.trainable = False
    Ranges(simulated).find(itertools.chain([first], batches))
    return Prepared(
        flat=flat,
        treated=treated,
        simulated=simulated,
        kernels=kept.kernels(flat.model, flat.origin, keeping),
        input_names=tuple(names),
    )


def _check_any(flat: Flat, treated: Mapping[str, LayerTreatment], loaded: LoadedModel) -> None:
    weighted = [layer.name for layer in flat.model.layers if layer.weights]
    if not any(treated[name].treatment == "trained" for name in weighted if name in treated):
        reasons = "; ".join(
            f"{treated[name].name} ({treated[name].type}): {treated[name].reason}" for name in weighted[:5]
        )
        raise ModelError(
            f"nothing in {loaded.path.name} can be trained with quantization in mind: {reasons or 'it has no weights'}",
            hint="use quantize --mode int8 instead (recipe int8)",
        )


def _train(course: Tuning, prepared: Prepared, loaded: LoadedModel, on_event: EventSink) -> list[float]:
    tf, library = libraries.tensorflow(), libraries.tf_keras()
    structure = input_packer(loaded)({name: name for name in load.input_names(loaded)})
    order = tf.nest.flatten(structure)

    def repacked(inputs: Any, *targets: Any) -> Any:
        """The flat model takes a list, whatever structure the user's takes."""
        values = dict(zip(order, tf.nest.flatten(inputs), strict=True))
        return (tuple(values[name] for name in prepared.input_names), *targets)

    flat = dataclasses.replace(course, stream=course.stream.map(repacked))
    callbacks = [keep_zeros(library, prepared)] if any(kernel.sparse for kernel in prepared.kernels) else []
    return flat.fit(library, prepared.simulated, callbacks, on_event, step="qat")
