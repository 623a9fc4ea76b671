"""Whether and how a changed model is fine-tuned, on labels or on a teacher's outputs, in either Keras."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core import decode
from edgekit.core.errors import DataError, EdgekitError, ModelError, UsageError
from edgekit.core.events import Event, EventSink, ignore
from edgekit.core.notice import Notice
from edgekit.model import load
from edgekit.model.describe import describe
from edgekit.model.load import LoadedModel
from edgekit.optimize.distill.loss import Distillation, choose_distillation, outputs_of
from edgekit.optimize.distill.targets import soft_targets
from edgekit.optimize.learning_rate import callback as rate_callback
from edgekit.optimize.losses import Loss, choose_loss
from edgekit.optimize.training import Batches
from edgekit.optimize.tuning import FineTuning

_FEW = 200
_CLASSES = {"adam": "Adam", "sgd": "SGD", "rmsprop": "RMSprop", "adamw": "AdamW"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """A fine-tuning that can be done.

    Attributes:
        batches: shuffled rows.
        stream: the same with what is to be learnt, as a ``tf.data`` stream without end.
        loss: to train with.
        epochs: over the rows.
        optimizer: its name.
        learning_rate: its own.
        seed: of random layers.
    """

    batches: Batches
    stream: Any
    loss: Loss | Distillation
    epochs: int
    optimizer: str
    learning_rate: float
    seed: int

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.batches.steps * self.epochs

    def fit(
        self, library: Any, model: Any, callbacks: list[Any], on_event: EventSink, *, step: str = "prune"
    ) -> list[float]:
        """Compiles and trains ``model``. Whoever writes it gives it back its own loss and optimizer first.

        Args:
            library: the Keras that ``model`` belongs to.
            model: with the inputs and outputs of the model that this was planned for.
            callbacks: of Keras.
            on_event: hears of every epoch.
            step: the task that the events belong to.

        Returns:
            The mean loss of each epoch.

        Raises:
            DataError: what the dataset raised.
            ModelError: the model does not take the data or the loss, or the loss is not finite.
        """
        library.utils.set_random_seed(self.seed)
        losses: list[float] = []

        def at_epoch_end(epoch: int, logs: Any = None) -> None:
            losses.append(float((logs or {}).get("loss", math.nan)))
            on_event(
                Event(
                    state="progress",
                    task=step,
                    message=f"epoch {epoch + 1} of {self.epochs}, loss {losses[-1]:.4g}",
                    fraction=(epoch + 1) / self.epochs,
                )
            )

        try:
            # XLA, which Keras 3 would choose, takes longer to compile than these few epochs
            model.compile(
                optimizer=_optimizer(library, self.optimizer, self.learning_rate),
                loss=self.loss.build(library),
                metrics=[],  # those of the file would look at the packed targets of a teacher
                jit_compile=False,
            )
            model.fit(
                self.stream,
                steps_per_epoch=self.batches.steps,
                epochs=self.epochs,
                verbose=0,
                callbacks=[
                    *callbacks,
                    rate_callback(library, self.learning_rate, self.steps),
                    library.callbacks.LambdaCallback(on_epoch_end=at_epoch_end),
                ],
            )
        except Exception as error:
            raise self._explained(error) from error
        if not all(math.isfinite(value) for value in losses):
            raise ModelError(
                f"fine-tuning diverged: the loss is {losses[-1]}",
                hint="use a smaller --learning-rate, or check the scale of the data",
            )
        return losses

    def _explained(self, error: Exception) -> EdgekitError:
        if self.batches.failure is not None:
            return self.batches.failure
        if isinstance(error, EdgekitError):
            return error
        return ModelError(
            f"fine-tuning with the loss {self.loss.described} failed: {' '.join(str(error).split())[:300]}",
            hint="name another one with --loss, or leave the fine-tuning out: --epochs 0",
        )


def plan_tuning(
    loaded: LoadedModel,
    data: Mapping[str, Any] | None,
    wanted: FineTuning,
    teacher: Path | None = None,
    *,
    trust: bool = False,
    on_event: EventSink = ignore,
) -> tuple[Tuning | None, tuple[Notice, ...]]:
    """The fine-tuning for these rows, or None and a notice that says why there is none.

    Args:
        loaded: the model to train; it has not been changed yet.
        data: training rows, a :class:`edgekit.data.spec.DataSpec` as JSON values.
        wanted: epochs, optimizer and so on.
        teacher: what ``fine_tune="distill"`` learns from: a .tflite, or a model that Keras loads. It is run on every
            row once, here.
        trust: allow code inside a Keras teacher.
        on_event: hears how far the teacher is.

    Raises:
        UsageError: unknown loss; ``distill`` without a teacher.
        ModelError: a teacher that cannot be run, or that has other inputs or outputs.
        DataError: rows that cannot be read, or labels that the model cannot have.
    """
    if not wanted.trains:
        return None, (_untuned("no epochs were asked for", "--epochs 4 lets the other weights make up for the loss"),)
    if wanted.fine_tune == "distill" and teacher is None:
        raise UsageError(
            "fine-tuning by distillation needs a teacher to learn from",
            hint="name one with --teacher: the float .tflite or the model before it was changed",
        )
    if data is None:
        return None, (_untuned("there are no training data", "give labelled data with --data"),)
    from edgekit.data.dataset import open_dataset
    from edgekit.data.spec import DataSpec

    spec = decode.from_json(DataSpec, dict(data), source="training dataset", error=DataError)
    batches = Batches(
        dataset=open_dataset(spec, inputs=load.input_specs(loaded)), batch_size=wanted.batch_size, seed=wanted.seed
    )
    loss: Loss | Distillation | None
    if wanted.fine_tune == "distill" and teacher is not None:
        loss, stream, notices = _from_teacher(loaded, spec, batches, wanted, teacher, trust, on_event)
    else:
        loss, stream, notices = _from_labels(loaded, spec, batches, wanted)
    if loss is None:
        return None, notices
    epochs = wanted.epochs_of(batches.steps, describe(loaded).macs or 0)
    if batches.dataset.count < _FEW:
        notices = (*notices, _few(batches.dataset.count, batches.steps * epochs))
    return (
        Tuning(
            batches=batches,
            stream=stream,
            loss=loss,
            epochs=epochs,
            optimizer=wanted.optimizer,
            learning_rate=wanted.learning_rate,
            seed=wanted.seed,
        ),
        notices,
    )


def _from_labels(
    loaded: LoadedModel, spec: Any, batches: Batches, wanted: FineTuning
) -> tuple[Loss | None, Any, tuple[Notice, ...]]:
    if not batches.dataset.has_labels:
        hint = 'give labelled data with --data, or learn the original\'s outputs: fine_tune = "distill"'
        return None, None, (_untuned(f"{spec.source} has no labels", hint),)
    labels = batches.labels()
    chosen = choose_loss(loaded, wanted.loss, labels)
    if chosen is None:
        reason = f"no loss fits labels of shape {labels.shape[1:]} and the outputs of this model"
        hint = 'name one with --loss, or learn the original\'s outputs: fine_tune = "distill"'
        return None, None, (_untuned(reason, hint),)
    return chosen, batches.stream(loaded, labels.shape[1:], chosen.label_dtype), ()


def _from_teacher(
    loaded: LoadedModel,
    spec: Any,
    batches: Batches,
    wanted: FineTuning,
    teacher: Path,
    trust: bool,
    on_event: EventSink,
) -> tuple[Distillation, Any, tuple[Notice, ...]]:
    inputs, labels = batches.first()
    hard = choose_loss(loaded, wanted.loss, labels) if labels is not None and wanted.alpha < 1 else None
    notices: tuple[Notice, ...] = ()
    if labels is not None and hard is None and wanted.alpha < 1:
        notices = (_labels_unused(labels.shape[1:]),)
    targets = soft_targets(teacher, spec, loaded, trust=trust, on_event=on_event)
    loss = choose_distillation(
        loaded,
        targets,
        outputs_of(loaded, inputs),
        wanted=wanted.loss,
        labels=hard,
        label_shape=() if labels is None else labels.shape[1:],
        temperature=wanted.temperature,
        alpha=wanted.alpha,
    )
    return loss, batches.stream_with_teacher(loaded, targets, loss), notices


def _optimizer(library: Any, name: str, learning_rate: float) -> Any:
    options = {"momentum": 0.9} if name == "sgd" else {}
    return getattr(library.optimizers, _CLASSES[name])(learning_rate=learning_rate, **options)


def _untuned(reason: str, hint: str) -> Notice:
    return Notice(
        code="not-fine-tuned",
        message=f"the changed model was not fine-tuned, because {reason}; expect a loss of accuracy",
        hint=hint,
    )


def _few(rows: int, steps: int) -> Notice:
    return Notice(
        code="few-training-rows",
        message=f"fine-tuning on {rows} rows ({steps} steps) recovers little and can learn them by heart: trust the "
        "score on other rows only",
        hint='give more rows, which need no labels with fine_tune = "distill"; else more epochs, a smaller batch size',
    )


def _labels_unused(shape: tuple[int, ...]) -> Notice:
    return Notice(
        code="labels-not-used",
        message=f"no loss fits labels of shape {shape} and the outputs of this model: it learns from the teacher alone",
        hint="name one with --loss, or leave the labels out",
    )
