"""The door to TFMOT's own judgement of a model for XNNPACK's sparse kernels."""

from __future__ import annotations

from typing import Any

from edgekit.core import install
from edgekit.core.errors import DependencyError, ModelError
from edgekit.model import libraries


def check(model: Any, name: str) -> None:
    """Asks ``PruneForLatencyOnXNNPack``, which holds XNNPACK's rules for Keras layers.

    Args:
        model: tf_keras.
        name: of the file, for the message.

    Raises:
        ModelError: the policy refuses the model, in its words.
        DependencyError: TFMOT is not installed.
    """
    _ = libraries.tensorflow().keras  # TFMOT turns tf.keras into tf_keras for whoever asks for it first after
    libraries.tf_keras()
    try:
        from tensorflow_model_optimization.sparsity.keras import PruneForLatencyOnXNNPack
    except ImportError as error:
        raise DependencyError(
            f"tensorflow-model-optimization is not installed ({error})", hint=install.OPTIMIZE
        ) from error
    try:
        PruneForLatencyOnXNNPack().ensure_model_supports_pruning(model)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"TFMOT does not let {name} through to XNNPACK's sparse kernels: {reason}",
            hint="for lower latency use --recipe int8 or filters-int8; the form is that of MobileNet V1 and V2",
            details={"reasons": [reason]},
        ) from error
