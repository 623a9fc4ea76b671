"""Whether and how a pruned model is fine-tuned, in either Keras."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.core import decode
from edgekit.core.errors import DataError, EdgekitError, ModelError, UsageError
from edgekit.core.events import Event, EventSink
from edgekit.core.notice import Notice
from edgekit.core.suggest import unknown
from edgekit.model import load
from edgekit.model.load import LoadedModel
from edgekit.optimize.losses import Loss, choose_loss
from edgekit.optimize.training import Batches

_OPTIMIZERS = {"adam": "Adam", "sgd": "SGD", "rmsprop": "RMSprop", "adamw": "AdamW"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """A fine-tuning that can be done.

    Attributes:
        batches: shuffled rows with labels.
        stream: the same as a ``tf.data`` stream without end.
        loss: to train with.
        epochs: over the rows.
        optimizer: its name.
        learning_rate: its own.
        seed: of random layers.
    """

    batches: Batches
    stream: Any
    loss: Loss
    epochs: int
    optimizer: str
    learning_rate: float
    seed: int

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.batches.steps * self.epochs

    def fit(self, library: Any, model: Any, callbacks: list[Any], on_event: EventSink) -> list[float]:
        """Compiles and trains ``model``; ``library`` is the Keras that it belongs to.

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
                    task="prune",
                    message=f"epoch {epoch + 1} of {self.epochs}, loss {losses[-1]:.4g}",
                    fraction=(epoch + 1) / self.epochs,
                )
            )

        try:
            # XLA, which Keras 3 would choose, takes longer to compile than these few epochs
            model.compile(
                optimizer=_optimizer(library, self.optimizer, self.learning_rate),
                loss=self.loss.build(library),
                jit_compile=False,
            )
            model.fit(
                self.stream,
                steps_per_epoch=self.batches.steps,
                epochs=self.epochs,
                verbose=0,
                callbacks=[*callbacks, library.callbacks.LambdaCallback(on_epoch_end=at_epoch_end)],
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
            hint="name another one with --loss, or prune without fine-tuning: --epochs 0",
        )


def plan_tuning(
    loaded: LoadedModel,
    data: Mapping[str, Any] | None,
    *,
    epochs: int,
    batch_size: int,
    optimizer: str,
    learning_rate: float,
    loss: str | None,
    seed: int,
) -> tuple[Tuning | None, tuple[Notice, ...]]:
    """The fine-tuning for these rows, or None and a notice that says why there is none.

    Raises:
        UsageError: unknown optimizer or loss; epochs or batch size out of range.
        DataError: rows that cannot be read, or labels that the model cannot have.
    """
    if optimizer not in _OPTIMIZERS:
        message, hint = unknown("optimizer", optimizer, _OPTIMIZERS)
        raise UsageError(message, hint=hint)
    if epochs < 0 or batch_size < 1 or not learning_rate > 0:
        raise UsageError(
            f"epochs {epochs}, batch size {batch_size} or learning rate {learning_rate:g} is out of range",
            hint="e.g. --epochs 4 --batch-size 64 --learning-rate 0.001",
        )
    if epochs == 0:
        return None, (_untuned("no epochs were asked for", "--epochs 4 lets the other weights make up for the zeros"),)
    if data is None:
        return None, (_untuned("there are no training data", "give labelled data with --data"),)
    from edgekit.data.dataset import open_dataset
    from edgekit.data.spec import DataSpec

    spec = decode.from_json(DataSpec, dict(data), source="training dataset", error=DataError)
    dataset = open_dataset(spec, inputs=load.input_specs(loaded))
    if not dataset.has_labels:
        return None, (_untuned(f"{spec.source} has no labels", "give labelled data with --data"),)
    batches = Batches(dataset=dataset, batch_size=batch_size, seed=seed)
    labels = batches.labels()
    chosen = choose_loss(loaded, loss, labels)
    if chosen is None:
        reason = f"no loss fits labels of shape {labels.shape[1:]} and the outputs of this model"
        return None, (_untuned(reason, "name one with --loss"),)
    stream = batches.stream(loaded, labels.shape[1:], chosen.label_dtype)
    return (
        Tuning(
            batches=batches,
            stream=stream,
            loss=chosen,
            epochs=epochs,
            optimizer=optimizer,
            learning_rate=learning_rate,
            seed=seed,
        ),
        (),
    )


def _optimizer(library: Any, name: str, learning_rate: float) -> Any:
    options = {"momentum": 0.9} if name == "sgd" else {}
    return getattr(library.optimizers, _OPTIMIZERS[name])(learning_rate=learning_rate, **options)


def _untuned(reason: str, hint: str) -> Notice:
    return Notice(
        code="pruned-without-fine-tuning",
        message=f"pruned in one go, without fine-tuning, because {reason}; expect a loss of accuracy",
        hint=hint,
    )
