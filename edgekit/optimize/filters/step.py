"""Removes filters, units and attention heads from a trained model, fine-tunes it, and writes it as the file it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgekit.core.errors import ModelError, UsageError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.model import libraries
from edgekit.model.describe import describe
from edgekit.model.load import LoadedModel
from edgekit.optimize import written
from edgekit.optimize.filters import told
from edgekit.optimize.filters.choose import Choice, choose, prunable
from edgekit.optimize.filters.criteria import check_criterion, scores
from edgekit.optimize.filters.exactness import Exactness, check
from edgekit.optimize.filters.graph import Dependencies, analyse
from edgekit.optimize.filters.records import FiltersPruned
from edgekit.optimize.filters.rows import Rows, gradients
from edgekit.optimize.filters.spread import spread_by_sensitivity
from edgekit.optimize.filters.surgery import compile_alike, narrow
from edgekit.optimize.finetune import Tuning, plan_tuning
from edgekit.optimize.refit.statistics import normalizations, reestimate
from edgekit.optimize.tuning import FineTuning

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_STATISTICS_BATCHES = 50


def prune_filters(
    source: str,
    out: str,
    data: Mapping[str, Any] | None = None,
    *,
    ratio: float = 0.3,
    ratios: Mapping[str, float] | None = None,
    scope: Literal["per-layer", "global", "sensitivity"] = "per-layer",
    criterion: str = "l1",
    iterations: int = 1,
    skip: Sequence[str] = (),
    round_to: int = 1,
    tuning: Mapping[str, Any] | None = None,
    teacher: str | None = None,
    trust: bool = False,
    on_event: EventSink = ignore,
) -> FiltersPruned:
    """Removes channels from the model in ``source``, which stays as it is, and writes ``out``. Runs in the TensorFlow
    child.

    Li et al. 2017, "Pruning Filters for Efficient ConvNets", arXiv:1608.08710; for the other criteria see
    :func:`edgekit.optimize.filters.criteria.scores`.

    Args:
        source: Keras 3 or tf_keras model.
        out: the new file, with the ending of the old one (``.keras`` for a SavedModel).
        data: training rows, a :class:`edgekit.data.spec.DataSpec` as JSON values. With labels (or a teacher) the model
            is fine-tuned; any rows serve to compute BatchNormalization statistics anew.
        ratio: fraction of the channels to remove, of every group or (other ``scope``) of all.
        ratios: layer → fraction, instead of ``ratio`` there.
        scope: ``per-layer``, or ``global``: the lowest-ranked channels of the whole model.
        scope: ``per-layer``; ``global``: the lowest-ranked of all; ``sensitivity``: a scan over training rows tells how
            far each group can go, see :mod:`edgekit.optimize.filters.spread`.
        criterion: ``l1``, ``l2``, ``bn-scale``, ``geometric-median`` or ``taylor``.
        iterations: rounds of cutting and fine-tuning; the epochs are shared among them.
        skip: layers, or models inside the model, to leave whole.
        round_to: the channels that stay are a multiple of this where a layer has as many.
        tuning: a :class:`~edgekit.optimize.tuning.FineTuning` as JSON values; None: its defaults.
        teacher: what ``fine_tune="distill"`` learns from.
        trust: allow code inside the model file.

    Raises:
        UsageError: a parameter that makes no sense, an unknown criterion or layer; ``out`` cannot be written.
        ModelError: a model that cannot be loaded or has nothing to remove; a cut that is not exact.
        DataError: rows that do not fit; ``taylor`` without labels.
    """
    check_criterion(criterion)
    if iterations < 1:
        raise UsageError(f"iterations must be 1 or more, found {iterations}", hint="e.g. --iterations 3")
    wanted = FineTuning.of(tuning)
    spread: dict[str, float] = dict(ratios or {})
    said: tuple[str, ...] = ()
    if scope == "sensitivity" and ratio > 0 and data is not None:
        found, text = spread_by_sensitivity(source, data, ratio, criterion=criterion, trust=trust, on_event=on_event)
        spread, said = {**found, **spread}, (text,)
    choice = Choice(
        ratio=ratio,
        ratios=spread,
        scope="global" if scope == "global" else "per-layer",
        skip=tuple(skip),
        round_to=round_to,
    )
    with written.changing(source, trust=trust, on_event=on_event) as loaded:
        written.check_kind(loaded, Path(out), "pruned")
        begin = analyse(loaded.model, loaded.library)
        _check_any(loaded, begin, choice)
        course, notices = plan_tuning(
            loaded, data, wanted, None if teacher is None else Path(teacher), trust=trust, on_event=on_event
        )
        work = _Work(
            loaded=loaded,
            choice=choice,
            criterion=criterion,
            sizes={group.name: group.channels.size for group in begin.groups},
            course=course,
            rows=None if data is None else Rows(loaded, data),
            loss=wanted.loss,
            on_event=on_event,
        )
        rounds = [work.round(number, iterations) for number in range(1, iterations + 1)]
        model, compiled = work.finished()
        with task("filters", on_event):
            written.write(model, Path(out))
        last = analyse(model, loaded.library)
        record = FiltersPruned(
            path=out,
            criterion=criterion,
            scope=scope,
            groups=told.cuts(begin, last, rounds[-1].used),
            left=told.left(begin, last, choice),
            parameters_before=describe(loaded).parameters,
            parameters=describe(replace(loaded, model=model)).parameters,
            macs_before=describe(loaded).macs,
            macs=describe(replace(loaded, model=model)).macs,
            exactness=tuple(item.exactness for item in rounds),
            statistics_rows=work.statistics_rows,
            steps=course.steps if course else 0,
            loss=course.loss.described if course else "",
            losses=tuple(work.losses),
            notes=tuple(dict.fromkeys([*said, *(note for item in rounds for note in item.notes)])),
            notices=(*loaded.notices, *notices, *compiled),
        )
    return told.with_notes(record)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    exactness: Exactness
    used: Mapping[str, str]
    notes: tuple[str, ...]


class _Work:
    """The model as it gets smaller, round by round."""

    def __init__(
        self,
        *,
        loaded: LoadedModel,
        choice: Choice,
        criterion: str,
        sizes: Mapping[str, int],
        course: Tuning | None,
        rows: Rows | None,
        loss: str | None,
        on_event: EventSink,
    ) -> None:
        self._first, self._current = loaded, loaded
        self._choice, self._criterion, self._sizes = choice, criterion, sizes
        self._course, self._rows, self._loss, self._on_event = course, rows, loss, on_event
        self.losses: list[float] = []
        self.statistics_rows = 0

    def round(self, number: int, rounds: int) -> _Round:
        """Ranks, cuts, checks, and tunes."""
        task_name = "filters" if rounds == 1 else f"filters, round {number} of {rounds}"
        with task(task_name, self._on_event):
            current = self._current
            found = analyse(current.model, current.library)
            ranked = scores(
                self._criterion,
                current.model,
                found,
                lambda: gradients(current, found, self._rows, self._loss),
            )
            keep = choose(found, ranked.values, self._choice, sizes=self._sizes, progress=number / rounds)
            small = narrow(current.model, current.library, keep, dependencies=found)
            exactness = check(current, small, found, keep)
            self._current = replace(current, model=small)
            if keep:
                self._reestimate()
            self._tune(number, rounds, task_name)
        return _Round(exactness=exactness, used=ranked.used, notes=ranked.notes)

    def finished(self) -> tuple[Any, tuple[Notice, ...]]:
        """The model with the loss and optimizer of the first one."""
        model = self._current.model
        if self._course is not None:
            model = narrow(model, self._first.library, {}, compiled=False)
        if compile_alike(self._first.model, model):
            return model, ()
        notice = Notice(
            code="not-compiled",
            message="the loss or optimizer of the model cannot be carried over; the new file has the layers alone",
            hint="call compile() before you train it further",
        )
        return model, (notice,)

    def _reestimate(self) -> None:
        """Puts BatchNormalization statistics right, which belong to the weights as they were.

        After a cut, and after fine-tuning too: in the few steps of a small data set the moving averages do not follow.
        """
        model, library, rows = self._current.model, self._current.library, self._rows
        if rows is None or not normalizations(model, library):
            return
        reestimate(model, library, lambda: rows.inputs(_STATISTICS_BATCHES))
        self.statistics_rows = sum(len(_first(inputs)) for inputs in rows.inputs(_STATISTICS_BATCHES))

    def _tune(self, number: int, rounds: int, task_name: str) -> None:
        if self._course is None:
            return
        epochs = self._course.epochs * number // rounds - self._course.epochs * (number - 1) // rounds
        if epochs:
            library = libraries.keras() if self._current.library == "keras" else libraries.tf_keras()
            course = replace(self._course, epochs=epochs, seed=self._course.seed + number - 1)
            self.losses += course.fit(library, self._current.model, [], self._on_event, step=task_name)
            self._reestimate()


def _first(inputs: Any) -> Any:
    """One array of a packed batch."""
    return libraries.tensorflow().nest.flatten(inputs)[0]


def _check_any(loaded: LoadedModel, found: Dependencies, choice: Choice) -> None:
    """Raises:
    ModelError: no channel may go.
    """
    if prunable(found, choice.skip):
        return
    reasons = [f"{group.name}: {group.frozen or 'skipped'}" for group in found.groups]
    reasons += [f"{path}: {reason}" for path, reason in found.unknown.items() if path not in str(reasons)]
    why = "; ".join(reasons[:6]) or "it has no layers with filters"
    raise ModelError(
        f"no filters can be removed from {loaded.path.name}: {why}",
        hint="leave the filters step out; --recipe prune-int8 or int8 take any model",
    )
