"""The fold: model → steps of a recipe → artifact. Cached by content, scored after every step, audited at the end."""

from __future__ import annotations

import datetime
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core import artifact as artifacts
from edgekit.core import decode, files
from edgekit.core.artifact import Artifact, Audit, Manifest, Score, StepRecord, TensorSpec
from edgekit.core.aside import Aside
from edgekit.core.errors import ModelError, UsageError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.hashing import sha256_file, sha256_tree
from edgekit.core.notice import Notice
from edgekit.core.places import cache_dir
from edgekit.data.prepare import PreparedData, prepare_data
from edgekit.data.spec import DataChoice
from edgekit.model import safety
from edgekit.model.format import detect_format
from edgekit.optimize import budget
from edgekit.optimize.audit import audit_tflite, require_full_integer
from edgekit.optimize.cache import StepCache
from edgekit.optimize.recipe import CALIBRATED, PruneStep, Recipe
from edgekit.optimize.scorer import Scorer
from edgekit.optimize.stages import Made, Source, Stages
from edgekit.optimize.versions import versions
from edgekit.optimize.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One run of a recipe.

    Attributes:
        model: the file or folder to start from; it is never written.
        recipe: what to do.
        data: rows for the roles.
        output: the .tflite to write, its manifest beside it.
        metric: see :mod:`edgekit.optimize.score`.
        max_drop: percentage points of the score that may be lost; None: any.
        allow_float_fallback: accept float ops where full-integer was asked for.
        trust: allow code inside the model file.
        reuse: take finished steps from the cache.
    """

    model: Path
    recipe: Recipe
    data: DataChoice
    output: Path
    metric: str = "auto"
    max_drop: float | None = None
    allow_float_fallback: bool = False
    trust: bool = False
    reuse: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trainable model that a run ended with, before any quantization.

    Attributes:
        path: the file, of the kind that was given.
        format: ``keras`` or ``h5``.
        steps, score, inputs, outputs, notices: as in a manifest.
    """

    path: Path
    format: str
    sha256: str
    size_bytes: int
    gzip_bytes: int
    steps: tuple[StepRecord, ...]
    score: Score | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    notices: tuple[Notice, ...]


def run(request: Request, on_event: EventSink = ignore) -> Artifact:
    """Carries the recipe out and writes the artifact.

    Raises:
        UsageError: the output cannot be written; data are missing.
        ModelError: the model cannot be used or converted; the result is not full-integer although it should be.
        DataError: the rows cannot be used.
        BudgetError: the score dropped by more than ``max_drop``; every intermediate file stays.
    """
    with Workers(on_event) as workers:
        return _Run(request, workers, on_event).artifact()


def run_training(request: Request, on_event: EventSink = ignore) -> Trained:
    """Carries out a recipe without a quantize step and writes the trainable model.

    Raises:
        EdgekitError: as :func:`run`.
    """
    with Workers(on_event) as workers:
        return _Run(request, workers, on_event).trained()


def float32(model: Path, *, trust: bool, reuse: bool, on_event: EventSink = ignore) -> Path:
    """A Keras model or SavedModel as a float32 .tflite in the cache.

    Raises:
        ModelError: it cannot be used or converted.
    """
    safety.refuse_code(model, detect_format(model), trust=trust)
    with Workers(on_event) as workers:
        return _stages(model, workers, trust=trust, reuse=reuse, on_event=on_event).baseline().tflite


def _stages(model: Path, workers: Workers, *, trust: bool, reuse: bool, on_event: EventSink) -> Stages:
    source = Source(path=model, format=detect_format(model), sha256=sha256_tree(model), trust=trust)
    return Stages(source, StepCache(cache_dir() / "steps", reuse=reuse), workers, on_event)


def _first_look(request: Request, stages: Stages) -> list[Notice]:
    """What can be refused before any work."""
    if request.output.resolve() == request.model.resolve():
        raise UsageError(f"the output {request.output} is the source itself", hint="choose another place with -o")
    files.check_writable(request.output)
    files.check_writable(artifacts.manifest_path(request.output))
    choice = request.data
    for spec in (choice.data, choice.representative, choice.evaluation, choice.training):
        if spec is not None:
            spec.kind()  # raises where there is no such source
    if request.recipe.calibrates and not (choice.data or choice.representative):
        raise UsageError(
            f"{request.recipe.mode} needs data to calibrate with, and there are none",
            hint="give --data FILE (all roles), or --representative FILE and --evaluation FILE",
        )
    if request.max_drop is not None and not (choice.data or choice.evaluation):
        raise UsageError(
            "--max-drop needs rows to score with, and there are none",
            hint="name them with --data or --evaluation, or leave --max-drop out",
        )
    return list(safety.refuse_code(request.model, stages.source.format, trust=request.trust))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folded:
    """Where the fold ended."""

    points: list[Made]
    prepared: PreparedData
    scorer: Scorer
    notices: tuple[Notice, ...]

    @property
    def made(self) -> Made:
        """What the last step made."""
        return self.points[-1]


