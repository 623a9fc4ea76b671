"""Weight clustering: distinct values per kernel, zeros that stay, the user's own file kind, and what is left alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy
import pytest
from optimize_workshop import Workshop

from edgekit.core.errors import ModelError, UsageError
from edgekit.optimize.cluster_values import INITIALIZATIONS, centroids, means, nearest

# ------------------------------------------------------------------------------------------------- the values


@pytest.mark.parametrize("initialization", INITIALIZATIONS)
@pytest.mark.parametrize("keep_zero", [False, True])
def test_centroids_are_sorted_few_and_within_the_weights(initialization: str, keep_zero: bool) -> None:
    weights = numpy.random.default_rng(1).normal(size=(3, 3, 4, 8)).astype("float32")
    weights[0] = 0
    found = centroids(weights, 8, initialization, keep_zero=keep_zero, seed=0)
    assert found.size <= 8
    assert (numpy.diff(found) > 0).all()
    assert weights.min() <= found[0]
    assert found[-1] <= weights.max()
    assert 0.0 in found or not keep_zero


def test_kmeans_finds_the_values_that_weights_lie_around() -> None:
    truth = numpy.array([-2.0, -0.5, 0.3, 1.0])
    weights = numpy.random.default_rng(2).choice(truth, 1000) + 0.01 * numpy.random.default_rng(3).normal(size=1000)
    found = centroids(weights, 4, "kmeans++", keep_zero=False, seed=0)
    assert found == pytest.approx(truth, abs=0.01)


def test_a_weight_goes_to_the_nearest_centroid_and_an_empty_cluster_stays() -> None:
    places = numpy.array([-1.0, 0.0, 4.0])
    index = nearest(numpy.array([-3.0, -0.6, 0.4, 1.9]), places)
    assert index.tolist() == [0, 0, 1, 1]
    assert means(numpy.array([-3.0, -0.6, 0.4, 1.9]), index, places) == pytest.approx([-1.8, 1.15, 4.0])


# ----------------------------------------------------------------------------------------------- whole models


def made(workshop: Workshop, name: str, library: str = "keras") -> str:
    return str(workshop.call("tests.optimize.optimize_qat:model", name=name, folder=workshop.path(""), library=library))


def clustered(workshop: Workshop, source: str, name: str, out: str, **options: Any) -> dict[str, Any]:
    tuning = {"epochs": 1, "learning_rate": 1e-4, "batch_size": 64}
    options = {"data": workshop.data(f"{name}.npz"), "clusters": 8, "tuning": tuning, **options}
    answer: dict[str, Any] = workshop.call("cluster:cluster", source=source, out=workshop.path(out), **options)
    return answer


def kernels(workshop: Workshop, path: str) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = workshop.call("tests.optimize.optimize_qat:kernels", path=path)
    return found


@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_every_kernel_of_a_nested_model_gets_few_values_and_depthwise_ones_are_named(
    workshop: Workshop, library: str
) -> None:
    source = made(workshop, "nested", library)
    before = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    answer = clustered(workshop, source, "nested", f"few-{library}.keras")
    assert answer["engine"] == "tfmot"
    assert len(answer["losses"]) == 1
    found = kernels(workshop, workshop.path(f"few-{library}.keras"))
    assert {name: values for name, (values, _) in found.items() if "depthwise" not in name} == {
        "backbone/stem": 8,
        "backbone/block1_pointwise": 8,
        "backbone/block2_pointwise": 8,
        "head/classes": 8,
    }
    left = {layer["name"]: layer["reason"] for layer in answer["unclustered"]}
    assert "depthwise" in left["backbone/block1_depthwise"]
    assert any("depthwise" in note for note in answer["notes"])
    assert any("not faster" in note for note in answer["notes"])
    assert hashlib.sha256(Path(source).read_bytes()).hexdigest() == before


def test_zeros_stay_where_they_were_if_asked_for_and_else_it_is_said_that_they_went(workshop: Workshop) -> None:
    source = made(workshop, "sequential")
    sparse = workshop.path("sparse.keras")
    workshop.call(
        "prune:prune",
        source=source,
        out=sparse,
        data=workshop.data("sequential.npz"),
        sparsity=0.6,
        tuning={"epochs": 1},
    )
    zeros = {name: zeros for name, (_, zeros) in kernels(workshop, sparse).items()}
    kept = clustered(workshop, sparse, "sequential", "kept.keras", preserve_sparsity=True)
    assert {name: zeros for name, (_, zeros) in kernels(workshop, kept["path"]).items()} == zeros
    assert all(layer["values"] <= 8 for layer in kept["layers"])
    assert "zeros-lost" not in [notice["code"] for notice in kept["notices"]]
    free = clustered(workshop, sparse, "sequential", "free.keras", initialization="linear")
    assert "zeros-lost" in [notice["code"] for notice in free["notices"]]


def test_a_model_with_own_layers_is_clustered_in_keras_itself(workshop: Workshop) -> None:
    answer = clustered(workshop, made(workshop, "custom"), "custom", "own-few.keras", preserve_sparsity=True)
    assert answer["engine"] == "keras"
    assert {layer["name"]: layer["values"] <= 8 for layer in answer["layers"]} == {
        "conv_1": True,
        "conv_2": True,
        "classes": True,
    }
    assert any("k-means of our own" in note for note in answer["notes"])
    assert all(values <= 8 for values, _ in kernels(workshop, answer["path"]).values())


def test_attention_and_recurrent_kernels_are_clustered_too(workshop: Workshop) -> None:
    for name in ("transformer", "gru"):
        answer = clustered(workshop, made(workshop, name), name, f"{name}-few.keras")
        assert all(layer["values"] <= 8 for layer in answer["layers"])
        assert {"MultiHeadAttention", "GRU"} & {layer["type"] for layer in answer["layers"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initialization": "kmeans"}, "unknown initialization 'kmeans'"),
        ({"clusters": 1}, "between 2 and 256"),
        ({"clusters": 2, "preserve_sparsity": True}, "between 3 and 256"),
        ({"out": "wrong.h5"}, "does not end like that"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(workshop: Workshop, options: dict[str, Any], message: str) -> None:
    out = options.pop("out", "never.keras")
    with pytest.raises(UsageError, match=message):
        clustered(workshop, made(workshop, "sequential"), "sequential", out, **options)
    assert not Path(workshop.path(out)).exists()


def test_a_model_with_nothing_to_cluster_is_refused_with_the_reason(workshop: Workshop) -> None:
    source = workshop.call("tests.optimize.optimize_qat:tiny", path=workshop.path("tiny.keras"))
    with pytest.raises(ModelError, match="no more than 16 weights"):
        workshop.call("cluster:cluster", source=source, out=workshop.path("never.keras"))
