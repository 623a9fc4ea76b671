"""Prunes a trained model by magnitude, fine-tunes it, and writes it as the kind of file that it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError, ModelError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.model import libraries, load
from edgekit.model.load import LoadedModel
from edgekit.optimize import native_prune, tfmot_prune, written
from edgekit.optimize.export import release_memory
from edgekit.optimize.finetune import Tuning, plan_tuning
from edgekit.optimize.sparsity import LayerSparsity, Pruned, Schedule, Unpruned, count, schedule, zeros
from edgekit.optimize.tuning import FineTuning


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What an engine did: the user's own model with its new weights, and the account of it."""

    engine: str
    model: Any
    layers: tuple[LayerSparsity, ...]
    unpruned: tuple[Unpruned, ...]
    losses: tuple[float, ...]
    rebuilt_difference: float | None = None
    notes: tuple[str, ...] = ()


def prune(
    source: str,
    out: str,
    data: Mapping[str, Any] | None = None,
    *,
    sparsity: float = 0.5,
    initial_sparsity: float = 0.0,
    pattern: str = "unstructured",
    tuning: Mapping[str, Any] | None = None,
    teacher: str | None = None,
    begin_step: int = 0,
    end_step: int | None = None,
    frequency: int | None = None,
    trust: bool = False,
    on_event: EventSink = ignore,
) -> Pruned:
    """Prunes the model in ``source``, which stays as it is, and writes ``out``. Runs in the TensorFlow child.

    Args:
        source: Keras 3 or tf_keras model.
        out: the new file, with the ending of the old one (``.keras`` for a SavedModel).
        data: training rows with labels, a :class:`edgekit.data.spec.DataSpec` as JSON values; None, or without labels:
            no fine-tuning.
        sparsity: final fraction of zeros in every pruned kernel; ``2:4`` always has 0.5.
        initial_sparsity: where the schedule begins.
        pattern: ``unstructured``, ``block`` (4 inputs by 1 output) or ``2:4``.
        tuning: a :class:`~edgekit.optimize.tuning.FineTuning` as JSON values; None: its defaults.
        teacher: what ``fine_tune="distill"`` learns from; see :func:`edgekit.optimize.finetune.plan_tuning`.
        begin_step: training step at which pruning begins.
        end_step: at which ``sparsity`` is reached; None: after half of the training.
        frequency: steps between two updates of the masks; None: a twentieth of the schedule.
        trust: allow code inside the model file.

    Raises:
        UsageError: a parameter that makes no sense; ``out`` cannot be written.
        ModelError: a model that cannot be loaded, or that has nothing to prune.
        DataError: training rows that do not fit.
    """
    tfmot_prune.check_pattern(pattern)
    with task("load the model", on_event):
        loaded = load.load_model(Path(source), trust=trust)
    try:
        written.check_kind(loaded, Path(out), "pruned")
        learnt_from = None if teacher is None else Path(teacher)
        course, notices = plan_tuning(loaded, data, FineTuning.of(tuning), learnt_from, trust=trust, on_event=on_event)
        plan = schedule(
            initial=initial_sparsity,
            final=sparsity,
            steps=course.steps if course else 0,
            begin=begin_step,
            end=end_step,
            frequency=frequency,
        )
        with task("prune", on_event):
            outcome = _pruned(loaded, plan, pattern, course, on_event)
            written.write(outcome.model, Path(out))
        record = _record(out, outcome, course, (*loaded.notices, *notices))
    finally:
        load.forget()  # its weights have changed
        release_memory(Path(source).stat().st_size)
    return record


def _pruned(loaded: LoadedModel, plan: Schedule, pattern: str, tuning: Tuning | None, on_event: EventSink) -> _Outcome:
    if loaded.library == "tf_keras":
        return _with_tfmot(loaded, None, plan, pattern, tuning, on_event)
    from edgekit.model.rebuild import RebuildRefused, rebuild_as_tf_keras

    try:
        rebuilt = rebuild_as_tf_keras(loaded.model)
    except RebuildRefused as refused:
        native_prune.check_pattern(pattern, refused.message)
        return _with_keras(loaded, plan, tuning, refused.message, on_event)
    return _with_tfmot(loaded, rebuilt, plan, pattern, tuning, on_event)


