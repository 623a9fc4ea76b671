"""Fine-tuning on a teacher's outputs: the loss, the rows it belongs to, and the model that is written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
import pytest
from optimize_workshop import Workshop

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.optimize.distill.targets import match
from edgekit.optimize.learning_rate import part_of_rate

Array = Any
BOTH = ("keras", "tf_keras")


def here(workshop: Workshop, function: str, **arguments: Any) -> Any:
    return workshop.call(f"tests.optimize.optimize_distill:{function}", **arguments)


def zoo(workshop: Workshop, name: str, library: str = "keras") -> str:
    folder = workshop.folder / "distill"
    folder.mkdir(exist_ok=True)
    made: str = here(workshop, "zoo", name=name, folder=str(folder), library=library)
    return made


def zoo_rows(workshop: Workshop, name: str, *, labels: bool, count: int = 256) -> dict[str, Any]:
    path = workshop.folder / f"distill-{name}-{labels}-{count}.npz"
    if not path.exists():
        here(workshop, "rows", name=name, path=str(path), count=count, labels=labels)
    return {"source": str(path)}


# -------------------------------------------------------------------------------------------------------- the loss


def softmax(values: Array) -> Array:
    high = numpy.exp(values - values.max(axis=-1, keepdims=True))
    return high / high.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("library", BOTH)
def test_classes_are_learnt_by_the_divergence_at_a_temperature_times_its_square(
    workshop: Workshop, library: str
) -> None:
    random = numpy.random.default_rng(0)
    theirs, ours = random.normal(0, 3, (6, 5)), random.normal(0, 3, (6, 5))
    labels = [0, 4, 2, 1, 3, 3]
    found = {
        alpha: here(
            workshop,
            "soft_loss",
            library=library,
            kind="softmax",
            target=softmax(theirs).tolist(),
            predicted=softmax(ours).tolist(),
            label=labels,
            temperature=3.0,
            alpha=alpha,
        )
        for alpha in (0.0, 0.4, 1.0)
    }
    p, q = softmax(theirs / 3), softmax(ours / 3)
    divergence = 9 * (p * (numpy.log(p) - numpy.log(q))).sum(axis=1).mean()
    cross_entropy = -numpy.log(softmax(ours)[numpy.arange(6), labels]).mean()
    assert found[1.0] == pytest.approx(divergence, rel=1e-4)
    assert found[0.0] == pytest.approx(cross_entropy, rel=1e-4)
    assert found[0.4] == pytest.approx(0.4 * divergence + 0.6 * cross_entropy, rel=1e-4)


@pytest.mark.parametrize("library", BOTH)
def test_a_model_that_equals_its_teacher_has_no_loss(workshop: Workshop, library: str) -> None:
    random = numpy.random.default_rng(1)
    for kind in ("softmax", "sigmoid", "values"):
        values = random.uniform(0.01, 0.99, (4, 3, 5))
        same = (values / values.sum(axis=-1, keepdims=True)).tolist() if kind == "softmax" else values.tolist()
        other = numpy.roll(numpy.array(same), 1, axis=-1).tolist()
        options = {"library": library, "kind": kind, "label": None, "temperature": 4.0, "alpha": 1.0}
        assert here(workshop, "soft_loss", target=same, predicted=same, **options) == pytest.approx(0, abs=1e-5)
        assert here(workshop, "soft_loss", target=same, predicted=other, **options) > 0.01


@pytest.mark.parametrize(
    ("model", "library", "labels", "loss"),
    [
        ("sequential", "keras", True, "at temperature 4 (weight 0.7), and SparseCategoricalCrossentropy"),
        ("logits", "tf_keras", True, "(weight 0.7), and SparseCategoricalCrossentropy(from_logits=True), the model's"),
        ("logits", "keras", False, "the teacher's outputs at temperature 4"),
        ("autoencoder", "tf_keras", False, "the teacher's outputs (squared error)"),
        ("unet", "keras", True, "(weight 0.7), and SparseCategoricalCrossentropy(from_logits=False)"),
        ("multi_input", "tf_keras", False, "the teacher's outputs at temperature 4"),
        ("multi_output", "keras", False, "the teacher's outputs at temperature 4"),
        ("multi_output", "tf_keras", False, "the teacher's outputs at temperature 4"),
    ],
)
def test_a_shaken_model_comes_back_to_its_teacher(
    workshop: Workshop, model: str, library: str, labels: bool, loss: str
) -> None:
    path = zoo(workshop, model, library)
    data = zoo_rows(workshop, model, labels=labels)
    found = here(workshop, "plan", model=path, data=data, tuning={}, teacher=path)
    assert loss in found["loss"]
    assert found["losses"][-1] < 0.97 * found["losses"][0]
    assert found["notices"] == []
    assert "the step" in found["tasks"]


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100, 2345])
def test_the_learning_rate_has_a_plateau_and_falls_to_nothing(steps: int) -> None:
    rates = [part_of_rate(step, steps) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    assert max(rates) == 1
    if steps >= 100:
        assert rates[steps // 20 : steps // 2] == [1.0] * (steps // 2 - steps // 20)
        assert rates[steps // 2 :] == sorted(rates[steps // 2 :], reverse=True)
        assert rates[0] < 0.3
        assert rates[-1] < 0.01


@pytest.mark.parametrize("library", BOTH)
def test_the_optimizer_gets_the_rate_of_every_step(workshop: Workshop, library: str) -> None:
    path = zoo(workshop, "multi_input", library)
    data = zoo_rows(workshop, "multi_input", labels=True)
    found = here(workshop, "plan", model=path, data=data, tuning={"learning_rate": 2e-3, "epochs": 5}, teacher=path)
    assert found["rates"] == pytest.approx([2e-3 * part_of_rate(step, 40) for step in range(40)], rel=1e-5)


# --------------------------------------------------------------------------------------------------- the rows


def test_every_row_gets_the_output_that_the_teacher_gives_for_it(workshop: Workshop) -> None:
    model, (_, teacher) = workshop.path("nested.keras"), workshop.float_model("nested.keras")
    data = workshop.data("images.npz")
    pairs = here(workshop, "stream", model=model, data=data, batches=9, teacher=str(teacher))
    images = numpy.concatenate([numpy.array(inputs) for inputs, _ in pairs])
    targets = numpy.concatenate([numpy.array(target) for _, target in pairs])
    assert len(images) == 240 + 32  # the second epoch has begun
    numpy.savez(workshop.path("shuffled.npz"), x=images.astype("float32"))
    answers = workshop.reference("answers", model=model, data=workshop.path("shuffled.npz"), rows=len(images))
    numpy.testing.assert_allclose(targets[:, :4], next(iter(answers.values())), atol=1e-4)
    given = numpy.load(workshop.path("images.npz"))
    labels = {image.astype("float32").tobytes(): label for image, label in zip(given["x"], given["y"])}
    assert [labels[image.astype("float32").tobytes()] for image in images] == targets[:, 4].astype(int).tolist()


def test_a_teacher_changes_nothing_about_the_order_of_the_rows(workshop: Workshop) -> None:
    model, data = workshop.path("nested.keras"), workshop.data("images.npz")
    plain = here(workshop, "stream", model=model, data=data, batches=3, teacher=None)
    taught = here(workshop, "stream", model=model, data=data, batches=3, teacher=model)
    assert [inputs for inputs, _ in plain] == [inputs for inputs, _ in taught]


def test_rows_that_change_at_every_reading_are_refused(workshop: Workshop) -> None:
    model = workshop.path("nested.keras")
    data = {"source": "tests.optimize.optimize_distill:unsteady"}
    with pytest.raises(DataError, match="other rows at every reading"):
        here(workshop, "plan", model=model, data=data, tuning={}, teacher=model)


@pytest.mark.parametrize(("count", "sizes"), [(64, [32, 32]), (75, [32, 32, 10]), (65, [32, 32, 2]), (1, [2])])
def test_a_batch_has_an_even_number_of_rows(workshop: Workshop, count: int, sizes: list[int]) -> None:
    # TensorFlow with oneDNN crashes on odd ones
    data = workshop.data("images.npz", count)
    model = workshop.path("nested.keras")
    pairs = here(workshop, "stream", model=model, data=data, batches=len(sizes), teacher=model)
    assert [len(inputs) for inputs, _ in pairs] == sizes
    assert [len(targets) for _, targets in pairs] == sizes
    if sizes[-1] == 2:
        assert pairs[-1][0][0] == pairs[-1][0][1]


def test_few_rows_are_named(workshop: Workshop) -> None:
    model = workshop.path("nested.keras")
    found = here(workshop, "plan", model=model, data=workshop.data("images.npz", 40), tuning={}, teacher=model)
    assert found["notices"] == ["few-training-rows"]


# ------------------------------------------------------------------------------------------- teacher and model


def spec(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=(-1, *shape))


def test_outputs_are_matched_by_name_else_by_shape() -> None:
    ours = (spec("kind of", 10), spec("size", 1))
    assert match((spec("size", 1), spec("kind_of", 10)), ours, teacher="t", what="output") == ["kind_of", "size"]
    assert match((spec("a:0", 1), spec("b:0", 10)), ours, teacher="t", what="output") == ["b:0", "a:0"]


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ((spec("size", 1),), "t has 1 outputs, the student 2"),
        ((spec("kind", 12), spec("size", 1)), r"'kind' has the shape \(10,\), t has \(12,\)"),
        ((spec("a", 10), spec("b", 10)), "have other names and the same shapes"),
    ],
)
def test_a_teacher_with_other_outputs_is_refused(theirs: tuple[TensorSpec, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        match(theirs, (spec("kind", 10), spec("size", 1)), teacher="t", what="output")


def pruned(workshop: Workshop, model: str, out: str, **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = workshop.call(
        "prune:prune", source=workshop.path(model), out=workshop.path(out), sparsity=0.75, **options
    )
    return answer


@pytest.mark.parametrize(
    ("model", "out"), [("nested.keras", "taught.keras"), ("old.h5", "taught.h5"), ("modern.keras", "modern-t.keras")]
)
def test_pruning_learns_from_the_original_without_labels_and_the_file_has_its_own_loss_again(
    workshop: Workshop, model: str, out: str
) -> None:
    _, teacher = workshop.float_model(model)
    before = here(workshop, "looked_at", model=workshop.path(model))
    answer = pruned(
        workshop,
        model,
        out,
        data=workshop.data("unlabelled.npz"),
        tuning={"fine_tune": "distill", "epochs": 6, "batch_size": 32},
        teacher=str(teacher),
    )
    assert answer["loss"] == "the teacher's outputs at temperature 4"
    assert all(math.isfinite(loss) for loss in answer["losses"])
    assert answer["losses"][-1] < max(answer["losses"])  # which rises while weights are taken away
    assert here(workshop, "looked_at", model=workshop.path(out)) == before


def test_learning_from_a_teacher_needs_one(workshop: Workshop) -> None:
    with pytest.raises(UsageError, match="needs a teacher"):
        pruned(workshop, "nested.keras", "x.keras", data=workshop.data("images.npz"), tuning={"fine_tune": "distill"})


def test_without_labels_a_teacher_is_what_the_hint_names(workshop: Workshop) -> None:
    answer = pruned(workshop, "nested.keras", "plain.keras", data=workshop.data("unlabelled.npz"), tuning={})
    assert [notice["code"] for notice in answer["notices"]] == ["not-fine-tuned"]
    assert 'fine_tune = "distill"' in answer["notices"][0]["hint"]


def test_a_teacher_that_is_no_model_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    wrong = tmp_path / "teacher.tflite"
    wrong.write_bytes(b"\x00" * 100)
    with pytest.raises(ModelError):
        pruned(
            workshop,
            "nested.keras",
            "x.keras",
            data=workshop.data("images.npz"),
            tuning={"fine_tune": "distill"},
            teacher=str(wrong),
        )
