"""Brings a Keras model into the form that XNNPACK has sparse kernels for and prunes its 1×1 convolutions far enough."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import ModelError, UsageError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.model import load
from edgekit.model.load import LoadedModel
from edgekit.model.rebuild import RebuildRefused, Rebuilt, copy_weights_back, rebuild_as_tf_keras
from edgekit.optimize import written
from edgekit.optimize.engines import Chosen, with_tfmot
from edgekit.optimize.finetune import Tuning, plan_tuning
from edgekit.optimize.prune import Pruning
from edgekit.optimize.sparse import form, gate
from edgekit.optimize.sparse.rules import ENOUGH_ZEROS
from edgekit.optimize.sparsity import LayerSparsity, LeftAlone, Schedule, count, schedule, zeros
from edgekit.optimize.tuning import FineTuning

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_SAMPLES = 4
_TOLERANCE = 1e-5  # of the largest output; the same products are added in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparse:
    """A model for XNNPACK's sparse kernels.

    Attributes:
        path: the new file.
        layers: the pruned 1×1 convolutions.
        sparsity: fraction of zeros in their kernels.
        model_sparsity: fraction of zeros among all weights of the model.
        changes: how the model was rewritten, each a sentence.
        rewritten_difference: largest absolute difference of outputs between the source and the rewritten model, before
            pruning.
        rebuilt_difference: likewise between a Keras 3 model and the tf_keras copy that TFMOT pruned; None for tf_keras.
        steps: of training that were done.
        loss: which one was trained with, and where it comes from; empty where nothing was trained.
        losses: its mean in each epoch.
        notes: what a person should read.
        notices: what the user can act on.
    """

    path: str
    layers: tuple[LayerSparsity, ...]
    sparsity: float
    model_sparsity: float
    changes: tuple[str, ...]
    rewritten_difference: float
    rebuilt_difference: float | None
    steps: int
    loss: str
    losses: tuple[float, ...]
    notes: tuple[str, ...]
    notices: tuple[Notice, ...]


def xnnpack_sparse(
    source: str,
    out: str,
    data: Mapping[str, Any] | None = None,
    *,
    sparsity: float = 0.8,
    tuning: Mapping[str, Any] | None = None,
    teacher: str | None = None,
    trust: bool = False,
    on_event: EventSink = ignore,
) -> Sparse:
    """Rewrites and prunes the model in ``source``, which stays as it is, and writes ``out``. In the TensorFlow child.

    Args:
        source: Keras 3 or tf_keras model.
        out: the new file, with the ending of the old one (``.keras`` for a SavedModel).
        data: training rows, a :class:`edgekit.data.spec.DataSpec` as JSON values; None: no fine-tuning.
        sparsity: final fraction of zeros in the 1×1 convolutions; above two thirds, at which the kernels are taken.
        tuning: a :class:`~edgekit.optimize.tuning.FineTuning` as JSON values; None: its defaults.
        teacher: what ``fine_tune="distill"`` learns from.
        trust: allow code inside the model file.

    Raises:
        UsageError: a parameter that makes no sense; ``out`` cannot be written.
        ModelError: a model that cannot be loaded, or not be brought into the form; the message says why.
        DataError: training rows that do not fit.
    """
    if not ENOUGH_ZEROS < sparsity < 1.0:
        raise UsageError(
            f"XNNPACK takes its sparse kernels above two thirds of zeros, and {sparsity:g} was asked for",
            hint="e.g. sparsity = 0.8",
        )
    with written.changing(source, trust=trust, on_event=on_event) as loaded:
        written.check_kind(loaded, Path(out), "made sparse")
        with task("rewrite for sparse kernels", on_event):
            rewritten = form.rewrite(loaded)
            _check_ending(loaded, rewritten)
            difference = _difference(loaded, rewritten.model)
        new = dataclasses.replace(loaded, model=rewritten.model)
        course, notices = plan_tuning(
            new,
            data,
            FineTuning.of(tuning),
            None if teacher is None else Path(teacher),
            trust=trust,
            on_event=on_event,
        )
        with task("prune", on_event):
            pruned = _pruned(new, rewritten.pointwise, sparsity, course, on_event)
            _compile_as(loaded, rewritten.model)
            written.write(rewritten.model, Path(out))
        return _record(out, rewritten, pruned, course, difference, (*loaded.notices, *notices))


class _PointwisePruning(Pruning):
    """Prunes the 1×1 convolutions only."""

    step = "xnnpack-sparse"
    simpler = "use --recipe prune-int8 for a smaller download, or filters-int8 for lower latency"

    def __init__(self, plan: Schedule, pointwise: tuple[str, ...]) -> None:
        super().__init__(plan)
        self._pointwise = pointwise

    def divide(self, model: Any) -> tuple[Chosen, list[LeftAlone]]:
        chosen, left = super().divide(model)
        return {name: found for name, found in chosen.items() if name in self._pointwise}, left


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pruned:
    layers: tuple[LayerSparsity, ...]
    losses: tuple[float, ...]
    rebuilt_difference: float | None


def _pruned(
    loaded: LoadedModel, pointwise: tuple[str, ...], sparsity: float, course: Tuning | None, on_event: EventSink
) -> _Pruned:
    """Prunes ``loaded.model`` in place, as a tf_keras copy where it is of Keras 3."""
    rebuilt = _rebuilt(loaded)
    model = loaded.model if rebuilt is None else rebuilt.model
    gate.check(model, loaded.path.name)
    plan = schedule(initial=0.0, final=sparsity, steps=course.steps if course else 0)
    layers, _, losses = with_tfmot(_PointwisePruning(plan, pointwise), loaded, model, course, on_event)
    if rebuilt is not None:
        copy_weights_back(rebuilt, loaded.model)
    difference = None if rebuilt is None else rebuilt.max_abs_difference
    return _Pruned(layers=layers, losses=losses, rebuilt_difference=difference)


def _rebuilt(loaded: LoadedModel) -> Rebuilt | None:
    if loaded.library == "tf_keras":
        return None
    try:
        return rebuild_as_tf_keras(loaded.model)
    except RebuildRefused as refused:
        raise ModelError(
            f"{loaded.path.name} cannot be pruned by TFMOT, whose gate for sparse kernels takes tf_keras models only: "
            f"{refused.message}",
            hint="use --recipe int8 or filters-int8 for lower latency",
        ) from refused


def _check_ending(loaded: LoadedModel, rewritten: form.Rewritten) -> None:
    """Keras 3 cannot read an operation such as turning the image back from an ``.h5``."""
    if loaded.format.name == "keras3-h5" and rewritten.turned:
        raise ModelError(
            f"{loaded.path.name} is an .h5 of Keras 3, which cannot hold the operation that turns the image around",
            hint=f"save it as .keras first: keras.models.load_model('{loaded.path.name}')"
            f".save('{loaded.path.stem}.keras')",
        )


def _difference(loaded: LoadedModel, model: Any) -> float:
    """Largest absolute difference of outputs on seeded inputs of several ranges.

    Raises:
        ModelError: they differ by more than the order of addition explains.
    """
    import numpy

    random = numpy.random.default_rng(0)
    worst = 0.0
    for scale in (1.0, 255.0):
        rows = {
            spec.name: (random.random((_SAMPLES, *spec.shape[1:])) * scale).astype(spec.dtype)
            for spec in load.input_specs(loaded)
        }
        expected = list(load.forward(loaded, rows).values())
        found = list(load.forward(dataclasses.replace(loaded, model=model), rows).values())
        for old, new in zip(expected, found, strict=True):
            difference = float(numpy.abs(old - new).max())
            if not difference <= _TOLERANCE * max(1e-6, float(numpy.abs(old).max())):
                raise ModelError(
                    f"{loaded.path.name}, rewritten for sparse kernels, gives other outputs (by {difference:.2g})",
                    hint="report this with the model's layers: edgekit inspect MODEL",
                )
            worst = max(worst, difference)
    return worst


def _compile_as(loaded: LoadedModel, model: Any) -> None:
    """Gives the new model the loss and the optimizer of the source."""
    source = loaded.model
    optimizer = getattr(source, "optimizer", None)
    if optimizer is None or getattr(source, "loss", None) is None:
        return
    model.compile(optimizer=type(optimizer).from_config(optimizer.get_config()), loss=source.loss)


def _record(
    out: str,
    rewritten: form.Rewritten,
    pruned: _Pruned,
    course: Tuning | None,
    difference: float,
    notices: tuple[Notice, ...],
) -> Sparse:
    weights = sum(layer.weights for layer in pruned.layers)
    fraction = sum(layer.zeros for layer in pruned.layers) / weights
    everything = rewritten.model.weights
    written_anew = (
        f"rewritten with equal outputs (largest difference {difference:.1e}): {'; '.join(rewritten.changes)}"
        if rewritten.changes
        else "it had the form already; nothing was rewritten"
    )
    buys = (
        f"{fraction:.0%} of the weights in {len(pruned.layers)} 1×1 convolutions are zero: stored in the sparse "
        "encoding (quantize with sparse = true, float32 or float16), LiteRT 1.2 and later runs them with sparse "
        "kernels on arm64; x86, int8 and tflite-runtime do not"
    )
    return Sparse(
        path=out,
        layers=pruned.layers,
        sparsity=fraction,
        model_sparsity=zeros(everything) / max(1, count(everything)),
        changes=rewritten.changes,
        rewritten_difference=difference,
        rebuilt_difference=pruned.rebuilt_difference,
        steps=course.steps if course else 0,
        loss=course.loss.described if course else "",
        losses=pruned.losses,
        notes=(written_anew, buys, "all other layers are left as they are: sparse kernels are for 1×1 convolutions"),
        notices=notices,
    )
