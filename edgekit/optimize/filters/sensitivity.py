"""The sensitivity scan: each group of filters alone, at several ratios, and what that does to the score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.core.events import Event, EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.model import libraries
from edgekit.model.load import LoadedModel
from edgekit.optimize import written
from edgekit.optimize.agreement import Agreement
from edgekit.optimize.filters.choose import Choice, choose, prunable
from edgekit.optimize.filters.criteria import check_criterion, scores
from edgekit.optimize.filters.exactness import masked
from edgekit.optimize.filters.graph import analyse
from edgekit.optimize.filters.rows import Rows, gradients
from edgekit.optimize.filters.surgery import removed
from edgekit.optimize.intervals import wilson
from edgekit.optimize.metrics import make_metric
from edgekit.optimize.score import check_metric, drop

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_BATCH = 64
_HELD_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSensitivity:
    """What a group costs alone.

    Attributes:
        name: of the group, see :class:`edgekit.optimize.filters.graph.Group`.
        layers: that make its channels.
        unit: ``filters``, ``units``, ``heads`` or ``dimensions``.
        channels: how many there are.
        scores: one per ratio of the scan.
        drops: likewise: percentage points lost (percent of the reference, of an error); negative is a gain.
    """

    name: str
    layers: tuple[str, ...]
    unit: str
    channels: int
    scores: tuple[float, ...]
    drops: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """A scan of a whole model.

    Attributes:
        metric: of the scores; ``agreement`` with the model itself where there are no labels.
        reference: score of the whole model.
        count: rows.
        criterion: that ranked the channels.
        ratios: fractions of a group that were cut, rising.
        groups: in the order of computation; those whose channels must stay are left out.
        notes: what a person should read.
        notices: what the user can act on.
    """

    metric: str
    reference: float
    count: int
    criterion: str
    ratios: tuple[float, ...]
    groups: tuple[GroupSensitivity, ...]
    notes: tuple[str, ...]
    notices: tuple[Notice, ...]

    def skip(self, allowed: float) -> tuple[str, ...]:
        """The groups to leave alone: the smallest ratio of the scan already loses more than ``allowed``, in points."""
        return tuple(group.name for group in self.groups if group.drops[0] > allowed)

    def proposed_ratios(self, allowed: float) -> dict[str, float]:
        """Group → the largest ratio that alone loses no more than ``allowed`` points, read between those scanned.

        Several groups together lose more than each alone; fine-tuning brings most of it back.
        """
        return {group.name: _reached(self.ratios, group.drops, allowed) for group in self.groups}


def scan(
    source: str,
    data: Mapping[str, Any],
    *,
    ratios: Sequence[float] = (0.25, 0.5, 0.75),
    metric: str = "auto",
    criterion: str = "l1",
    rows: int = 1024,
    trust: bool = False,
    on_event: EventSink = ignore,
) -> Sensitivity:
    """Sets a part of each group to zero in turn and scores the model; no weight is trained. Runs in the TensorFlow
    child.

    The procedure of Li et al. 2017, arXiv:1608.08710, section 3.2.

    Args:
        source: Keras 3 or tf_keras model; stays as it is.
        data: rows, a :class:`edgekit.data.spec.DataSpec` as JSON values; not those that later say how good the result
            is, because the choice is made on them.
        ratios: fractions of a group to cut, each above 0 and below 1.
        metric: see :func:`edgekit.optimize.score.score_tflite`; without labels, or with several outputs, agreement.
        criterion: which channels go first, see :func:`edgekit.optimize.filters.criteria.scores`.
        rows: to score with, at most, from the beginning of the data.
        trust: allow code inside the model file.

    Raises:
        UsageError: ratios out of range, an unknown criterion or metric.
        ModelError: a model that cannot be loaded or has nothing to cut.
        DataError: no rows, or rows that do not fit.
    """
    check_criterion(criterion)
    check_metric(metric)
    wanted = tuple(sorted(set(ratios)))
    if not wanted or not 0 < wanted[0] <= wanted[-1] < 1:
        raise UsageError(f"the ratios {list(ratios)} must lie between 0 and 1", hint="e.g. 0.25 0.5 0.75")
    with written.changing(source, trust=trust, on_event=on_event) as loaded:
        written.check_layers(loaded, "pruned")
        return _scanned(loaded, Rows(loaded, data), wanted, metric, criterion, rows, on_event)


def _scanned(
    loaded: LoadedModel,
    rows: Rows,
    ratios: tuple[float, ...],
    metric: str,
    criterion: str,
    limit: int,
    on_event: EventSink,
) -> Sensitivity:
    found = analyse(loaded.model, loaded.library)
    groups = prunable(found)
    if not groups:
        reasons = "; ".join(f"{group.name}: {group.frozen}" for group in found.groups[:6])
        raise ModelError(
            f"{loaded.path.name} has no filters that can be removed: {reasons}", hint="leave the filters step out"
        )
    ranked = scores(criterion, loaded.model, found, lambda: gradients(loaded, found, rows, None))
    judge = _Judge(loaded, rows, metric, limit)
    results = []
    with task("sensitivity", on_event):
        for number, group in enumerate(groups):
            values = []
            for ratio in ratios:
                alone = Choice(ratio=0.0, ratios={group.name: ratio})
                keep = choose(found, ranked.values, alone)
                with masked(loaded.model, found, removed(found, keep)):
                    values.append(judge.score())
            results.append(
                GroupSensitivity(
                    name=group.name,
                    layers=group.layers,
                    unit=group.unit,
                    channels=group.channels.size,
                    scores=tuple(values),
                    drops=tuple(judge.lost(value) for value in values),
                )
            )
            message = f"{group.name}: {results[-1].drops[-1]:+.1f} lost at {ratios[-1]:.0%}"
            on_event(Event(state="progress", task="sensitivity", message=message, fraction=(number + 1) / len(groups)))
    return Sensitivity(
        metric=judge.metric,
        reference=judge.reference,
        count=judge.count,
        criterion=criterion,
        ratios=ratios,
        groups=tuple(results),
        notes=(*judge.notes, *ranked.notes),
        notices=loaded.notices,
    )


class _Judge:
    """Scores a model whose weights change, on the same rows each time."""

    def __init__(self, loaded: LoadedModel, rows: Rows, metric: str, limit: int) -> None:
        import numpy

        tf = libraries.tensorflow()
        self._batches: list[tuple[Any, Array | None]] = []
        held = 0
        for inputs, labels in rows.batches(_BATCH, -(-limit // _BATCH)):
            self._batches.append((tf.nest.map_structure(tf.constant, inputs), labels))
            held += sum(int(value.nbytes) for value in tf.nest.flatten(inputs))
            if held > _HELD_BYTES:
                break
        if not self._batches:
            raise DataError("the sensitivity scan has no rows to score with", hint="give some hundred rows with --data")
        model = loaded.model
        # traced once: the weights are variables, so that a mask needs no new trace
        self._run = tf.function(lambda values: model(values, training=False), autograph=False, reduce_retracing=True)
        self._own = [self._outputs(inputs) for inputs, _ in self._batches]
        self.count = sum(len(outputs[0]) for outputs in self._own)
        first, labels = self._own[0], self._batches[0][1]
        several = len(first) > 1
        self._wanted = metric if labels is not None and not several and metric != "agreement" else None
        self.notes: tuple[str, ...] = ()
        self._fraction = self._higher = True
        if self._wanted is None:
            self.metric, self.reference = "agreement", 1.0
            why = "several outputs" if several else "no labels"
            if metric != "agreement":
                self.notes = (f"{why}: the score is the agreement with the whole model",)
        else:
            judged = self._metric(self._own)
            self.metric, self.reference = judged.name, judged.value()
            self._fraction, self._higher = judged.fraction, judged.higher_is_better
        if self._fraction and numpy.isfinite(self.reference):
            low, high = wilson(round(self.reference * self.count), self.count)
            self.notes += (
                f"scored on {self.count} rows: differences below about {50 * (high - low):.1f} points are noise",
            )

    def score(self) -> float:
        """Of the model as it is now; not a number counts as the worst."""
        outputs = [self._outputs(inputs) for inputs, _ in self._batches]
        if self._wanted is not None:
            return float(self._metric(outputs).value())
        widths = [math.prod(value.shape[1:]) for value in outputs[0]]
        classes = [int(value.shape[-1]) if value.ndim > 1 else 1 for value in outputs[0]]
        agreement = Agreement(widths, classes)
        for ours, theirs in zip(outputs, self._own):
            agreement.add(_flat(ours), _flat(theirs))
        return agreement.value

    def lost(self, score: float) -> float:
        """Points, or percent of the reference."""
        return drop(self.reference, score, fraction=self._fraction, higher_is_better=self._higher)

    def _metric(self, outputs: list[list[Array]]) -> Any:
        labels = self._batches[0][1]
        assert labels is not None
        assert self._wanted is not None
        metric = make_metric(self._wanted, labels, outputs[0][0])
        for (_, own), values in zip(self._batches, outputs):
            assert own is not None
            metric.add(own, values[0], place="the rows of the sensitivity scan")
        return metric

    def _outputs(self, inputs: Any) -> list[Array]:
        import numpy

        return [numpy.asarray(value) for value in libraries.tensorflow().nest.flatten(self._run(inputs))]


def _flat(outputs: list[Array]) -> Array:
    import numpy

    return numpy.concatenate([value.reshape(len(value), -1) for value in outputs], axis=1)


def _reached(ratios: tuple[float, ...], drops: tuple[float, ...], allowed: float) -> float:
    """Where the curve of drops, from 0 at 0, first goes above what is allowed; rounded down to hundredths."""
    before, lost = 0.0, 0.0
    for ratio, found in zip(ratios, drops):
        if not found <= allowed:
            share = 0.0 if found <= lost else max(0.0, (allowed - lost) / (found - lost))
            return math.floor(100 * (before + (ratio - before) * share) + 1e-9) / 100
        before, lost = ratio, max(0.0, found)
    return before