class _Run:
    def __init__(self, request: Request, workers: Workers, on_event: EventSink) -> None:
        self.request = request
        self.on_event = on_event
        self.workers = workers
        self.stages = _stages(request.model, workers, trust=request.trust, reuse=request.reuse, on_event=on_event)
        if not self.stages.has_baseline():
            workers.warm_up()
        self.notices = _first_look(request, self.stages)

    def artifact(self) -> Artifact:
        return self._finished(self._fold())

    def trained(self) -> Trained:
        end = self._fold()
        assert end.made.model is not None
        steps = self._records(end)
        output = self.request.output
        with files.appearing(output) as temporary:
            shutil.copyfile(end.made.model, temporary)
        return Trained(
            path=output,
            format=output.suffix.lstrip("."),
            sha256=sha256_file(output),
            size_bytes=output.stat().st_size,
            gzip_bytes=files.gzip_size(output),
            steps=steps,
            score=end.scorer.score(end.made.tflite),
            inputs=end.made.inputs,
            outputs=end.made.outputs,
            notices=end.notices,
        )

    def _fold(self) -> _Folded:
        """The steps in order; scoring goes on beside the next step."""
        request, notices = self.request, self.notices
        baseline = self.stages.baseline()
        prepared = self._prepared(baseline)
        notices += prepared.notices
        scorer = Scorer(baseline.tflite, prepared, request.metric, self.stages.cache, self.on_event)
        scorer.begin(baseline.tflite)
        scorer.begin_feeding()
        points = [baseline]
        for step in request.recipe.steps:
            if isinstance(step, PruneStep):
                points.append(self.stages.prune(points[-1], step, prepared))
                budget.check_drop(request.max_drop, scorer.score(points[-1].tflite), points, request.recipe)
            elif step.mode != "float32":
                allow_float = request.allow_float_fallback
                points.append(self.stages.quantize(points[-1], step, prepared, allow_float=allow_float))
                scorer.begin(points[-1].tflite)
            notices += points[-1].notices
        doubt = scorer.feeding()
        budget.check_feeding(request.max_drop, doubt, points)
        notices += [doubt] if doubt else []
        return _Folded(points=points, prepared=prepared, scorer=scorer, notices=tuple(dict.fromkeys(notices)))

    def _prepared(self, baseline: Made) -> PreparedData:
        recipe, choice = self.request.recipe, self.request.data
        if choice.preprocessing is None and not recipe.calibrates:
            return PreparedData()
        shapes = [spec.shape for spec in baseline.outputs]
        classes = shapes[0][-1] if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][-1] > 0 else None
        return prepare_data(
            choice,
            inputs=baseline.inputs,
            needs_training=recipe.trains and (choice.data or choice.training) is not None,
            needs_representative=recipe.calibrates,
            num_classes=classes,
            first_layers=self.stages.first_layers(),
            child=self.workers.light_child,
            on_event=self.on_event,
        )

    def _records(self, end: _Folded) -> tuple[StepRecord, ...]:
        return tuple(self._record(made, end.scorer) for made in end.points)

    def _record(self, made: Made, scorer: Scorer) -> StepRecord:
        score = scorer.score(made.tflite)
        return StepRecord(
            name=made.name,
            parameters=made.parameters,
            path=str(made.model or made.tflite),
            sha256=sha256_file(made.model or made.tflite),
            size_bytes=made.tflite.stat().st_size,
            gzip_bytes=files.gzip_size(made.tflite),
            score=None if score is None else score.final,
            drop=None if score is None else score.drop,
            seconds=made.seconds,
            cached=made.cached,
            notes=made.notes,
            details=made.details,
        )

    def _finished(self, end: _Folded) -> Artifact:
        request, made, scorer = self.request, end.made, end.scorer
        golden = Aside(lambda: scorer.golden(made.tflite))
        with task("audit", self.on_event):
            audit = audit_tflite(made.tflite)
        steps = self._records(end)
        self._check_audit(audit, steps)
        score = scorer.score(made.tflite)
        budget.check_drop(request.max_drop, score, end.points, request.recipe)
        preprocessing = request.data.preprocessing
        manifest = Manifest(
            name=request.output.name.removesuffix(".tflite"),
            sha256=sha256_file(made.tflite),
            size_bytes=made.tflite.stat().st_size,
            gzip_bytes=files.gzip_size(made.tflite),
            kind=request.recipe.mode,
            source=request.model.name,
            source_sha256=self.stages.source.sha256,
            recipe=_recipe_values(request.recipe),
            data=end.prepared.fingerprints,
            preprocessing=decode.to_json(preprocessing) if preprocessing else {},
            steps=steps,
            score=score,
            audit=audit,
            inputs=made.inputs,
            outputs=made.outputs,
            golden=golden.result(),
            float_reference=sha256_file(scorer.reference),
            warnings=end.notices,
            versions=versions(),
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        )
        return artifacts.write_artifact(made.tflite, request.output, manifest)

    def _check_audit(self, audit: Audit, steps: tuple[StepRecord, ...]) -> None:
        if self.request.recipe.mode not in CALIBRATED:
            return
        try:
            require_full_integer(audit, allow_float=self.request.allow_float_fallback, mode=self.request.recipe.mode)
        except ModelError as error:
            error.details.update({"steps": decode.to_json(steps), "audit": decode.to_json(audit)})
            raise


def _recipe_values(recipe: Recipe) -> dict[str, Any]:
    values: dict[str, Any] = decode.to_json(recipe)
    return values
