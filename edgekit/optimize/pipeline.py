"""A run: model → steps of a recipe → artifact; backs off until the budgets hold, audits, and accounts for each step."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core import artifact as artifacts
from edgekit.core import decode, files, units
from edgekit.core.artifact import Artifact, Audit, Manifest, StepRecord
from edgekit.core.aside import Aside
from edgekit.core.errors import ModelError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.hashing import sha256_file, sha256_tree
from edgekit.core.notice import Notice
from edgekit.core.places import cache_dir
from edgekit.model import safety
from edgekit.model.custom import source_sha256
from edgekit.model.format import detect_format
from edgekit.optimize import camera, foreseen
from edgekit.optimize import request as requests
from edgekit.optimize.ablation import ablated
from edgekit.optimize.attempts import Attempts
from edgekit.optimize.audit import audit_tflite, require_full_integer
from edgekit.optimize.cache import StepCache
from edgekit.optimize.fold import Fold, Folded
from edgekit.optimize.forecast.records import Forecast
from edgekit.optimize.made import Source
from edgekit.optimize.recipe import Recipe
from edgekit.optimize.request import Request, Trained
from edgekit.optimize.stages import Stages
from edgekit.optimize.steps import CALIBRATED
from edgekit.optimize.versions import versions
from edgekit.optimize.workers import Workers

if TYPE_CHECKING:
    from edgekit.optimize.passes.calibration_curve import CalibrationCurve

_SMALLER = 0.98


def run(request: Request, on_event: EventSink = ignore) -> Artifact:
    """Carries the recipe out and writes the artifact.

    Raises:
        UsageError: the output cannot be written; data are missing.
        ModelError: the model cannot be used or converted; the result is not full-integer although it should be.
        DataError: the rows cannot be used.
        BudgetError: no strength of the recipe holds all budgets; every intermediate file stays.
    """
    with Workers(on_event, custom=request.custom) as workers:
        return _Run(request, workers, on_event).artifact()


def forecast(
    model: Path,
    recipe: Recipe,
    target: Mapping[str, str | None] | None,
    *,
    trust: bool,
    custom: tuple[str, ...],
    reuse: bool,
    on_event: EventSink = ignore,
) -> tuple[Forecast, ...]:
    """What each step of the recipe will buy, before anything is trained; needs no data.

    Args:
        model: Keras model, SavedModel or float .tflite.
        recipe: the steps.
        target: ``abi`` and ``device`` of a board; None: no board was named.
        trust, custom, reuse: see :class:`~edgekit.optimize.request.Request`.
        on_event: hears of the progress.

    Raises:
        ModelError: the model cannot be used or converted.
    """
    safety.refuse_code(model, detect_format(model), trust=trust, custom=custom)
    with Workers(on_event, custom=custom) as workers:
        stages = _stages(model, workers, trust=trust, custom=custom, reuse=reuse, on_event=on_event)
        return foreseen.forecasts(stages.baseline(), stages.source, recipe, target, workers)


def calibration_curve(request: Request, on_event: EventSink = ignore) -> CalibrationCurve:
    """How good int8 gets with 1, 4, 16, … of the representative rows; writes nothing.

    Raises:
        EdgekitError: as :func:`run`.
    """
    with Workers(on_event, custom=request.custom) as workers:
        return _Run(request, workers, on_event).curve()


def run_training(request: Request, on_event: EventSink = ignore) -> Trained:
    """Carries out a recipe without a quantize step and writes the trainable model.

    Raises:
        EdgekitError: as :func:`run`.
    """
    with Workers(on_event, custom=request.custom) as workers:
        return _Run(request, workers, on_event).trained()


def float32(
    model: Path, *, trust: bool, reuse: bool, custom: tuple[str, ...] = (), on_event: EventSink = ignore
) -> Path:
    """A Keras model or SavedModel as a float32 .tflite in the cache.

    Raises:
        ModelError: it cannot be used or converted.
    """
    safety.refuse_code(model, detect_format(model), trust=trust, custom=custom)
    with Workers(on_event, custom=custom) as workers:
        return _stages(model, workers, trust=trust, custom=custom, reuse=reuse, on_event=on_event).baseline().tflite


def _stages(
    model: Path, workers: Workers, *, trust: bool, custom: tuple[str, ...], reuse: bool, on_event: EventSink
) -> Stages:
    source = Source(
        path=model,
        format=detect_format(model),
        sha256=sha256_tree(model),
        trust=trust,
        code=source_sha256(custom) if custom else None,
    )
    return Stages(source, StepCache(cache_dir() / "steps", reuse=reuse), workers, on_event)


class _Run:
    def __init__(self, request: Request, workers: Workers, on_event: EventSink) -> None:
        self.request = request
        self.workers = workers
        self.on_event = on_event
        self.stages = _stages(
            request.model,
            workers,
            trust=request.trust,
            custom=request.custom,
            reuse=request.reuse,
            on_event=on_event,
        )
        requests.check(request)
        fmt = self.stages.source.format
        self.notices = list(safety.refuse_code(request.model, fmt, trust=request.trust, custom=request.custom))
        if not self.stages.has_baseline():
            workers.warm_up()
        if request.uint8_input:
            self.request, source = camera.raw_input(request, self.stages.source, workers, self.stages.cache)
            self.stages = Stages(source, self.stages.cache, workers, on_event)
        self.fold = Fold(self.request, self.stages, workers, on_event)
        self.search = Attempts(self.request, self.fold, on_event)

    def artifact(self) -> Artifact:
        return self._finished(self.search.best())

    def curve(self) -> CalibrationCurve:
        """See :func:`calibration_curve`."""
        from edgekit.optimize.passes.calibration_curve import CalibrationCurve

        self.fold.begin()
        splits, bare = self.fold.prepared.splits, self.fold.baseline.export is None
        call = self.workers.light if bare else self.workers.heavy
        answer = call(
            "edgekit.optimize.passes.calibration_curve:calibration_curve",
            float_model=str(self.fold.baseline.tflite),
            mode=self.request.recipe.mode,
            representative=splits.representative,
            search=splits.training,
            metric=self.request.metric,
            quantizer="ai-edge-quantizer" if bare else "tensorflow",
        )
        return decode.from_json(CalibrationCurve, answer, source="calibration curve")

    def trained(self) -> Trained:
        end = self.search.best()
        assert end.made.model is not None
        self.fold.measure(end.points)
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
            score=self.fold.score(end.made),
            inputs=end.made.inputs,
            outputs=end.made.outputs,
            notices=self._notices(end),
        )

    def _records(self, end: Folded) -> tuple[StepRecord, ...]:
        records = [self.fold.record(made) for made in end.points]
        return foreseen.with_forecasts(records, self._forecasts(end.recipe))

    def _forecasts(self, recipe: Recipe) -> tuple[Forecast, ...]:
        fold = self.fold
        return foreseen.forecasts(
            fold.baseline,
            self.stages.source,
            recipe,
            self.request.target,
            self.workers,
            fold.prepared.splits.training,
        )

    def _notices(self, end: Folded) -> tuple[Notice, ...]:
        doubt = self.fold.scorer.feeding()
        found = [
            *self.notices,
            *self.search.notices,
            *end.notices,
            *([doubt] if doubt else []),
            *self._noise(end),
            *_no_smaller(end),
        ]
        return tuple(dict.fromkeys(found))

    def _noise(self, end: Folded) -> list[Notice]:
        """Says where a difference of scores may be chance."""
        score = self.fold.score(end.made)
        if score is None or score.drop is None or score.drop_ci95 is None or score.drop == 0:
            return []
        low, high = score.drop_ci95
        if not low < 0 < high:
            return []
        unit = "points" if score.metric.startswith(("top-", "auc", "agreement")) else "%"
        return [
            Notice(
                code="drop-within-noise",
                message=f"the change of {-score.drop:+.2f} {unit} on {score.count} rows may be chance "
                f"(95 % interval {-high:+.2f} to {-low:+.2f})",
                hint="score with more rows to tell smaller differences",
            )
        ]

    def _finished(self, end: Folded) -> Artifact:
        request, made, scorer = self.request, end.made, self.fold.scorer
        golden = Aside(lambda: scorer.golden(made.tflite))
        with task("audit", self.on_event):
            audit = audit_tflite(made.tflite)
        self.fold.measure(end.points)
        ablation = ablated(self.fold, end, self.on_event) if request.ablate else ()
        steps = self._records(end)
        self._check_audit(audit, steps, end.recipe)
        preprocessing = request.data.preprocessing
        prepared = self.fold.prepared
        manifest = Manifest(
            name=request.output.name.removesuffix(".tflite"),
            sha256=sha256_file(made.tflite),
            size_bytes=made.tflite.stat().st_size,
            gzip_bytes=files.gzip_size(made.tflite),
            kind=request.recipe.mode,
            source=request.model.name,
            source_sha256=self.stages.source.sha256,
            recipe=_recipe_values(end.recipe),
            data=prepared.fingerprints,
            preprocessing=decode.to_json(preprocessing) if preprocessing else {},
            steps=steps,
            score=scorer.score(made.tflite),
            audit=audit,
            inputs=made.inputs,
            outputs=made.outputs,
            golden=golden.result(),
            float_reference=sha256_file(scorer.reference),
            warnings=self._notices(end),
            versions=versions(),
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            ablation=ablation,
            attempts=tuple(self.search.attempts),
        )
        return artifacts.write_artifact(made.tflite, request.output, manifest)

    def _check_audit(self, audit: Audit, steps: tuple[StepRecord, ...], recipe: Recipe) -> None:
        if recipe.mode not in CALIBRATED or recipe.keeps_float:
            return
        try:
            require_full_integer(audit, allow_float=self.request.allow_float_fallback, mode=recipe.mode)
        except ModelError as error:
            error.details.update({"steps": decode.to_json(steps), "audit": decode.to_json(audit)})
            raise


def _no_smaller(end: Folded) -> list[Notice]:
    """Says where nothing was gained: a converter quantizes no weights that are too few, and every op it adds costs."""
    before, after = (made.tflite.stat().st_size for made in (end.points[0], end.made))
    if end.recipe.mode == "float32" or end.made.export is not None or after < _SMALLER * before:
        return []
    return [
        Notice(
            code="not-smaller",
            message=f"{end.recipe.name} made the file no smaller: {units.size(before)} before, {units.size(after)} now",
            hint="its weights are too few to matter; int8 or the float32 file itself serve as well",
        )
    ]


def _recipe_values(recipe: Recipe) -> dict[str, Any]:
    values: dict[str, Any] = decode.to_json(recipe)
    return values
