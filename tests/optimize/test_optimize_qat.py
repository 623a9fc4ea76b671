"""Quantization-aware training: full-integer files, layers named, zeros and shared values kept, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy
import pytest
import zoo
from ai_edge_litert.interpreter import Interpreter
from optimize_workshop import Workshop

from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.optimize.audit import audit_tflite


def made(workshop: Workshop, name: str, library: str = "keras") -> str:
    return str(workshop.call("tests.optimize.optimize_qat:model", name=name, folder=workshop.path(""), library=library))


def trained(workshop: Workshop, name: str, out: str, **options: Any) -> dict[str, Any]:
    source = options.pop("source", None) or made(workshop, name)
    tuning = {"epochs": 1, "learning_rate": 1e-4, "batch_size": 32}
    options = {"data": workshop.data(f"{name}.npz"), "tuning": tuning, **options}
    answer: dict[str, Any] = workshop.call("qat:qat", source=source, out=workshop.path(out), **options)
    return answer


def accuracy(path: str, name: str) -> float:
    """Of a model with one int8 input and output, on rows that it has not seen."""
    inputs, labels = zoo.rows(name, 200, seed=9)
    interpreter = Interpreter(model_path=path)
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = given["quantization"]
    right = 0
    for row, label in zip(next(iter(inputs.values())), labels):
        interpreter.set_tensor(
            given["index"], numpy.clip(numpy.round(row / scale + zero), -128, 127).astype("int8")[None]
        )
        interpreter.invoke()
        right += int(interpreter.get_tensor(found["index"]).argmax() == label)
    return right / len(labels)


def treatments(answer: dict[str, Any]) -> dict[str, str]:
    return {layer["name"]: layer["treatment"] for layer in answer["layers"]}


# ------------------------------------------------------------------------------------------------ the flat graph


def test_the_flat_graph_computes_the_same_with_layers_that_can_be_simulated(workshop: Workshop) -> None:
    found = workshop.call("tests.optimize.optimize_qat:flattened")
    assert found["difference"] < 1e-5
    types = found["types"]
    assert not {"Conv1D", "SeparableConv1D", "DepthwiseConv1D"} & set(types.values())
    assert (types["causal"], types["causal_activation"]) == ("Conv2D", "Activation")
    assert types["separable_depthwise"] == types["depthwise"] == "DepthwiseConv2D"
    assert found["removed"] == ["noise"]
    assert sorted(name for name, path in found["origin"].items() if path.endswith("/causal")) == [
        "inner_causal",
        "inner_causal_activation",
    ]
    assert types["inner_causal_activation"] == "ReLU"  # relu6
    treatment = found["treatment"]
    assert treatment["norm"] == treatment["depthwise"] == treatment["separable"] == "trained"
    assert treatment["causal_activation"] == "output"
    assert treatment["twice"] == "calibrated"


# -------------------------------------------------------------------------------------------------- whole models


def test_a_nested_keras3_model_becomes_full_integer_with_the_names_of_the_plain_conversion(workshop: Workshop) -> None:
    source = made(workshop, "nested")
    before = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    answer = trained(workshop, "nested", "nested-qat.tflite")
    assert audit_tflite(Path(answer["path"])).full_integer
    assert [spec["name"] for spec in answer["inputs"]] == ["image"]
    assert [spec["name"] for spec in answer["outputs"]] == ["head"]
    assert {spec["dtype"] for spec in (*answer["inputs"], *answer["outputs"])} == {"int8"}
    assert set(treatments(answer).values()) == {"trained"}
    assert "backbone/block1_depthwise" in treatments(answer)
    assert (len(answer["losses"]), answer["steps"]) == (1, 16)
    before_training = workshop.call("tests.optimize.optimize_qat:float_accuracy", path=source, name="nested")
    assert accuracy(answer["path"], "nested") > before_training - 0.05
    assert hashlib.sha256(Path(source).read_bytes()).hexdigest() == before


def test_several_inputs_and_outputs_keep_the_order_of_the_plain_conversion(workshop: Workshop) -> None:
    for name in ("multi_input", "multi_output"):
        answer = trained(workshop, name, f"{name}-qat.tflite", tuning={"epochs": 0}, mode="int8-float-io")
        _, plain = workshop.float_model(Path(made(workshop, name)).name)
        specs = workshop.call("tests.optimize.optimize_qat:names", path=str(plain))
        assert [spec["name"] for spec in answer["inputs"]] == specs["inputs"]
        assert [spec["name"] for spec in answer["outputs"]] == specs["outputs"]
        assert {spec["dtype"] for spec in (*answer["inputs"], *answer["outputs"])} == {"float32"}
        codes = [notice["code"] for notice in answer["notices"]]  # other tests may have registered layers in this child
        assert [code for code in codes if code != "custom-unused"] == ["not-fine-tuned"]


def test_attention_trains_in_float_is_named_and_still_becomes_int8(workshop: Workshop) -> None:
    answer = trained(workshop, "transformer", "transformer-qat.tflite")
    assert treatments(answer)["attention"] == "calibrated"
    assert treatments(answer)["norm_1"] == "output"
    assert any("attention (MultiHeadAttention" in note for note in answer["notes"])
    assert audit_tflite(Path(answer["path"])).full_integer


@pytest.mark.slow
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
@pytest.mark.parametrize(
    "name", ["audio", "transfer", "densenet", "unet", "squeeze_excite", "lstm", "depthwise", "keyword_spotting"]
)
def test_models_of_every_kind_become_full_integer(workshop: Workshop, name: str, library: str) -> None:
    answer = trained(workshop, name, f"{name}-{library}-qat.tflite", source=made(workshop, name, library))
    assert audit_tflite(Path(answer["path"])).full_integer
    if name == "transfer":
        assert answer["removed"] == ["augment/flip", "augment/turn"]
        assert treatments(answer)["rescale"] == "output"


def test_zeros_and_shared_values_survive_in_the_int8_file(workshop: Workshop) -> None:
    rows = workshop.data("sequential.npz")
    sparse, few = workshop.path("qat-sparse.keras"), workshop.path("qat-few.keras")
    quick = {"epochs": 1, "learning_rate": 1e-4}
    source = made(workshop, "sequential")
    workshop.call("prune:prune", source=source, out=sparse, data=rows, sparsity=0.6, tuning=quick)
    workshop.call(
        "cluster:cluster", source=sparse, out=few, data=rows, clusters=8, preserve_sparsity=True, tuning=quick
    )
    tuning = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 32}
    both = trained(workshop, "sequential", "both.tflite", source=few, preserve="both", tuning=tuning)
    assert len(both["kept"]) == 4
    for layer in both["kept"]:
        assert layer["found"]
        assert layer["zeros"] >= layer["zeros_before"] > 0
        assert layer["values"] <= layer["values_before"] <= 8
    assert "not-preserved" not in [notice["code"] for notice in both["notices"]]
    none = trained(workshop, "sequential", "plain.tflite", source=few, tuning=tuning)
    assert none["kept"] == []
    assert gzipped(both["path"]) < 0.8 * gzipped(none["path"])


def gzipped(path: str) -> int:
    return len(gzip.compress(Path(path).read_bytes()))


def test_nothing_to_preserve_is_said(workshop: Workshop) -> None:
    answer = trained(workshop, "sequential", "dense.tflite", preserve="sparsity", tuning={"epochs": 0})
    assert "nothing-to-preserve" in [notice["code"] for notice in answer["notices"]]


# ------------------------------------------------------------------------------------------------------ refusals


def test_a_loop_that_would_crash_the_converter_is_refused_before_training(workshop: Workshop) -> None:
    with pytest.raises(ModelError, match=r"cannot make int8: memory \(GRU\)"):
        trained(workshop, "gru", "never.tflite")


def test_own_layers_of_keras3_are_refused_by_name_with_the_way_out(workshop: Workshop) -> None:
    with pytest.raises(ModelError, match="'gate'") as refused:
        trained(workshop, "custom", "never.tflite")
    assert "recipe int8" in str(refused.value.hint)


def test_own_layers_of_tf_keras_train_with_their_outputs_simulated(workshop: Workshop) -> None:
    answer = trained(workshop, "custom", "own.tflite", source=made(workshop, "custom", "tf_keras"))
    assert treatments(answer)["gate"] == "output"
    assert treatments(answer)["conv_2"] == "trained"
    assert any("conv_2 (Conv2D: TFMOT cannot simulate the activation soft_step)" in note for note in answer["notes"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": "int16x8"}, UsageError, "unknown mode 'int16x8'"),
        ({"preserve": "sparse"}, UsageError, "unknown preserve 'sparse'"),
        ({"data": None}, DataError, "needs rows to find the ranges"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(
    workshop: Workshop, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        trained(workshop, "sequential", "never.tflite", **options)
    assert not Path(workshop.path("never.tflite")).exists()
