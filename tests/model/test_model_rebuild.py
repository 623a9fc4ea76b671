"""Keras 3 models as tf_keras: what is rebuilt computes the same, and what cannot be is named."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.core.child import Child
from edgekit.core.errors import ModelError

REBUILT = [
    "cnn",
    "separable",
    "lstm",
    "gru",
    "bidirectional",
    "embedding",
    "masked_embedding",
    "attention",
    "nested",
    "transfer",
    "several",
    "named",
    "augmentation",
    "hard_activations",
    "hard_recurrent",
    "time_distributed",
    "normalization",
    "operations",
    "siamese",
    "states",
    "open_size",
]
REFUSED = ["custom", "without_counterpart", "own_activation", "subclassed"]


@pytest.fixture(scope="module")
def outcomes(child: Child) -> dict[str, Any]:
    found: dict[str, Any] = child.call("model_checks:rebuild_all", time_limit_s=300, names=[*REBUILT, *REFUSED])
    return found


@pytest.mark.parametrize("name", REBUILT)
def test_a_rebuilt_model_computes_what_the_original_does(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name].get("message") is None
    assert outcomes[name]["relative"] < 1e-5


@pytest.mark.parametrize("name", REBUILT)
def test_weights_go_back_into_the_original_layer_by_layer(outcomes: dict[str, Any], name: str) -> None:
    outcome = outcomes[name]
    assert outcome["untouched"]
    assert outcome["written_back"]
    assert outcome["trainable"][0] == outcome["trainable"][1]


@pytest.mark.parametrize("name", REBUILT)
def test_a_rebuilt_model_can_be_cloned_as_the_toolkit_does(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["cloned"]


def test_layers_of_nested_models_are_told_apart_by_their_path(outcomes: dict[str, Any]) -> None:
    assert outcomes["nested"]["layers"] == ["encoder/batch_normalization", "encoder/conv2d", "head/dense"]


@pytest.mark.parametrize(
    ("name", "layer", "kind"),
    [
        ("custom", "twice", "Doubling"),
        ("without_counterpart", "rms", "RMSNormalization"),
        ("own_activation", "mine", "Dense"),
        ("subclassed", "subclassed", "Subclassed"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(outcomes: dict[str, Any], name: str, layer: str, kind: str) -> None:
    outcome = outcomes[name]
    assert outcome["error"] == "RebuildRefused"
    assert repr(layer) in outcome["message"]
    assert outcome["details"] == {"layer": layer, "type": kind}


def test_the_numeric_check_names_the_first_layer_that_differs(child: Child) -> None:
    """Keras 2 and 3 mean different functions by hard_sigmoid; only running both can tell."""
    found = child.call("model_checks:rebuild_with_wrong_hard_sigmoid", time_limit_s=60)
    assert found["plain"]["details"]["layer"] == "dense"
    assert found["nested"]["details"]["layer"] == "gate"
    assert found["nested"]["details"]["path"] == "inner/gate"


def test_weights_of_another_model_are_not_copied(child: Child) -> None:
    with pytest.raises(ModelError, match="belong to another model"):
        child.call("model_checks:copy_into_another", time_limit_s=60)


def test_a_refusal_stays_a_model_error_outside_the_child(child: Child) -> None:
    with pytest.raises(ModelError) as caught:
        child.call("model_checks:refuse_across_the_boundary", time_limit_s=60)
    assert caught.value.exit_code == 4
    assert caught.value.details["layer"] == "twice"