def _with_tfmot(
    loaded: LoadedModel, rebuilt: Any, plan: Schedule, pattern: str, tuning: Tuning | None, on_event: EventSink
) -> _Outcome:
    library = libraries.tf_keras()
    model = loaded.model if rebuilt is None else rebuilt.model
    chosen, left = tfmot_prune.divide(model, pattern)
    _check_any(chosen, left, loaded)
    before = {name: zeros(kernels) for name, (_, kernels) in chosen.items()}
    losses: list[float] = []

    def train(wrapped: Any, callbacks: list[Any]) -> None:
        assert tuning is not None
        losses.extend(tuning.fit(library, wrapped, callbacks, on_event))

    try:
        tfmot_prune.prune(model, chosen, plan, pattern, train if tuning else None)
    except EdgekitError:
        raise
    except Exception as error:
        raise ModelError(
            f"TFMOT cannot prune {loaded.path.name}: {' '.join(str(error).split())[:300]}",
            hint="use --pattern unstructured, or a Functional model of standard layers",
        ) from error
    layers = _measured(chosen, before)
    notes: tuple[str, ...] = ()
    if rebuilt is None:
        result = written.reloaded(loaded, model.get_weights())
    else:
        from edgekit.model.rebuild import copy_weights_back

        copy_weights_back(rebuilt, loaded.model)
        result = loaded.model
        notes = (
            "pruned as a tf_keras copy of the model (largest difference of outputs before pruning "
            f"{rebuilt.max_abs_difference:.1e}); the weights are back in the Keras 3 model",
        )
    return _Outcome(
        engine="tfmot",
        model=result,
        layers=layers,
        unpruned=tuple(left),
        losses=tuple(losses),
        rebuilt_difference=None if rebuilt is None else rebuilt.max_abs_difference,
        notes=notes,
    )


def _with_keras(
    loaded: LoadedModel, plan: Schedule, tuning: Tuning | None, because: str, on_event: EventSink
) -> _Outcome:
    library = libraries.keras()
    chosen, left = native_prune.divide(loaded.model)
    _check_any(chosen, left, loaded)
    before = {name: zeros(kernels) for name, (_, kernels) in chosen.items()}
    variables = [kernel for _, kernels in chosen.values() for kernel in kernels]
    losses: list[float] = []
    if tuning:
        losses = tuning.fit(library, loaded.model, [native_prune.callback(library, variables, plan)], on_event)
    if not tuning or tuning.steps < plan.end:
        native_prune.prune_once(variables, plan.final)
    return _Outcome(
        engine="keras",
        model=written.reloaded(loaded, loaded.model.get_weights()),
        layers=_measured(chosen, before),
        unpruned=tuple(left),
        losses=tuple(losses),
        notes=(f"pruned in Keras 3 with masks of our own and the same schedule, not by TFMOT: {because}",),
    )


def _measured(chosen: Mapping[str, tuple[Any, list[Any]]], before: Mapping[str, int]) -> tuple[LayerSparsity, ...]:
    return tuple(
        LayerSparsity(
            name=name,
            type=type(layer).__name__,
            weights=count(kernels),
            zeros_before=before[name],
            zeros=zeros(kernels),
        )
        for name, (layer, kernels) in chosen.items()
    )


def _check_any(chosen: Mapping[str, Any], left: list[Unpruned], loaded: LoadedModel) -> None:
    if not chosen:
        reasons = "; ".join(f"{layer.name} ({layer.type}): {layer.reason}" for layer in left[:5])
        raise ModelError(
            f"nothing in {loaded.path.name} can be pruned: {reasons or 'it has no weights'}",
            hint="use --pattern unstructured, or leave the prune step out",
        )


def _record(out: str, outcome: _Outcome, tuning: Tuning | None, notices: tuple[Notice, ...]) -> Pruned:
    weights = sum(layer.weights for layer in outcome.layers)
    fraction = sum(layer.zeros for layer in outcome.layers) / weights
    everything = outcome.model.weights
    buys = (
        f"{fraction:.0%} of the weights in {len(outcome.layers)} layers are zero: the file gets smaller when it is "
        "compressed (gzip, an app store, an update over the air), but not in memory, and inference is not faster, "
        "because the kernels multiply by the zeros too (all but float ones in the form of --recipe xnnpack-sparse)"
    )
    left = ", ".join(f"{layer.name} ({layer.reason})" for layer in outcome.unpruned if layer.reason)
    return Pruned(
        path=out,
        engine=outcome.engine,
        layers=outcome.layers,
        unpruned=outcome.unpruned,
        sparsity=fraction,
        model_sparsity=zeros(everything) / max(1, count(everything)),
        steps=tuning.steps if tuning else 0,
        loss=tuning.loss.described if tuning else "",
        losses=outcome.losses,
        rebuilt_difference=outcome.rebuilt_difference,
        notes=(*outcome.notes, buys, *((f"left as they are: {left}",) if left else ())),
        notices=notices,
    )
