"""Clusters the weights of a trained model, fine-tunes it, and writes it as the kind of file that it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError, ModelError, UsageError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.core.suggest import unknown
from edgekit.model import libraries, load
from edgekit.model.load import LoadedModel
from edgekit.optimize import cluster_values, native_cluster, tfmot_cluster, written
from edgekit.optimize.cluster_values import INITIALIZATIONS, Before, Clustered, LayerValues, Unclustered
from edgekit.optimize.export import release_memory
from edgekit.optimize.finetune import Tuning, plan_tuning
from edgekit.optimize.sparsity import count
from edgekit.optimize.tuning import FineTuning

_LEARNING_RATE = 1e-4  # with ten times as much, shared values move too far: the fashion CNN loses 1.5 points


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    clusters: int
    initialization: str
    preserve_sparsity: bool
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What an engine did: the user's own model with its new weights, and the account of it."""

    engine: str
    model: Any
    layers: tuple[LayerValues, ...]
    unclustered: tuple[Unclustered, ...]
    losses: tuple[float, ...]
    rebuilt_difference: float | None = None
    notes: tuple[str, ...] = ()


def cluster(
    source: str,
    out: str,
    data: Mapping[str, Any] | None = None,
    *,
    clusters: int = 16,
    initialization: str = "kmeans++",
    preserve_sparsity: bool = False,
    tuning: Mapping[str, Any] | None = None,
    teacher: str | None = None,
    trust: bool = False,
    on_event: EventSink = ignore,
) -> Clustered:
    """Clusters the weights of the model in ``source``, which stays as it is, and writes ``out``.

    Runs in the TensorFlow child. Each kernel gets at most ``clusters`` distinct values, so that the file compresses
    well; depthwise kernels are left alone.

    Args:
        source: Keras 3 or tf_keras model.
        out: the new file, with the ending of the old one (``.keras`` for a SavedModel).
        data: training rows, a :class:`edgekit.data.spec.DataSpec` as JSON values; None: no fine-tuning.
        clusters: distinct values in each kernel, 2 to 256; with ``preserve_sparsity`` one of them is 0.
        initialization: where clustering begins: ``kmeans++``, ``linear``, ``density-based`` or ``random``.
        preserve_sparsity: weights that are zero stay zero.
        tuning: a :class:`~edgekit.optimize.tuning.FineTuning` as JSON values; None: its defaults, with a learning rate
            of 1e-4.
        teacher: model whose outputs ``fine_tune="distill"`` learns.
        trust: allow code inside the model file.

    Raises:
        UsageError: a parameter that makes no sense; ``out`` cannot be written.
        ModelError: a model that cannot be loaded, or that has nothing to cluster.
        DataError: training rows that do not fit.
    """
    course_wanted = FineTuning.of(tuning if tuning is not None else {"learning_rate": _LEARNING_RATE})
    wanted = _checked(clusters, initialization, preserve_sparsity, course_wanted.seed)
    with task("load the model", on_event):
        loaded = load.load_model(Path(source), trust=trust)
    try:
        written.check_kind(loaded, Path(out), "clustered")
        course, notices = plan_tuning(
            loaded, data, course_wanted, Path(teacher) if teacher else None, trust=trust, on_event=on_event
        )
        with task("cluster", on_event):
            outcome = _clustered(loaded, wanted, course, on_event)
            written.write(outcome.model, Path(out))
        record = _record(out, outcome, wanted, course, (*loaded.notices, *notices))
    finally:
        load.forget()  # its weights have changed
        release_memory(Path(source).stat().st_size)
    return record


def _checked(clusters: int, initialization: str, preserve_sparsity: bool, seed: int) -> _Wanted:
    if initialization not in INITIALIZATIONS:
        message, hint = unknown("initialization", initialization, INITIALIZATIONS)
        raise UsageError(message, hint=hint)
    least = 3 if preserve_sparsity else 2
    if not least <= clusters <= 256:
        raise UsageError(
            f"the number of clusters must be between {least} and 256, found {clusters}", hint="e.g. --clusters 16"
        )
    return _Wanted(clusters=clusters, initialization=initialization, preserve_sparsity=preserve_sparsity, seed=seed)


def _clustered(loaded: LoadedModel, wanted: _Wanted, tuning: Tuning | None, on_event: EventSink) -> _Outcome:
    if loaded.library == "tf_keras":
        return _with_tfmot(loaded, None, wanted, tuning, on_event)
    from edgekit.model.rebuild import RebuildRefused, rebuild_as_tf_keras

    try:
        rebuilt = rebuild_as_tf_keras(loaded.model)
    except RebuildRefused as refused:
        return _with_keras(loaded, wanted, tuning, refused.message, on_event)
    return _with_tfmot(loaded, rebuilt, wanted, tuning, on_event)


