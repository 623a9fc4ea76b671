"""How a step fine-tunes: the parameters that every training step of a recipe has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgekit.core import decode
from edgekit.core.errors import UsageError

_STEPS, _FEWEST, _MOST = 1200, 4, 30
_MACS = 5 * 10**12
"""Forward, for all epochs: about half an hour for a MobileNetV2 on two cores."""


def between(name: str, value: float, low: float, high: float) -> None:
    """Refuses a parameter out of range.

    Raises:
        ValueError: names the parameter and its range.
    """
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, found {value:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """Fine-tuning of a model that a step has changed.

    Attributes:
        epochs: over the training rows; 0: none; None: as many as make about 1,200 training steps, 4 to
            30, and fewer where the model is so large that they would take hours.
        batch_size: rows per training step.
        optimizer: ``adam``, ``sgd``, ``rmsprop`` or ``adamw``.
        learning_rate: the highest; it falls to 0 in the second half of the training.
        loss: Keras's name for a loss; None: the model's own, or the one that fits its output and the labels.
        seed: of the shuffling and of every random layer.
        fine_tune: ``labels``, or ``distill``: learn the original model's outputs too (Hinton et al. 2015), or only
            them where there are no labels.
        temperature: of the soft targets in ``distill``.
        alpha: weight of the soft targets in ``distill``, 0 to 1; the labels have the rest.
    """

    epochs: int | None = None
    batch_size: int = 64
    optimizer: Literal["adam", "sgd", "rmsprop", "adamw"] = "adam"
    learning_rate: float = 1e-3
    loss: str | None = None
    seed: int = 0
    fine_tune: Literal["labels", "distill"] = "labels"
    temperature: float = 4.0
    alpha: float = 0.7

    def __post_init__(self) -> None:
        if self.epochs is not None:
            between("epochs", self.epochs, 0, 10_000)
        between("batch_size", self.batch_size, 1, 1 << 20)
        between("learning_rate", self.learning_rate, 1e-9, 10.0)
        between("temperature", self.temperature, 0.5, 100.0)
        between("alpha", self.alpha, 0.0, 1.0)

    @property
    def trains(self) -> bool:
        """Whether there is any fine-tuning."""
        return self.epochs != 0

    def epochs_of(self, steps: int, macs: int) -> int:
        """The epochs: those asked for, or as many as suit the rows and are not endless on a processor.

        Args:
            steps: of one epoch.
            macs: multiply-accumulates of one row.
        """
        if self.epochs is not None:
            return self.epochs
        wanted = max(_FEWEST, min(_MOST, -(-_STEPS // max(1, steps))))
        affordable = _MACS // max(1, steps * self.batch_size * macs)
        return max(1, min(wanted, affordable))

    @classmethod
    def of(cls, values: Mapping[str, Any] | None) -> FineTuning:
        """From JSON values; None: the defaults.

        Raises:
            UsageError: an unknown key, or a value out of range.
        """
        try:
            return decode.from_json(cls, dict(values or {}), source="fine-tuning")
        except ValueError as error:
            raise UsageError(f"fine-tuning: {error}") from None
