"""Magnitude pruning in Keras 3 itself, for models that cannot be rebuilt as tf_keras.

A callback re-applies the masks after every training step and renews them as TFMOT's PolynomialDecay would.
"""

from __future__ import annotations

from typing import Any

from edgekit.core.errors import ModelError
from edgekit.optimize import sparsity
from edgekit.optimize.sparsity import LeftAlone, Schedule


def divide(model: Any) -> tuple[dict[str, tuple[Any, list[Any]]], list[LeftAlone]]:
    """Path → layer and its kernels, and the layers with nothing to prune; of the user's own layers, every matrix."""
    chosen: dict[str, tuple[Any, list[Any]]] = {}
    left: list[LeftAlone] = []
    for name, layer in sparsity.weighted_layers(model):
        kernels = _kernels(layer)
        if kernels:
            chosen[name] = (layer, kernels)
        else:
            left.append(sparsity.left_alone(name, layer, sparsity.reason_unpruned(layer)))
    return chosen, left


def _kernels(layer: Any) -> list[Any]:
    if not sparsity.is_standard(layer):
        return [variable for variable in layer.trainable_variables if len(variable.shape) >= 2]
    parts = [getattr(layer, name, None) for name in ("layer", "forward_layer", "backward_layer")]
    wrapped = {id(part): part for part in parts if part is not None}
    return [kernel for part in (wrapped.values() if wrapped else (layer,)) for kernel in sparsity.kernels(part)]


def prune_once(variables: list[Any], fraction: float) -> None:
    """Zeroes the smallest ``fraction`` of each variable."""
    masks = Masks(variables)
    masks.renew(fraction)
    masks.apply()


def callback(library: Any, variables: list[Any], plan: Schedule) -> Any:
    """The Keras callback that prunes ``variables`` by ``plan`` while ``fit`` runs."""
    masks = Masks(variables)

    class Prune(library.callbacks.Callback):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.step = 0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            del batch, logs
            self.step += 1
            if plan.updates(self.step):
                masks.renew(plan.sparsity(self.step))
                masks.apply()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del batch, logs
            masks.apply()

    return Prune()


class Masks:
    """One mask per variable: which values are kept."""

    def __init__(self, variables: list[Any]) -> None:
        self._variables = variables
        self._masks: list[Any] = [None] * len(variables)

    def renew(self, fraction: float) -> None:
        """Masks the smallest magnitudes, the same number in each variable as TFMOT does."""
        import numpy

        for index, variable in enumerate(self._variables):
            size = numpy.abs(numpy.asarray(variable)).ravel()
            keep = max(1, round(size.size * (1 - fraction)))
            mask = numpy.zeros(size.size, dtype=numpy.asarray(variable).dtype)
            mask[numpy.argsort(-size, kind="stable")[:keep]] = 1
            self._masks[index] = mask.reshape(variable.shape)

    def apply(self) -> None:
        """Zeroes what is masked."""
        for variable, mask in zip(self._variables, self._masks, strict=True):
            if mask is not None:
                variable.assign(variable * mask)


def check_pattern(pattern: str, because: str) -> None:
    """This engine prunes single weights only.

    Raises:
        ModelError: another pattern is asked for.
    """
    if pattern != "unstructured":
        raise ModelError(
            f"the pattern {pattern!r} needs TFMOT, and this model cannot go there: {because}",
            hint="use --pattern unstructured",
        )