def _with_tfmot(
    loaded: LoadedModel, rebuilt: Any, wanted: _Wanted, tuning: Tuning | None, on_event: EventSink
) -> _Outcome:
    library = libraries.tf_keras()
    model = loaded.model if rebuilt is None else rebuilt.model
    chosen, left = tfmot_cluster.divide(model, wanted.clusters)
    _check_any(chosen, left, loaded)
    before = {name: cluster_values.measure(kernels) for name, (_, kernels) in chosen.items()}
    losses: list[float] = []

    def train(wrapped: Any) -> None:
        assert tuning is not None
        losses.extend(tuning.fit(library, wrapped, [], on_event, step="cluster"))

    library.utils.set_random_seed(wanted.seed)
    try:
        tfmot_cluster.cluster(
            model,
            chosen,
            clusters=wanted.clusters,
            initialization=wanted.initialization,
            preserve_sparsity=wanted.preserve_sparsity,
            train=train if tuning else None,
        )
    except EdgekitError:
        raise
    except Exception as error:
        raise ModelError(
            f"TFMOT cannot cluster {loaded.path.name}: {' '.join(str(error).split())[:300]}",
            hint="use --initialization linear, or a Functional model of standard layers",
        ) from error
    layers = _measured(chosen, before)
    notes: tuple[str, ...] = ()
    if rebuilt is None:
        result = written.reloaded(loaded, model.get_weights())
    else:
        from edgekit.model.rebuild import copy_weights_back

        result = written.reloaded(loaded)
        copy_weights_back(rebuilt, result)
        notes = (
            "clustered as a tf_keras copy of the model (largest difference of outputs before clustering "
            f"{rebuilt.max_abs_difference:.1e}); the weights are back in the Keras 3 model",
        )
    return _Outcome(
        engine="tfmot",
        model=result,
        layers=layers,
        unclustered=tuple(left),
        losses=tuple(losses),
        rebuilt_difference=None if rebuilt is None else rebuilt.max_abs_difference,
        notes=notes,
    )


def _with_keras(
    loaded: LoadedModel, wanted: _Wanted, tuning: Tuning | None, because: str, on_event: EventSink
) -> _Outcome:
    library = libraries.keras()
    chosen, left = native_cluster.divide(loaded.model, wanted.clusters)
    _check_any(chosen, left, loaded)
    before = {name: cluster_values.measure(kernels) for name, (_, kernels) in chosen.items()}
    shared = native_cluster.Shared(
        [kernel for _, kernels in chosen.values() for kernel in kernels],
        wanted.clusters,
        wanted.initialization,
        preserve_sparsity=wanted.preserve_sparsity,
        seed=wanted.seed,
    )
    shared.apply()
    losses: list[float] = []
    if tuning:
        callbacks = [native_cluster.callback(library, shared)]
        losses = tuning.fit(library, loaded.model, callbacks, on_event, step="cluster")
    return _Outcome(
        engine="keras",
        model=written.reloaded(loaded, loaded.model.get_weights()),
        layers=_measured(chosen, before),
        unclustered=tuple(left),
        losses=tuple(losses),
        notes=(f"clustered in Keras 3 with k-means of our own, not by TFMOT: {because}",),
    )


def _measured(chosen: Mapping[str, tuple[Any, list[Any]]], before: Mapping[str, Before]) -> tuple[LayerValues, ...]:
    found = []
    for name, (layer, kernels) in chosen.items():
        after = cluster_values.measure(kernels)
        found.append(
            LayerValues(
                name=name,
                type=type(layer).__name__,
                weights=count(kernels),
                values_before=before[name].values,
                values=after.values,
                zeros_before=before[name].zeros,
                zeros=after.zeros,
            )
        )
    return tuple(found)


def _check_any(chosen: Mapping[str, Any], left: list[Unclustered], loaded: LoadedModel) -> None:
    if not chosen:
        reasons = "; ".join(f"{layer.name} ({layer.type}): {layer.reason}" for layer in left[:5])
        raise ModelError(
            f"nothing in {loaded.path.name} can be clustered: {reasons or 'it has no weights'}",
            hint="leave the cluster step out",
        )


def _record(
    out: str, outcome: _Outcome, wanted: _Wanted, tuning: Tuning | None, notices: tuple[Notice, ...]
) -> Clustered:
    layers = outcome.layers
    share = sum(layer.weights for layer in layers) / max(1, count(outcome.model.weights))
    notes = [
        *outcome.notes,
        f"the weights of {len(layers)} layers ({share:.0%} of the model) have at most "
        f"{max(layer.values for layer in layers)} values each: the file gets smaller when it is compressed (gzip, an "
        "app store, an update over the air). On the board and in memory it is as large as before, and not faster",
    ]
    over = [layer for layer in layers if layer.values > wanted.clusters]
    if over:
        notes.append(
            "more values than asked for: " + ", ".join(f"{layer.name} ({layer.type}, {layer.values})" for layer in over)
        )
    lost = [layer for layer in layers if layer.zeros < layer.zeros_before]
    if (
        lost
        and not wanted.preserve_sparsity
        and sum(layer.zeros_before for layer in layers) > 0.2 * sum(layer.weights for layer in layers)
    ):
        notices = (
            *notices,
            Notice(
                code="zeros-lost",
                message=f"clustering moved zeros of {len(lost)} pruned layers away from zero "
                f"({sum(layer.zeros_before for layer in lost)} zeros before, {sum(layer.zeros for layer in lost)} now)",
                hint="--preserve-sparsity keeps them",
            ),
        )
    named = [layer for layer in outcome.unclustered if layer.reason != cluster_values.NO_KERNEL]
    if named:
        notes.append("left as they are: " + ", ".join(f"{layer.name} ({layer.reason})" for layer in named))
    if others := len(outcome.unclustered) - len(named):
        notes.append(f"{others} layers with scales and offsets only are left as they are")
    return Clustered(
        path=out,
        engine=outcome.engine,
        clusters=wanted.clusters,
        layers=layers,
        unclustered=outcome.unclustered,
        steps=tuning.steps if tuning else 0,
        loss=tuning.loss.described if tuning else "",
        losses=outcome.losses,
        rebuilt_difference=outcome.rebuilt_difference,
        notes=tuple(notes),
        notices=notices,
    )
