"""A technique of TFMOT on a model of either Keras: as a tf_keras copy, or by a stand-in of our own in Keras 3."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from edgekit.core.errors import EdgekitError, ModelError
from edgekit.core.events import EventSink
from edgekit.model import libraries
from edgekit.model.load import LoadedModel
from edgekit.optimize import written
from edgekit.optimize.finetune import Tuning
from edgekit.optimize.sparsity import LeftAlone

if TYPE_CHECKING:
    from edgekit.model.rebuild import Rebuilt

#: path of a layer → the layer and those of its variables that are changed
Chosen = Mapping[str, tuple[Any, list[Any]]]
Figures = TypeVar("Figures")
Account = TypeVar("Account")


class Technique(ABC, Generic[Figures, Account]):
    """What TFMOT does to the kernels of a model, and what does the same in Keras 3.

    Attributes:
        verb, done: for messages: ``prune``, ``pruned``.
        step: the name of its training in events.
        stand_in: what works in Keras 3 instead of TFMOT.
        simpler: hint where TFMOT fails.
        needless: hint where there is nothing to do.
    """

    verb: ClassVar[str]
    done: ClassVar[str]
    step: ClassVar[str]
    stand_in: ClassVar[str] = ""
    simpler: ClassVar[str]
    needless: ClassVar[str]

    @abstractmethod
    def divide(self, model: Any) -> tuple[Chosen, list[LeftAlone]]:
        """What TFMOT will change in a tf_keras model, and the layers that it leaves alone."""

    @abstractmethod
    def with_tfmot(self, model: Any, chosen: Chosen, train: Callable[[Any, list[Any]], None] | None) -> None:
        """Changes the weights of a tf_keras model in place; ``train`` fits the wrapped model with callbacks."""

    @abstractmethod
    def measure(self, kernels: list[Any]) -> Figures:
        """Figures of a layer's kernels."""

    @abstractmethod
    def account(self, name: str, layer: Any, kernels: list[Any], before: Figures) -> Account:
        """What became of a layer."""


