"""The scores of one run: every model on the same rows, against the float model, each computed once."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edgekit.core.artifact import GoldenSample, Score
from edgekit.core.aside import Aside
from edgekit.core.decode import from_json, to_json
from edgekit.core.events import EventSink, task
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.data.prepare import PreparedData
from edgekit.optimize.cache import StepCache
from edgekit.optimize.feeding import better_fed
from edgekit.optimize.golden import golden_samples
from edgekit.optimize.score import Evaluation, compared, score_tflite
from edgekit.optimize.versions import versions

_OUTPUTS = "outputs.npy"
_ROWS = "rows.npy"


class Scorer:
    """Scores .tflite files on the evaluation rows.

    Args:
        reference: the float model.
        prepared: the rows; without evaluation rows nothing is scored.
        metric: see :func:`edgekit.optimize.score.score_tflite`.
        cache: scores are kept by the content of model and rows.
        on_event: hears how far it is.
    """

    def __init__(
        self, reference: Path, prepared: PreparedData, metric: str, cache: StepCache, on_event: EventSink
    ) -> None:
        self.reference = reference
        self._prepared = prepared
        self._metric = metric
        self._cache = cache
        self._on_event = on_event
        self._evaluations: dict[Path, Aside[tuple[Evaluation, Path]]] = {}
        self._feeding: Aside[Notice | None] | None = None
        self._lock = threading.Lock()

    def begin(self, model: Path) -> None:
        """Starts scoring a model; nobody waits for it yet."""
        if self._prepared.splits.evaluation is not None:
            self._started(model)

    def begin_feeding(self) -> None:
        """Starts to look for preprocessing that suits the float model better; nobody waits for it yet."""
        if self._prepared.splits.evaluation is not None:
            self._feeding = Aside(self._better_fed)

    def feeding(self) -> Notice | None:
        """What :meth:`begin_feeding` found; see :func:`edgekit.optimize.feeding.better_fed`."""
        return self._feeding.result() if self._feeding else None

    def score(self, model: Path) -> Score | None:
        """The score of a model beside the float model's; None without evaluation rows."""
        if self._prepared.splits.evaluation is None:
            return None
        reference = self._evaluation(self.reference)
        final = self._evaluation(model)
        if model == self.reference and final.metric == "agreement":  # it agrees with itself
            return Score(metric="agreement", reference=1.0, final=1.0, drop=0.0, count=final.count)
        return compared(reference, final, self._drop_interval(model, final))

    def _drop_interval(self, model: Path, final: Evaluation) -> Callable[[], tuple[float, float]] | None:
        """The interval of what was lost, from both models' values for the same rows."""
        if model == self.reference:
            return None
        mine = self._started(model).result()[1].with_name(_ROWS)
        theirs = self._started(self.reference).result()[1].with_name(_ROWS)
        if not mine.exists() or (final.metric != "agreement" and not theirs.exists()):
            return None

        def interval() -> tuple[float, float]:
            import numpy

            from edgekit.optimize import intervals

            after = numpy.load(mine, allow_pickle=False)
            before = numpy.ones_like(after) if final.metric == "agreement" else numpy.load(theirs, allow_pickle=False)
            return intervals.of_difference(before, after)

        return interval

    def golden(self, model: Path) -> tuple[GoldenSample, ...]:
        """A few real rows with what this model computes for them; none without rows."""
        rows = self._prepared.splits.evaluation or self._prepared.splits.representative
        if rows is None:
            return ()
        with task("take golden samples", self._on_event):
            return golden_samples(model, rows)

    def _better_fed(self) -> Notice | None:
        found = self._evaluation(self.reference)
        return better_fed(self.reference, self._prepared, found, self._cache, self._on_event)

    def _evaluation(self, model: Path) -> Evaluation:
        return self._started(model).result()[0]

    def _started(self, model: Path) -> Aside[tuple[Evaluation, Path]]:
        with self._lock:
            if model not in self._evaluations:
                self._evaluations[model] = Aside(partial(self._looked_up, model))
            return self._evaluations[model]

    def _looked_up(self, model: Path) -> tuple[Evaluation, Path]:
        rows = self._prepared.splits.evaluation
        assert rows is not None
        first = model == self.reference
        key = {
            "model": sha256_file(model),
            "reference": None if first else sha256_file(self.reference),
            "data": self._prepared.fingerprints["evaluation"],
            "metric": self._metric,
            "versions": versions(),
        }
        found = self._cache.lookup("score", key)
        if found is not None:
            return from_json(Evaluation, found[1], source="score"), found[0] / _OUTPUTS
        others = None if first else self._reference_outputs()
        name = "score the float model" if first else "score the result"
        with (
            self._cache.making("score", key) as making,
            task(name, self._on_event),
        ):
            evaluation = score_tflite(
                model,
                rows,
                metric=self._metric,
                outputs=making.folder / _OUTPUTS if first else None,
                reference_outputs=others,
                row_values=making.folder / _ROWS,
                on_event=lambda event: self._on_event(dataclasses.replace(event, task=name)),
            )
            making.record = to_json(evaluation)
        return evaluation, making.folder / _OUTPUTS

    def _reference_outputs(self) -> Path:
        return self._started(self.reference).result()[1]
