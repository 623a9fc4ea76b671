"""Prunes a trained model by magnitude, fine-tunes it, and writes it as the kind of file that it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.model import libraries
from edgekit.optimize import native_prune, tfmot_prune, written
from edgekit.optimize.engines import Applied, Chosen, TwofoldTechnique, apply
from edgekit.optimize.finetune import Tuning, plan_tuning
from edgekit.optimize.sparsity import LayerSparsity, LeftAlone, Pruned, Schedule, count, schedule, zeros
from edgekit.optimize.tuning import FineTuning


class Pruning(TwofoldTechnique[int, LayerSparsity]):
    """The smallest weights become zero and stay zero.

    Args:
        plan: when how much.
        pattern: ``unstructured``, ``block`` or ``2:4``.
    """

    verb, done, step = "prune", "pruned", "prune"
    stand_in = "masks of our own and the same schedule"
    simpler = "use --pattern unstructured, or a Functional model of standard layers"
    needless = "use --pattern unstructured, or leave the prune step out"

    def __init__(self, plan: Schedule, pattern: str = "unstructured") -> None:
        self._plan = plan
        self._pattern = pattern

    def divide(self, model: Any) -> tuple[Chosen, list[LeftAlone]]:
        """What fits the pattern."""
        return tfmot_prune.divide(model, self._pattern)

    def divide_in_keras(self, model: Any, because: str) -> tuple[Chosen, list[LeftAlone]]:
        """Every kernel, for single weights only."""
        native_prune.check_pattern(self._pattern, because)
        return native_prune.divide(model)

    def with_tfmot(self, model: Any, chosen: Chosen, train: Callable[[Any, list[Any]], None] | None) -> None:
        """By masks of TFMOT."""
        tfmot_prune.prune(model, chosen, self._plan, self._pattern, train)

    def with_keras(self, model: Any, chosen: Chosen, tuning: Tuning | None, on_event: EventSink) -> list[float]:
        """By masks of ours; also where training ends before the schedule."""
        library = libraries.keras()
        variables = [kernel for _, kernels in chosen.values() for kernel in kernels]
        losses: list[float] = []
        if tuning:
            callbacks = [native_prune.callback(library, variables, self._plan)]
            losses = tuning.fit(library, model, callbacks, on_event, step=self.step)
        if not tuning or tuning.steps < self._plan.end:
            native_prune.prune_once(variables, self._plan.final)
        return losses

    def measure(self, kernels: list[Any]) -> int:
        """Zeros."""
        return zeros(kernels)

    def account(self, name: str, layer: Any, kernels: list[Any], before: int) -> LayerSparsity:
        """Zeros before and after."""
        return LayerSparsity(
            name=name,
            type=type(layer).__name__,
            weights=count(kernels),
            zeros_before=before,
            zeros=zeros(kernels),
        )


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
    with written.changing(source, trust=trust, on_event=on_event) as loaded:
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
            applied = apply(Pruning(plan, pattern), loaded, course, on_event)
            written.write(applied.model, Path(out))
        return _record(out, applied, course, (*loaded.notices, *notices))


def _record(out: str, applied: Applied[LayerSparsity], tuning: Tuning | None, notices: tuple[Notice, ...]) -> Pruned:
    weights = sum(layer.weights for layer in applied.layers)
    fraction = sum(layer.zeros for layer in applied.layers) / weights
    everything = applied.model.weights
    buys = (
        f"{fraction:.0%} of the weights in {len(applied.layers)} layers are zero: the file gets smaller when it is "
        "compressed (gzip, an app store, an update over the air), but not in memory, and inference is not faster, "
        "because the kernels multiply by the zeros too (all but float ones in the form of --recipe xnnpack-sparse)"
    )
    left = ", ".join(f"{layer.name} ({layer.reason})" for layer in applied.left if layer.reason)
    return Pruned(
        path=out,
        engine=applied.engine,
        layers=applied.layers,
        unpruned=applied.left,
        sparsity=fraction,
        model_sparsity=zeros(everything) / max(1, count(everything)),
        steps=tuning.steps if tuning else 0,
        loss=tuning.loss.described if tuning else "",
        losses=applied.losses,
        rebuilt_difference=applied.rebuilt_difference,
        notes=(*applied.notes, buys, *((f"left as they are: {left}",) if left else ())),
        notices=notices,
    )