class TwofoldTechnique(Technique[Figures, Account]):
    """A technique that Keras 3 has a stand-in for."""

    @abstractmethod
    def divide_in_keras(self, model: Any, because: str) -> tuple[Chosen, list[LeftAlone]]:
        """What the stand-in will change.

        Raises:
            UsageError: it cannot do what was asked for; ``because``: why TFMOT cannot do it either.
        """

    @abstractmethod
    def with_keras(self, model: Any, chosen: Chosen, tuning: Tuning | None, on_event: EventSink) -> list[float]:
        """Changes the weights of a Keras 3 model in place; the losses of its training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied(Generic[Account]):
    """What an engine did.

    Attributes:
        engine: ``tfmot`` or ``keras``.
        model: the user's own model with its new weights.
        layers: those that were changed.
        left: the others that hold weights.
        losses: mean of each epoch.
        rebuilt_difference: largest difference of outputs between a Keras 3 model and its tf_keras copy.
        notes: what a person should read.
    """

    engine: str
    model: Any
    layers: tuple[Account, ...]
    left: tuple[LeftAlone, ...]
    losses: tuple[float, ...]
    rebuilt_difference: float | None = None
    notes: tuple[str, ...] = ()


def apply(
    technique: TwofoldTechnique[Figures, Account], loaded: LoadedModel, tuning: Tuning | None, on_event: EventSink
) -> Applied[Account]:
    """Applies a technique with TFMOT or, where no tf_keras copy can be made, in Keras 3.

    Args:
        technique: what is done.
        loaded: the user's model; its weights may be changed.
        tuning: how to train; None: not at all.
        on_event: hears of the training.

    Raises:
        ModelError: nothing can be changed, or TFMOT fails.
        UsageError: the stand-in cannot do what was asked for.
    """
    if loaded.library == "tf_keras":
        layers, left, losses = with_tfmot(technique, loaded, loaded.model, tuning, on_event)
        fresh = written.reloaded(loaded, loaded.model.get_weights())
        return Applied(engine="tfmot", model=fresh, layers=layers, left=left, losses=losses)
    from edgekit.model.rebuild import RebuildRefused, rebuild_as_tf_keras

    try:
        rebuilt = rebuild_as_tf_keras(loaded.model)
    except RebuildRefused as refused:
        return _in_keras(technique, loaded, tuning, refused.message, on_event)
    return _as_copy(technique, loaded, rebuilt, tuning, on_event)


def with_tfmot(
    technique: Technique[Figures, Account], loaded: LoadedModel, model: Any, tuning: Tuning | None, on_event: EventSink
) -> tuple[tuple[Account, ...], tuple[LeftAlone, ...], tuple[float, ...]]:
    """Applies a technique to a tf_keras model in place.

    Args:
        technique: what is done.
        loaded: the user's model, for messages.
        model: its own, or its tf_keras copy.
        tuning: how to train; None: not at all.
        on_event: hears of the training.

    Returns:
        The changed layers, the others, and the mean loss of each epoch.

    Raises:
        ModelError: nothing can be changed, or TFMOT fails.
    """
    chosen, left = technique.divide(model)
    _check_any(technique, chosen, left, loaded)
    before = {name: technique.measure(kernels) for name, (_, kernels) in chosen.items()}
    losses: list[float] = []

    def train(wrapped: Any, callbacks: list[Any]) -> None:
        assert tuning is not None
        losses.extend(tuning.fit(libraries.tf_keras(), wrapped, callbacks, on_event, step=technique.step))

    try:
        technique.with_tfmot(model, chosen, train if tuning else None)
    except EdgekitError:
        raise
    except Exception as error:
        raise ModelError(
            f"TFMOT cannot {technique.verb} {loaded.path.name}: {' '.join(str(error).split())[:300]}",
            hint=technique.simpler,
        ) from error
    return _accounts(technique, chosen, before), tuple(left), tuple(losses)


def _as_copy(
    technique: Technique[Figures, Account],
    loaded: LoadedModel,
    rebuilt: Rebuilt,
    tuning: Tuning | None,
    on_event: EventSink,
) -> Applied[Account]:
    from edgekit.model.rebuild import copy_weights_back

    layers, left, losses = with_tfmot(technique, loaded, rebuilt.model, tuning, on_event)
    copy_weights_back(rebuilt, loaded.model)
    return Applied(
        engine="tfmot",
        model=loaded.model,
        layers=layers,
        left=left,
        losses=losses,
        rebuilt_difference=rebuilt.max_abs_difference,
        notes=(
            f"{technique.done} as a tf_keras copy of the model (largest difference of outputs before "
            f"{rebuilt.max_abs_difference:.1e}); the weights are back in the Keras 3 model",
        ),
    )


def _in_keras(
    technique: TwofoldTechnique[Figures, Account],
    loaded: LoadedModel,
    tuning: Tuning | None,
    because: str,
    on_event: EventSink,
) -> Applied[Account]:
    chosen, left = technique.divide_in_keras(loaded.model, because)
    _check_any(technique, chosen, left, loaded)
    before = {name: technique.measure(kernels) for name, (_, kernels) in chosen.items()}
    losses = technique.with_keras(loaded.model, chosen, tuning, on_event)
    layers = _accounts(technique, chosen, before)
    return Applied(
        engine="keras",
        model=written.reloaded(loaded, loaded.model.get_weights()),
        layers=layers,
        left=tuple(left),
        losses=tuple(losses),
        notes=(f"{technique.done} in Keras 3 with {technique.stand_in}, not by TFMOT: {because}",),
    )


def _accounts(
    technique: Technique[Figures, Account], chosen: Chosen, before: Mapping[str, Figures]
) -> tuple[Account, ...]:
    return tuple(technique.account(name, layer, kernels, before[name]) for name, (layer, kernels) in chosen.items())


def _check_any(
    technique: Technique[Figures, Account], chosen: Chosen, left: list[LeftAlone], loaded: LoadedModel
) -> None:
    if not chosen:
        reasons = "; ".join(f"{layer.name} ({layer.type}): {layer.reason}" for layer in left[:5])
        raise ModelError(
            f"nothing in {loaded.path.name} can be {technique.done}: {reasons or 'it has no weights'}",
            hint=technique.needless,
        )
