"""The door to TFMOT's weight clustering of a tf_keras model, layer by layer, nested models included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgekit.core import install
from edgekit.core.errors import DependencyError
from edgekit.model import libraries
from edgekit.optimize import cluster_values
from edgekit.optimize.sparsity import LeftAlone, left_alone

_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional")
_INITIALIZATIONS = {
    "kmeans++": "KMEANS_PLUS_PLUS",
    "linear": "LINEAR",
    "density-based": "DENSITY_BASED",
    "random": "RANDOM",
}


def divide(model: Any, clusters: int) -> tuple[dict[str, tuple[Any, list[Any]]], list[LeftAlone]]:
    """Path → layer and its kernels, of what TFMOT will cluster; and the other layers with the reason."""
    registry = _Toolkit().registry
    chosen: dict[str, tuple[Any, list[Any]]] = {}
    left: list[LeftAlone] = []
    for name, layer in cluster_values.weighted_layers(model):
        found = cluster_values.kernels(layer)
        why = cluster_values.reason(layer, found, clusters)
        if not why and not registry.supports(layer):
            why = "TFMOT does not know this layer"
        if why:
            left.append(left_alone(name, layer, why))
        else:
            chosen[name] = (layer, found)
    return chosen, left


def cluster(
    model: Any,
    chosen: Mapping[str, tuple[Any, list[Any]]],
    *,
    clusters: int,
    initialization: str,
    preserve_sparsity: bool,
    train: Callable[[Any], None] | None,
) -> None:
    """Clusters the chosen layers of ``model``, whose weights are changed; its layers are not.

    Args:
        model: tf_keras.
        chosen: from :func:`divide`.
        clusters: distinct values in each kernel.
        initialization: see :func:`edgekit.optimize.cluster_values.centroids`.
        preserve_sparsity: zeros stay zero, and have a value of their own.
        train: runs ``fit`` on the wrapped model; None: the first centroids are the result.
    """
    tfmot = _Toolkit()
    names = {id(layer) for layer, _ in chosen.values()}
    start = tfmot.initialization(_INITIALIZATIONS[initialization])
    copies: dict[int, Any] = {}
    wrappers: list[Any] = []

    def copied(layer: Any) -> Any:
        if isinstance(layer, tfmot.keras.Model):
            copy = tfmot.keras.models.clone_model(layer, clone_function=copied)
        else:
            copy = type(layer).from_config(layer.get_config())
        copies[id(layer)] = copy
        return copy

    # TFMOT puts tensors where the layers had their variables, so it gets layers of its own
    copy = tfmot.keras.models.clone_model(model, clone_function=copied)
    copy.set_weights(model.get_weights())
    variables = list(copy.weights)
    chosen_copies = {id(copies[identity]) for identity in names}

    def wrapped(layer: Any) -> Any:
        if isinstance(layer, tfmot.keras.Model):
            return tfmot.keras.models.clone_model(layer, clone_function=wrapped)
        if id(layer) not in chosen_copies:
            return layer
        kind = type(layer).__name__
        if kind in _RECURRENT:
            cls = tfmot.recurrent_wrapper
        else:
            cls = tfmot.attention_wrapper if kind == "MultiHeadAttention" else tfmot.wrapper
        wrappers.append(cls(layer, clusters, start, preserve_sparsity))
        return wrappers[-1]

    whole = tfmot.keras.models.clone_model(copy, clone_function=wrapped)
    if train is not None:
        train(whole)
    for wrapper in wrappers:
        wrapper.update_clustered_weights_associations()
        for name, variable in wrapper.original_clusterable_weights.items():
            variable.assign(wrapper.get_weight_from_layer(name))
    model.set_weights([variable.numpy() for variable in variables])


class _Toolkit:
    """The parts of TFMOT that are used."""

    def __init__(self) -> None:
        _ = libraries.tensorflow().keras  # TFMOT turns tf.keras into tf_keras for whoever asks for it first after
        self.keras = libraries.tf_keras()
        try:
            # the sparsity-preserving wrappers are here only: the public function has no such option
            from tensorflow_model_optimization.python.core.clustering.keras import (
                cluster_config,
                cluster_wrapper,
                clustering_registry,
            )
        except ImportError as error:
            raise DependencyError(
                f"tensorflow-model-optimization is not installed ({error})", hint=install.OPTIMIZE
            ) from error
        self.registry = clustering_registry.ClusteringRegistry
        self.wrapper = cluster_wrapper.ClusterWeights
        self.recurrent_wrapper = cluster_wrapper.ClusterWeightsRNN

        class Attention(cluster_wrapper.ClusterWeightsMHA):  # type: ignore[misc, name-defined, unused-ignore]
            """TFMOT's wrapper takes one argument; attention has at least two."""

            def call(self, *inputs: Any, **options: Any) -> Any:
                self.update_clustered_weights_associations()
                return self.layer.call(*inputs, **options)

        self.attention_wrapper = Attention
        self._initializations = cluster_config.CentroidInitialization

    def initialization(self, name: str) -> Any:
        """TFMOT's word for where clustering begins."""
        return getattr(self._initializations, name)
