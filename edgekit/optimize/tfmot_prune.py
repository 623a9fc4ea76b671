"""The door to the TensorFlow Model Optimization Toolkit: magnitude pruning of a tf_keras model.

TFMOT wraps and changes the layers of the model that it is given; the caller keeps the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgekit.core import install
from edgekit.core.errors import DependencyError, UsageError
from edgekit.core.suggest import unknown
from edgekit.model import libraries
from edgekit.optimize import sparsity
from edgekit.optimize.sparsity import LeftAlone, Schedule

PATTERNS = ("unstructured", "block", "2:4")
_BLOCK = (4, 1)


def check_pattern(pattern: str) -> None:
    """Refuses patterns that are not there.

    Raises:
        UsageError: unknown.
    """
    if pattern not in PATTERNS:
        message, hint = unknown("pattern", pattern, PATTERNS)
        raise UsageError(message, hint=hint)


def divide(model: Any, pattern: str) -> tuple[dict[str, tuple[Any, list[Any]]], list[LeftAlone]]:
    """Path → layer and its kernels, of what TFMOT will prune; and the other layers with the reason."""
    registry = _Toolkit().registry
    chosen: dict[str, tuple[Any, list[Any]]] = {}
    left: list[LeftAlone] = []
    for name, layer in sparsity.weighted_layers(model):
        kernels = sparsity.kernels(layer)
        if not kernels or not registry.supports(layer):
            reason = sparsity.reason_unpruned(layer)
        else:
            reason = _misfit(layer, kernels, pattern)
        if reason:
            left.append(sparsity.left_alone(name, layer, reason))
        else:
            chosen[name] = (layer, kernels)
    return chosen, left


def prune(
    model: Any,
    chosen: Mapping[str, tuple[Any, list[Any]]],
    plan: Schedule,
    pattern: str,
    train: Callable[[Any, list[Any]], None] | None,
) -> None:
    """Prunes the chosen layers of ``model`` in place.

    Args:
        model: tf_keras; its weights are changed, and its layers wrapped meanwhile.
        chosen: from :func:`divide`.
        plan: when how much.
        pattern: ``unstructured``, ``block`` (4 inputs by 1 output) or ``2:4``.
        train: runs ``fit`` on the wrapped model with the callbacks; None: the final sparsity at once.
    """
    tfmot = _Toolkit()
    identities = {id(layer) for layer, _ in chosen.values()}

    class Policy(tfmot.sparsity.PruningPolicy):  # type: ignore[misc, name-defined, unused-ignore]
        """Lets every model through; only the chosen layers are wrapped."""

        def allow_pruning(self, layer: Any) -> bool:
            return id(layer) in identities

        def ensure_model_supports_pruning(self, model: Any) -> None:
            del model

    options: dict[str, Any] = {}
    if pattern == "block":
        options["block_size"] = _BLOCK
    elif pattern == "2:4":
        options["sparsity_m_by_n"] = (2, 4)
    decay = tfmot.sparsity.PolynomialDecay(
        initial_sparsity=plan.initial,
        final_sparsity=plan.final,
        begin_step=plan.begin,
        end_step=plan.end,
        frequency=plan.frequency,
    )
    wrapped = tfmot.sparsity.prune_low_magnitude(model, pruning_schedule=decay, pruning_policy=Policy(), **options)
    if train is not None:
        train(wrapped, [tfmot.sparsity.UpdatePruningStep()])
    for layer in tfmot.wrapper.collect_prunable_layers(wrapped):
        # A training shorter than the schedule, or none, ends with the final masks all the same. TFMOT sets the masks
        # of 2:4 at step 1 and never again.
        if int(layer.pruning_step) < plan.end and not (pattern == "2:4" and int(layer.pruning_step) >= 1):
            layer.pruning_step.assign(1 if pattern == "2:4" else plan.end)
            layer.pruning_obj.conditional_mask_update()
        layer.pruning_obj.weight_mask_op()


def _misfit(layer: Any, kernels: list[Any], pattern: str) -> str:
    if pattern == "block" and type(layer).__name__ != "Dense":
        return "blocks are for Dense layers only"
    if pattern == "block" and any(int(kernel.shape[0]) <= _BLOCK[0] or int(kernel.shape[1]) < 2 for kernel in kernels):
        return "blocks of 4 inputs by 1 output need more than 4 inputs and more than 1 output"
    if pattern == "2:4" and any(len(kernel.shape) not in (2, 4) for kernel in kernels):
        return "2:4 needs kernels of 2 or 4 dimensions"
    if pattern == "2:4" and any(int(kernel.shape[-2]) < 4 for kernel in kernels):
        return "2:4 needs at least 4 inputs"
    return ""


class _Toolkit:
    """The parts of TFMOT that are used."""

    def __init__(self) -> None:
        _ = libraries.tensorflow().keras  # TFMOT turns tf.keras into tf_keras for whoever asks for it first after
        libraries.tf_keras()
        try:
            from tensorflow_model_optimization.python.core.sparsity.keras import prune_registry, pruning_wrapper
            from tensorflow_model_optimization.sparsity import keras as sparsity_api
        except ImportError as error:
            raise DependencyError(
                f"tensorflow-model-optimization is not installed ({error})", hint=install.OPTIMIZE
            ) from error
        self.sparsity = sparsity_api
        self.registry = prune_registry.PruneRegistry
        self.wrapper = pruning_wrapper
