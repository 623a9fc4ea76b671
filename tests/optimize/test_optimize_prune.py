"""Pruning: sparsity per layer, the user's own file kind, the schedule, and what cannot be pruned."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy
import pytest
from optimize_workshop import Workshop

from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.core.events import Event
from edgekit.model.format import detect_format
from edgekit.optimize import model_tree
from edgekit.optimize.sparsity import schedule

# ------------------------------------------------------------------------------------------------ the schedule


def test_the_sparsity_rises_from_initial_to_final_fast_at_first() -> None:
    plan = schedule(initial=0.2, final=0.8, steps=200)
    values = [plan.sparsity(step) for step in range(0, 201, 10)]
    assert values[0] == pytest.approx(0.2)
    assert values == sorted(values)
    assert plan.sparsity(plan.end) == plan.sparsity(10_000) == pytest.approx(0.8)
    assert plan.sparsity(plan.end // 2) > 0.5  # the middle value, were it linear
    assert plan.end <= 100


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100, 1234])
def test_the_last_update_has_the_final_sparsity_however_short_the_training(steps: int) -> None:
    plan = schedule(initial=0.0, final=0.5, steps=steps)
    updates = [step for step in range(plan.end + 1) if plan.updates(step)]
    assert updates[-1] == plan.end
    assert plan.sparsity(updates[-1]) == 0.5


@pytest.mark.parametrize(("initial", "final"), [(0.6, 0.5), (0.0, 1.0), (-0.1, 0.5)])
def test_an_impossible_sparsity_is_refused(initial: float, final: float) -> None:
    with pytest.raises(UsageError, match="sparsity must rise"):
        schedule(initial=initial, final=final, steps=10)


# ---------------------------------------------------------------------------------------------- whole models


def sha256(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()


def pruned(workshop: Workshop, model: str, out: str, **options: Any) -> dict[str, Any]:
    options = {"data": workshop.data("images.npz"), "epochs": 2, "sparsity": 0.75, "batch_size": 40, **options}
    tuning = {
        key: options.pop(key)
        for key in ("epochs", "batch_size", "optimizer", "learning_rate", "loss", "seed")
        if key in options
    }
    answer: dict[str, Any] = workshop.call(
        "prune:prune", source=workshop.path(model), out=workshop.path(out), tuning=tuning, **options
    )
    return answer


@pytest.mark.parametrize(
    ("model", "out", "kind"),
    [
        ("nested.keras", "pruned-k3.keras", "keras3-keras"),
        ("nested.h5", "pruned-k3.h5", "keras3-h5"),
        ("old.h5", "pruned-tk.h5", "tf-keras-h5"),
        ("old_folder", "pruned-folder.keras", "tf-keras-keras"),
    ],
)
def test_a_model_with_rescaling_and_a_model_inside_is_pruned_into_its_own_kind(
    workshop: Workshop, model: str, out: str, kind: str
) -> None:
    source = workshop.folder / model
    before = sha256(source)
    answer = pruned(workshop, model, out)
    assert sha256(source) == before
    assert detect_format(workshop.folder / out).name == kind
    assert answer["engine"] == "tfmot"
    assert {layer["name"]: layer["zeros"] / layer["weights"] for layer in answer["layers"]} == {
        "first": 0.75,
        "inner/conv": 0.75,
        "logits": 0.75,
    }
    assert answer["sparsity"] == 0.75
    assert {layer["name"]: layer["reason"] for layer in answer["unpruned"]} == {
        "inner/depthwise": "depthwise kernels hold few weights and suffer most",
        "inner/norm": "no kernel: scales and offsets only",
    }
    assert answer["losses"][-1] < answer["losses"][0]
    held = [numpy.array(value) for value in workshop.reference("weights", model=workshop.path(out))]
    assert sum(int((value == 0).sum()) for value in held if value.ndim >= 2) >= sum(
        layer["zeros"] for layer in answer["layers"]
    )


def test_the_loss_is_the_models_own_and_the_steps_are_counted(workshop: Workshop) -> None:
    answer = pruned(workshop, "nested.keras", "own-loss.keras")
    assert answer["loss"] == "SparseCategoricalCrossentropy(from_logits=True), the model's own"
    assert answer["steps"] == 12  # 240 rows, 40 at a time, twice
    assert answer["rebuilt_difference"] < 1e-5
    assert any("not in memory, and inference is not faster" in note for note in answer["notes"])
    assert answer["notices"] == []


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(workshop: Workshop) -> None:
    made = []
    for index, seed in enumerate((0, 0, 1)):
        pruned(workshop, "nested.keras", f"seed-{index}.keras", seed=seed)
        made.append(workshop.reference("weights", model=workshop.path(f"seed-{index}.keras")))
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_the_zeros_survive_int8(workshop: Workshop) -> None:
    pruned(workshop, "nested.keras", "to-int8.keras")
    _, tflite = workshop.float_model("to-int8.keras")
    out = workshop.folder / "pruned-int8.tflite"
    workshop.call(
        "quantize:quantize",
        float_model=str(tflite),
        out=str(out),
        mode="int8",
        representative=workshop.data("images.npz"),
    )
    model = model_tree.read(out)
    sparse = []
    for op in model.subgraphs[0].operators:
        if model_tree.op_name(model, op) in ("CONV_2D", "FULLY_CONNECTED"):
            tensor = model.subgraphs[0].tensors[op.inputs[1]]
            assert set(tensor.quantization.zeroPoint) == {0}
            sparse.append((numpy.array(model.buffers[tensor.buffer].data, dtype="uint8") == 0).mean())
    assert len(sparse) == 3
    assert min(sparse) >= 0.75


def test_every_epoch_is_told(workshop: Workshop) -> None:
    seen: list[Event] = []
    pruned(workshop, "nested.keras", "told.keras", epochs=3, on_event=seen.append)
    messages = [event.message for event in seen if event.state == "progress"]
    assert [message.split(",")[0] for message in messages] == ["epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3"]


@pytest.mark.parametrize("without", [{"data": None}, {"epochs": 0}, {"unlabelled": True}])
def test_without_labels_the_model_is_pruned_at_once_with_a_warning(workshop: Workshop, without: dict[str, Any]) -> None:
    if without.pop("unlabelled", False):
        without = {"data": workshop.data("unlabelled.npz")}
    answer = pruned(workshop, "nested.keras", "untuned.keras", **without)
    assert answer["sparsity"] == 0.75
    assert answer["steps"] == 0
    assert [notice["code"] for notice in answer["notices"]] == ["not-fine-tuned"]


def test_two_of_four_leaves_two_in_every_group_of_four_inputs(workshop: Workshop) -> None:
    answer = pruned(workshop, "nested.keras", "2-4.keras", pattern="2:4", sparsity=0.5)
    assert {layer["name"] for layer in answer["layers"]} == {"inner/conv", "logits"}
    assert "first (2:4 needs at least 4 inputs)" in answer["notes"][-1]
    held = [numpy.array(value) for value in workshop.reference("weights", model=workshop.path("2-4.keras"))]
    (logits,) = [value for value in held if value.shape == (8, 4)]
    groups = (logits.T.reshape(4, 2, 4) == 0).sum(axis=-1)
    assert (groups == 2).all()


def test_blocks_are_pruned_in_dense_layers_only(workshop: Workshop) -> None:
    answer = pruned(workshop, "old.h5", "block.h5", pattern="block", sparsity=0.5)
    assert [layer["name"] for layer in answer["layers"]] == ["logits"]
    held = [numpy.array(value) for value in workshop.reference("weights", model=workshop.path("block.h5"))]
    (logits,) = [value for value in held if value.shape == (8, 4)]
    blocks = (logits.reshape(2, 4, 4) == 0).all(axis=1)
    assert blocks.sum() == 4


def test_a_model_that_cannot_be_rebuilt_is_pruned_in_keras_itself(workshop: Workshop) -> None:
    answer = pruned(workshop, "modern.keras", "modern-pruned.keras")
    assert answer["engine"] == "keras"
    assert {layer["name"]: layer["zeros"] / layer["weights"] for layer in answer["layers"]} == {
        "hidden": 0.75,
        "out": 0.75,
    }
    assert "'only_in_keras_3' (RMSNormalization)" in answer["notes"][0]
    assert "the same schedule" in answer["notes"][0]
    assert answer["losses"][-1] < answer["losses"][0]
    again = pruned(workshop, "modern.keras", "modern-again.keras")
    assert again["losses"] == answer["losses"]


def test_matrices_of_the_users_own_layers_and_inside_wrappers_are_pruned_in_keras_itself(workshop: Workshop) -> None:
    zeros = workshop.reference("divided_custom_model")
    assert zeros == {"mine": [12], "out": [9], "both_ways": [8, 8, 8, 8]}


def test_only_single_weights_are_pruned_in_keras_itself(workshop: Workshop) -> None:
    with pytest.raises(ModelError, match="the pattern '2:4' needs TFMOT"):
        pruned(workshop, "modern.keras", "x.keras", pattern="2:4")


# ---------------------------------------------------------------------------------------------- refusals


def test_a_savedmodel_without_layers_says_what_to_prune_instead(workshop: Workshop) -> None:
    with pytest.raises(ModelError, match="a SavedModel without Keras layers") as caught:
        pruned(workshop, "plain_folder", "x.keras")
    assert ".keras or .h5" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pattern": "blocks"}, "unknown pattern 'blocks'"),
        ({"optimizer": "adan"}, "expected one of adam"),
        ({"sparsity": 1.5}, "sparsity must rise"),
        ({"learning_rate": 0.0}, "learning_rate must be between"),
        ({"loss": "crossentropie"}, "unknown loss 'crossentropie'"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_and_writes_nothing(
    workshop: Workshop, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        pruned(workshop, "nested.keras", "never.keras", **wrong)
    assert not (workshop.folder / "never.keras").exists()


def test_the_output_must_be_of_the_models_kind(workshop: Workshop) -> None:
    with pytest.raises(UsageError, match=r"written back as a \.keras file"):
        pruned(workshop, "nested.keras", "other.h5")


def test_the_model_itself_is_never_the_output(workshop: Workshop) -> None:
    with pytest.raises(UsageError, match="never written to"):
        pruned(workshop, "nested.keras", "nested.keras")


def test_labels_beyond_the_outputs_are_refused(workshop: Workshop) -> None:
    arrays = numpy.load(workshop.path("images.npz"))
    numpy.savez(workshop.path("beyond.npz"), x=arrays["x"], y=arrays["y"] + 2)
    with pytest.raises(DataError, match="the labels run from 2 to 5, but the model has 4 outputs"):
        pruned(workshop, "modern.keras", "x.keras", data=workshop.data("beyond.npz"))


@pytest.mark.parametrize(
    ("model", "labels", "whole", "loss"),
    [
        ("4 softmax", [0, 3, 1], True, "SparseCategoricalCrossentropy(from_logits=False)"),
        ("4 linear", [0.0, 3.0, 1.0], False, "SparseCategoricalCrossentropy(from_logits=True)"),
        ("2 softmax", [[0, 1], [1, 0]], True, "CategoricalCrossentropy(from_logits=False)"),
        ("2 sigmoid", [[1, 1], [1, 0]], True, "BinaryCrossentropy(from_logits=False)"),
        ("1 sigmoid", [0, 1, 1], True, "BinaryCrossentropy(from_logits=False)"),
        ("1 linear", [0, 1, 1], True, "BinaryCrossentropy(from_logits=True)"),
        ("1 linear", [0.5, 7.25], False, "MeanSquaredError()"),
        ("2 linear", [[0.5, 1.5], [2.5, 3.5]], False, "MeanSquaredError()"),
        ("3 linear", [[0.5, 1.5], [2.5, 3.5]], False, None),
    ],
)
def test_the_loss_fits_the_labels_and_the_last_activation(
    workshop: Workshop, model: str, labels: list[Any], whole: bool, loss: str | None
) -> None:
    found = workshop.reference("chosen_loss", model=model, labels=labels, whole=whole)
    assert found == loss if loss is None else found.startswith(f"{loss}, chosen from the labels")


def test_the_optimizers_moments_are_not_written_with_the_new_weights(tmp_path: Path) -> None:
    import edgekit
    from edgekit.verbs.demo import example_folder

    folder = example_folder()
    made = edgekit.prune(
        folder / "digits.keras", data=str(folder / "digits.npz"), epochs=1, output=tmp_path / "pruned.keras"
    )
    assert made.size_bytes < 1.1 * (folder / "digits.keras").stat().st_size
