"""Weight clustering in Keras 3 itself, for models that cannot be rebuilt as tf_keras.

After every training step each weight goes to the nearest centroid and each centroid to the mean of its weights (k-means
as in Han et al., "Deep Compression", 2016, arXiv:1510.00149), so that training moves the shared values only.
"""

from __future__ import annotations

from typing import Any

from edgekit.optimize import cluster_values
from edgekit.optimize.sparsity import LeftAlone, left_alone


def divide(model: Any, clusters: int) -> tuple[dict[str, tuple[Any, list[Any]]], list[LeftAlone]]:
    """Path → layer and its kernels, and the layers with nothing to cluster."""
    chosen: dict[str, tuple[Any, list[Any]]] = {}
    left: list[LeftAlone] = []
    for name, layer in cluster_values.weighted_layers(model):
        found = cluster_values.kernels(layer)
        why = cluster_values.reason(layer, found, clusters)
        if why:
            left.append(left_alone(name, layer, why))
        else:
            chosen[name] = (layer, found)
    return chosen, left


class Shared:
    """Kernels whose weights share values."""

    def __init__(
        self, variables: list[Any], clusters: int, initialization: str, *, preserve_sparsity: bool, seed: int
    ) -> None:
        import numpy

        self._variables = variables
        self._masks = [numpy.asarray(v) != 0 if preserve_sparsity else None for v in variables]
        self._centroids = [
            cluster_values.centroids(
                numpy.asarray(variable), clusters, initialization, keep_zero=mask is not None, seed=seed
            )
            for variable, mask in zip(variables, self._masks, strict=True)
        ]

    def apply(self) -> None:
        """Moves the centroids to the means of their weights, and the weights to the centroids."""
        import numpy

        for index, (variable, mask) in enumerate(zip(self._variables, self._masks, strict=True)):
            values = numpy.asarray(variable)
            kept = values if mask is None else values[mask]
            old = self._centroids[index]
            if mask is not None:
                old = old[old != 0]
            if not old.size:
                continue
            flat = kept.ravel().astype(numpy.float64)
            fresh = numpy.sort(cluster_values.means(flat, cluster_values.nearest(flat, old), old))
            shared = fresh[cluster_values.nearest(flat, fresh)].astype(values.dtype)
            self._centroids[index] = fresh
            if mask is None:
                variable.assign(shared.reshape(values.shape))
            else:
                result = numpy.zeros_like(values)
                result[mask] = shared
                variable.assign(result)


def callback(library: Any, shared: Shared) -> Any:
    """The Keras callback that keeps the weights shared while ``fit`` runs."""

    class Share(library.callbacks.Callback):  # type: ignore[misc, name-defined, unused-ignore]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del batch, logs
            shared.apply()

    return Share()
