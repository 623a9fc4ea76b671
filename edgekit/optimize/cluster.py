"""Clusters the weights of a trained model, fine-tunes it, and writes it as the kind of file that it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import UsageError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.core.suggest import unknown
from edgekit.model import libraries
from edgekit.optimize import cluster_values, native_cluster, tfmot_cluster, written
from edgekit.optimize.cluster_values import INITIALIZATIONS, Before, Clustered, LayerValues
from edgekit.optimize.engines import Applied, Chosen, TwofoldTechnique, apply
from edgekit.optimize.finetune import Tuning, plan_tuning
from edgekit.optimize.sparsity import LeftAlone, count
from edgekit.optimize.tuning import FineTuning

_LEARNING_RATE = 1e-4  # with ten times as much, shared values move too far: the fashion CNN loses 1.5 points


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    clusters: int
    initialization: str
    preserve_sparsity: bool
    seed: int


class _Clustering(TwofoldTechnique[Before, LayerValues]):
    """Each kernel gets a few values that its weights share."""

    verb, done, step = "cluster", "clustered", "cluster"
    stand_in = "k-means of our own"
    simpler = "use --initialization linear, or a Functional model of standard layers"
    needless = "leave the cluster step out"

    def __init__(self, wanted: _Wanted) -> None:
        self._wanted = wanted

    def divide(self, model: Any) -> tuple[Chosen, list[LeftAlone]]:
        return tfmot_cluster.divide(model, self._wanted.clusters)

    def divide_in_keras(self, model: Any, because: str) -> tuple[Chosen, list[LeftAlone]]:
        del because  # it can all that TFMOT can
        return native_cluster.divide(model, self._wanted.clusters)

    def with_tfmot(self, model: Any, chosen: Chosen, train: Callable[[Any, list[Any]], None] | None) -> None:
        libraries.tf_keras().utils.set_random_seed(self._wanted.seed)
        tfmot_cluster.cluster(
            model,
            chosen,
            clusters=self._wanted.clusters,
            initialization=self._wanted.initialization,
            preserve_sparsity=self._wanted.preserve_sparsity,
            train=None if train is None else lambda wrapped: train(wrapped, []),
        )

    def with_keras(self, model: Any, chosen: Chosen, tuning: Tuning | None, on_event: EventSink) -> list[float]:
        library = libraries.keras()
        shared = native_cluster.Shared(
            [kernel for _, kernels in chosen.values() for kernel in kernels],
            self._wanted.clusters,
            self._wanted.initialization,
            preserve_sparsity=self._wanted.preserve_sparsity,
            seed=self._wanted.seed,
        )
        shared.apply()
        if tuning is None:
            return []
        return tuning.fit(library, model, [native_cluster.callback(library, shared)], on_event, step=self.step)

    def measure(self, kernels: list[Any]) -> Before:
        return cluster_values.measure(kernels)

    def account(self, name: str, layer: Any, kernels: list[Any], before: Before) -> LayerValues:
        after = cluster_values.measure(kernels)
        return LayerValues(
            name=name,
            type=type(layer).__name__,
            weights=count(kernels),
            values_before=before.values,
            values=after.values,
            zeros_before=before.zeros,
            zeros=after.zeros,
        )


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
    with written.changing(source, trust=trust, on_event=on_event) as loaded:
        written.check_kind(loaded, Path(out), "clustered")
        course, notices = plan_tuning(
            loaded, data, course_wanted, Path(teacher) if teacher else None, trust=trust, on_event=on_event
        )
        with task("cluster", on_event):
            applied = apply(_Clustering(wanted), loaded, course, on_event)
            written.write(applied.model, Path(out))
        return _record(out, applied, wanted, course, (*loaded.notices, *notices))


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


def _record(
    out: str, applied: Applied[LayerValues], wanted: _Wanted, tuning: Tuning | None, notices: tuple[Notice, ...]
) -> Clustered:
    layers = applied.layers
    share = sum(layer.weights for layer in layers) / max(1, count(applied.model.weights))
    notes = [
        *applied.notes,
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
    named = [layer for layer in applied.left if layer.reason != cluster_values.NO_KERNEL]
    if named:
        notes.append("left as they are: " + ", ".join(f"{layer.name} ({layer.reason})" for layer in named))
    if others := len(applied.left) - len(named):
        notes.append(f"{others} layers with scales and offsets only are left as they are")
    return Clustered(
        path=out,
        engine=applied.engine,
        clusters=wanted.clusters,
        layers=layers,
        unclustered=applied.left,
        steps=tuning.steps if tuning else 0,
        loss=tuning.loss.described if tuning else "",
        losses=applied.losses,
        rebuilt_difference=applied.rebuilt_difference,
        notes=tuple(notes),
        notices=notices,
    )
