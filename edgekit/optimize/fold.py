"""The fold: a model through the steps of a recipe, each scored; the same source, rows and scores for every recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgekit.core import files
from edgekit.core.artifact import Measured, Score, StepRecord
from edgekit.core.events import EventSink
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.data.prepare import PreparedData, prepare_data
from edgekit.optimize import camera
from edgekit.optimize.budget import Miss, misses
from edgekit.optimize.conversions import Finishing
from edgekit.optimize.made import Made
from edgekit.optimize.recipe import Recipe
from edgekit.optimize.request import Request
from edgekit.optimize.scorer import Scorer
from edgekit.optimize.stages import Stages
from edgekit.optimize.steps import QatStep, QuantizeStep
from edgekit.optimize.workers import Workers

_SELECTIVE_DROP = 0.5
"""Points that selective quantization may lose where no budget says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """Where a recipe led.

    Attributes:
        recipe: as it was carried out.
        points: the baseline, and what each step made.
        missed: the budgets that do not hold.
        complete: False where the accuracy was spent before the last step, so that the rest was not done.
        notices: of all steps.
    """

    recipe: Recipe
    points: tuple[Made, ...]
    missed: tuple[Miss, ...]
    complete: bool
    notices: tuple[Notice, ...]

    @property
    def made(self) -> Made:
        """What the last step made."""
        return self.points[-1]


@dataclass(slots=True)
class Fold:
    """Carries out recipes on one source.

    Attributes:
        measured: .tflite → what it took on the board; each file is measured once.
    """

    request: Request
    stages: Stages
    workers: Workers
    on_event: EventSink
    measured: dict[Path, Measured] = field(default_factory=dict)
    baseline: Made = field(init=False)
    prepared: PreparedData = field(init=False)
    scorer: Scorer = field(init=False)
    _counted: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def begin(self) -> None:
        """Makes the baseline, prepares the rows, and starts to score."""
        self.baseline = self.stages.baseline()
        self.prepared = self._prepared()
        self.scorer = Scorer(self.baseline.tflite, self.prepared, self.request.metric, self.stages.cache, self.on_event)
        self.scorer.begin(self.baseline.tflite)
        self.scorer.begin_feeding()

    def through(self, recipe: Recipe, *, to_the_end: bool = False) -> Folded:
        """The steps in order; scoring goes on beside the next step.

        Args:
            recipe: what to do.
            to_the_end: go on where the accuracy is spent before the last step.
        """
        budgets = self.request.budgets
        points, notices = [self.baseline], list(self.prepared.notices)
        finishing = Finishing(
            allow_float=self.request.allow_float_fallback,
            max_drop=_SELECTIVE_DROP if budgets.max_drop is None else budgets.max_drop,
            metric=self.request.metric,
        )
        for step in recipe.steps:
            if isinstance(step, (QuantizeStep, QatStep)):
                if step == QuantizeStep(mode="float32") and not self.request.uint8_input:
                    continue
                made = self.stages.finish(points[-1], step, self.prepared, finishing)
                if self.request.uint8_input:
                    points.append(made)
                    made = camera.bytes_in(made, self.request.data, self.workers, self.stages.cache)
            else:
                made = self.stages.transform(points[-1], step, self.prepared)
            points.append(made)
            notices += made.notices
            self.scorer.begin(made.tflite)
            if budgets.max_drop is not None and step is not recipe.steps[-1] and not to_the_end:
                missed = misses(budgets, self.scorer.score(made.tflite), None, None)
                if missed:
                    return self._folded(recipe, points, missed, notices, complete=False)
        return self._folded(recipe, points, self._missed(points[-1]), notices, complete=True)

    def score(self, made: Made) -> Score | None:
        """Of one point, on the evaluation rows."""
        return self.scorer.score(made.tflite)

    def measure(self, points: tuple[Made, ...]) -> None:
        """Measures those that were not yet, side by side."""
        if self.request.probe is None:
            return
        new = list(dict.fromkeys(made.tflite for made in points if made.tflite not in self.measured))
        if new:
            self.measured.update(self.request.probe(new))

    def record(self, made: Made) -> StepRecord:
        """The account of one point."""
        score = self.score(made)
        macs, parameters = self.counted(made)
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
            macs=macs,
            parameters_count=parameters,
            score_ci95=None if score is None else score.ci95,
            drop_ci95=None if score is None else score.drop_ci95,
            measured=self.measured.get(made.tflite),
        )

    def counted(self, made: Made) -> tuple[int, int]:
        """Multiply-accumulates and parameters of one point."""
        if made.tflite not in self._counted:
            macs, parameters = self.workers.light("edgekit.model.flatbuffer:count", path=str(made.tflite))
            self._counted[made.tflite] = (macs, parameters)
        return self._counted[made.tflite]

    def _missed(self, made: Made) -> tuple[Miss, ...]:
        budgets = self.request.budgets
        if budgets.needs_device:
            self.measure((self.baseline, made))
        score = None if budgets.max_drop is None else self.score(made)
        return misses(budgets, score, made.tflite.stat().st_size, self.measured.get(made.tflite))

    def _folded(
        self, recipe: Recipe, points: list[Made], missed: tuple[Miss, ...], notices: list[Notice], *, complete: bool
    ) -> Folded:
        return Folded(
            recipe=recipe,
            points=tuple(points),
            missed=missed,
            complete=complete,
            notices=tuple(dict.fromkeys(notices)),
        )

    def _prepared(self) -> PreparedData:
        recipe, choice = self.request.recipe, self.request.data
        if choice.preprocessing is None and not recipe.calibrates:
            return PreparedData()
        shapes = [spec.shape for spec in self.baseline.outputs]
        classes = shapes[0][-1] if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][-1] > 0 else None
        wants_training = recipe.trains or recipe.searches
        return prepare_data(
            choice,
            inputs=self.baseline.inputs,
            needs_training=wants_training and (choice.data or choice.training) is not None,
            needs_representative=recipe.calibrates,
            num_classes=classes,
            first_layers=self.stages.first_layers(),
            child=self.workers.light_child,
            on_event=self.on_event,
        )
