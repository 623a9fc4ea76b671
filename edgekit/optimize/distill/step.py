"""Distills a model: a smaller one, given or derived from it, learns its outputs (Hinton et al. 2015)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core import decode
from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.data.spec import DataSpec
from edgekit.model import libraries, load
from edgekit.model.describe import describe
from edgekit.model.description import Network
from edgekit.model.load import LoadedModel
from edgekit.optimize import written
from edgekit.optimize.distill import features as feature_maps
from edgekit.optimize.distill.held_out import Closeness, closeness, hold_out
from edgekit.optimize.distill.targets import match
from edgekit.optimize.filters.surgery import derive_student
from edgekit.optimize.finetune import plan_tuning
from edgekit.optimize.tuning import FineTuning

_DEFAULTS = {"fine_tune": "distill", "epochs": 20, "learning_rate": 3e-3}
_FAR = 0.9  # of an agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """A student and its account.

    Attributes:
        path: the new file.
        teacher: file whose outputs it learnt; empty where it learnt labels alone.
        student: where it comes from: a file, or ``width 0.5 of MODEL``.
        parameters, teacher_parameters: numbers in all weights; the teacher is the model that the step began with.
        macs, teacher_macs: multiply-accumulates of one inference; None where a layer's are not known.
        features: pairs ``student layer = teacher layer`` whose outputs were brought together too.
        steps: of training.
        loss: what was minimised.
        losses: its mean in each epoch.
        agreement: fraction of held-out rows with the teacher's class; of outputs that are no classes, the cosine; None
            where no row was held out.
        agreement_rows: how many those were.
        notes: what a person should read.
        notices: what the user can act on.
    """

    path: str
    teacher: str
    student: str
    parameters: int
    teacher_parameters: int
    macs: int | None
    teacher_macs: int | None
    features: tuple[str, ...]
    steps: int
    loss: str
    losses: tuple[float, ...]
    agreement: float | None
    agreement_rows: int
    notes: tuple[str, ...]
    notices: tuple[Notice, ...]


def distill(
    source: str,
    out: str,
    data: Mapping[str, Any] | None = None,
    *,
    student: str | None = None,
    width: float = 0.5,
    derive: str = "filters",
    features: bool = False,
    tuning: Mapping[str, Any] | None = None,
    teacher: str | None = None,
    trust: bool = False,
    on_event: EventSink = ignore,
) -> Distilled:
    """Trains a student of the model in ``source``, which stays as it is, and writes it. Runs in the TensorFlow child.

    Args:
        source: Keras 3 or tf_keras model.
        out: the new file; of a derived student with the ending of ``source``, of a given one ``.keras`` or ``.h5``.
        data: training rows, a :class:`edgekit.data.spec.DataSpec` as JSON values; labels help, but are not needed.
        student: file of the smaller model, with the same inputs and outputs; None: derived from ``source``.
        width: fraction of the channels that a derived student has, above 0 and up to 1.
        derive: ``filters``: it starts from the filters with the largest L1 norm; ``width``: from new weights.
        features: bring the feature maps together too (FitNets, Romero et al. 2015, arXiv:1412.6550).
        tuning: a :class:`~edgekit.optimize.tuning.FineTuning` as JSON values; by default 20 epochs of ``distill`` at
            a learning rate of 0.003.
        teacher: a .tflite or model whose outputs are learnt; None: ``source``.
        trust: allow code inside the model files.

    Raises:
        UsageError: a parameter that makes no sense; no epochs; ``out`` cannot be written.
        ModelError: a model that cannot be loaded or narrowed, or a student with other inputs or outputs.
        DataError: no training rows, or rows that do not fit.
    """
    wanted = FineTuning.of({**_DEFAULTS, **(tuning or {})})
    _check(wanted, data, width, derive)
    spec = decode.from_json(DataSpec, dict(data or {}), source="training dataset", error=DataError)
    origin = f"width {width:g} of {Path(source).name}" if student is None else Path(student).name
    with written.changing(source, trust=trust, on_event=on_event) as original:
        small, derived = _student(original, Path(out), student, width, derive, wanted.seed, trust)
        of_teacher, of_student = describe(original), describe(small)
        if student is None and width < 1 and of_student.parameters >= of_teacher.parameters:
            raise ModelError(
                f"no smaller student can be derived from {original.path.name}: none of its layers can be narrowed",
                hint="name a smaller model with --student",
            )
        taught_by = Path(teacher or source)
        rows, held = hold_out(spec, small)
        plan, notices = plan_tuning(
            small,
            decode.to_json(rows),
            wanted,
            taught_by if wanted.fine_tune == "distill" else None,
            trust=trust,
            on_event=on_event,
        )
        if plan is None:
            raise DataError(f"the student cannot learn: {notices[0].message}", hint=notices[0].hint)
        library = libraries.keras() if small.library == "keras" else libraries.tf_keras()
        pairs: tuple[str, ...] = ()
        trained = small.model
        with task("distill", on_event):
            if features:
                trained, pairs = feature_maps.joined(small, original, plan.batches.first()[0])
            losses = plan.fit(library, trained, [], on_event, step="distill")
        close = closeness(held, small, taught_by, trust=trust) if held is not None else None
        result = derived(small.model.get_weights())
        written.write(result, Path(out))
    return Distilled(
        path=out,
        teacher=taught_by.name if wanted.fine_tune == "distill" else "",
        student=origin,
        parameters=of_student.parameters,
        teacher_parameters=of_teacher.parameters,
        macs=of_student.macs,
        teacher_macs=of_teacher.macs,
        features=pairs,
        steps=plan.steps,
        loss=plan.loss.described,
        losses=tuple(losses),
        agreement=close.value if close else None,
        agreement_rows=close.rows if close else 0,
        notes=_notes(of_student, of_teacher, taught_by.name, close),
        notices=(*original.notices, *notices, *_warnings(of_student, of_teacher, taught_by.name, close)),
    )


def _check(wanted: FineTuning, data: Mapping[str, Any] | None, width: float, derive: str) -> None:
    if not wanted.trains:
        raise UsageError("a student that does not train has learnt nothing", hint="--epochs 20")
    if data is None:
        raise DataError("a student needs rows to learn from", hint="name them with --data; labels are not needed")
    if not 0 < width <= 1:
        raise UsageError(f"width is a fraction of the teacher's channels, found {width:g}", hint="e.g. --width 0.5")
    if derive not in ("filters", "width"):
        raise UsageError(f"unknown way to derive a student: {derive!r}", hint="derive is filters or width")


def _student(
    original: LoadedModel, out: Path, student: str | None, width: float, derive: str, seed: int, trust: bool
) -> tuple[LoadedModel, Any]:
    """The model that learns, and a function from its trained weights to the model that is written.

    The written model is another copy, so that it has the loss, metrics and optimizer that it was saved with.
    """
    if student is None:
        written.check_kind(original, out, "distilled")
        small = dataclasses.replace(original, model=derive_student(original, width, seed, derive=derive))

        def again(weights: list[Any]) -> Any:
            model = derive_student(original, width, seed, derive=derive)
            model.set_weights(weights)
            return model

        return small, again
    written.check_layers(original, "distilled")
    if out.suffix not in (".keras", ".h5"):
        raise UsageError(f"a student is written as a .keras or .h5 file, not as {out.name}", hint="-o student.keras")
    small = load.load_model(Path(student), trust=trust)
    written.check_layers(small, "trained")
    for loaded in (original, small):
        written.check_other(loaded, out)
    match(load.input_specs(original), load.input_specs(small), teacher=original.path.name, what="input")
    match(load.output_specs(original), load.output_specs(small), teacher=original.path.name, what="output")
    return small, lambda weights: written.reloaded(small, weights)


def _notes(student: Network, teacher: Network, name: str, close: Closeness | None) -> tuple[str, ...]:
    part = student.parameters / max(1, teacher.parameters)
    sizes = f"{student.parameters:,} of the {teacher.parameters:,} parameters ({part:.0%})"
    if student.macs is not None and teacher.macs:
        sizes += f" and {student.macs:,} of the {teacher.macs:,} MACs ({student.macs / teacher.macs:.0%})"
    size = f"the student has {sizes}: smaller in the file and in memory, and faster on every runtime"
    if close is None:
        few = "too few rows to hold some out: nothing says how close the student is to the teacher on new ones"
        return size, few
    rows = f"{close.rows} training rows that it was not shown"
    if close.classes:
        return size, f"the student gives the same class as {name} for {close.value:.1%} of {rows}"
    return size, f"the student's outputs have a cosine of {close.value:.4f} to those of {name} on {rows}"


def _warnings(student: Network, teacher: Network, name: str, close: Closeness | None) -> tuple[Notice, ...]:
    found = []
    if student.parameters >= teacher.parameters:
        found.append(
            Notice(
                code="student-not-smaller",
                message=f"the student has {student.parameters:,} parameters, its teacher {teacher.parameters:,}",
                hint="use a smaller --width, or a smaller --student",
            )
        )
    if close is not None and close.value < _FAR:
        found.append(
            Notice(
                code="student-far-from-teacher",
                message=f"the student's agreement with {name} on new rows is {close.value:.3f} only",
                hint="more --epochs, a larger --width, or more rows: those without labels help too",
            )
        )
    return tuple(found)
