"""Students: derived from the teacher or given, what they learn, and what is written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from optimize_workshop import Workshop

from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.core.events import Event

LABELS_LOSS = "SparseCategoricalCrossentropy(from_logits=False), the model's own"


def here(workshop: Workshop, function: str, **arguments: Any) -> Any:
    return workshop.call(f"tests.optimize.optimize_distill:{function}", **arguments)


def zoo(workshop: Workshop, name: str, library: str = "keras", ending: str = ".keras") -> str:
    folder = workshop.folder / "students"
    folder.mkdir(exist_ok=True)
    made: str = here(workshop, "zoo", name=name, folder=str(folder), library=library, ending=ending, epochs=6)
    return made


def rows(workshop: Workshop, name: str, *, labels: bool = True, count: int = 500) -> dict[str, Any]:
    path = workshop.folder / f"students-{name}-{labels}-{count}.npz"
    if not path.exists():
        here(workshop, "rows", name=name, path=str(path), count=count, labels=labels)
    return {"source": str(path)}


def distilled(workshop: Workshop, source: str, out: str, data: dict[str, Any] | None, **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = workshop.call(
        "distill.step:distill", source=source, out=workshop.path(out), data=data, **options
    )
    return answer


@pytest.mark.parametrize(
    ("model", "library", "ending"),
    [("residual", "keras", ".keras"), ("sequential", "tf_keras", ".h5"), ("keyword_spotting", "keras", ".h5")],
)
def test_a_derived_student_is_small_close_to_its_teacher_and_of_its_kind(
    workshop: Workshop, model: str, library: str, ending: str
) -> None:
    source = zoo(workshop, model, library, ending)
    before = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    teacher = here(workshop, "looked_at", model=source)
    seen: list[Event] = []
    answer = distilled(
        workshop,
        source,
        f"student-{model}{ending}",
        rows(workshop, model),
        tuning={"epochs": 8, "batch_size": 32, "learning_rate": 3e-3, "fine_tune": "distill"},
        on_event=seen.append,
    )
    student = here(workshop, "looked_at", model=answer["path"])
    assert hashlib.sha256(Path(source).read_bytes()).hexdigest() == before
    assert student["parameters"] == answer["parameters"] < 0.5 * answer["teacher_parameters"]
    assert answer["macs"] < 0.6 * answer["teacher_macs"]
    same = ("loss", "library", "layers", "outputs")
    assert {key: student[key] for key in same} == {key: teacher[key] for key in same}
    assert student["loss"] == LABELS_LOSS  # not the one that it was trained with
    assert answer["agreement_rows"] == 25
    assert answer["agreement"] > 0.6  # one of four classes: 0.25 by chance
    assert answer["losses"][-1] < answer["losses"][0]
    assert answer["steps"] == 8 * 15  # 475 rows
    assert [event.message for event in seen if event.task == "distill"][1].startswith("epoch 1 of 8")
    assert any("parameters" in note and "MACs" in note for note in answer["notes"])


def test_a_student_learns_without_labels(workshop: Workshop) -> None:
    source = zoo(workshop, "sequential")
    data = rows(workshop, "sequential", labels=False)
    answer = distilled(workshop, source, "unlabelled-student.keras", data, tuning={"epochs": 8, "learning_rate": 3e-3})
    assert answer["loss"] == "the teacher's outputs at temperature 4"
    assert answer["teacher"] == Path(source).name
    assert answer["agreement"] > 0.6


def test_a_given_student_of_the_other_library_learns_from_a_tflite(workshop: Workshop) -> None:
    _, teacher = workshop.float_model("nested.keras")
    answer = distilled(
        workshop,
        workshop.path("nested.keras"),
        "given.h5",
        workshop.data("unlabelled.npz"),
        student=workshop.path("old.h5"),
        teacher=str(teacher),
        tuning={"epochs": 6, "batch_size": 32},
    )
    assert answer["student"] == "old.h5"
    assert answer["teacher"] == "float32.tflite"
    assert answer["losses"][-1] < answer["losses"][0]
    assert here(workshop, "looked_at", model=answer["path"])["library"] == "tf_keras"
    assert "too few rows to hold some out" in answer["notes"][1]
    codes = {notice["code"] for notice in answer["notices"]}
    assert codes - {"custom-unused"} == {"student-not-smaller"}  # other tests name classes in the process they share


@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_feature_maps_are_learnt_too_and_leave_no_layer_behind(workshop: Workshop, library: str) -> None:
    source = zoo(workshop, "residual", library)
    plain, hinted = (
        distilled(
            workshop,
            source,
            f"features-{library}-{features}.keras",
            rows(workshop, "residual"),
            features=features,
            tuning={"epochs": 2, "batch_size": 32, "fine_tune": "distill"},
        )
        for features in (False, True)
    )
    assert plain["features"] == []
    assert len(hinted["features"]) >= 2  # one for every resolution
    assert hinted["losses"][0] > plain["losses"][0]  # the distances are in it
    assert hinted["losses"][-1] < hinted["losses"][0]
    looks = [here(workshop, "looked_at", model=answer["path"]) for answer in (plain, hinted)]
    assert looks[0] == looks[1]


def test_a_student_with_other_outputs_is_refused(workshop: Workshop) -> None:
    source, student = zoo(workshop, "logits"), zoo(workshop, "multi_output")
    with pytest.raises(ModelError, match=r"logits-keras.keras has 1 outputs, the student 2"):
        distilled(workshop, source, "x.keras", rows(workshop, "logits"), student=student)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"data": None}, DataError, "needs rows to learn from"),
        ({"tuning": {"epochs": 0}}, UsageError, "has learnt nothing"),
        ({"tuning": {"temperature": 0}}, UsageError, "temperature must be between"),
        ({"width": 0.0}, UsageError, "fraction of the teacher's channels"),
        ({"derive": "pruning"}, UsageError, "unknown way to derive"),
        ({"out": "nested.keras"}, UsageError, "never written to"),
        ({"out": "x.h5"}, UsageError, "written back as a .keras file"),
    ],
)
def test_what_makes_no_sense_is_refused(
    workshop: Workshop, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    given: dict[str, Any] = {"out": "x.keras", "data": workshop.data("images.npz"), **options}
    with pytest.raises(error, match=message):
        distilled(workshop, workshop.path("nested.keras"), **given)


def test_a_model_that_cannot_be_narrowed_has_no_derived_student(workshop: Workshop) -> None:
    with pytest.raises(ModelError, match=r"no smaller student can be derived from gru-keras.keras"):
        distilled(workshop, zoo(workshop, "gru"), "x.keras", rows(workshop, "gru"))


def test_labels_alone_need_labels(workshop: Workshop) -> None:
    with pytest.raises(DataError, match=r"cannot learn.*has no labels"):
        distilled(
            workshop,
            workshop.path("nested.keras"),
            "x.keras",
            workshop.data("unlabelled.npz"),
            tuning={"fine_tune": "labels"},
        )
