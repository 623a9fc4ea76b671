"""gate: may a candidate take the place of its baseline? Both run anew, in turn, on the same boards."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.core.artifact import Artifact
    from edgekit.core.errors import UsageError
    from edgekit.core.events import EventSink
    from edgekit.measure.compare import Change, Comparison
    from edgekit.measure.gate import Gate, GateLimits
    from edgekit.measure.pairs import PairPlan
    from edgekit.measure.plan import Plan
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.fleet import Work


def gate(
    candidates: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
    *,
    baseline: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
    device: str | Sequence[str] = "local",
    limits: GateLimits | None = None,
    data: str | None = None,
    scale: str | float | None = None,
    num_threads: int | None = None,
    plan: str | Plan | PairPlan = "standard",
    runtime: str = "auto",
    reach: Reach | None = None,
    on_event: EventSink = ignore,
) -> Gate:
    """Compares each candidate with its baseline on each board, and decides over all of them together.

    Args:
        candidates: .tflite files or artifacts.
        baseline: as many, in the same order; or a folder that has a file of the same name for each.
        device: names of boards, which work side by side.
        limits: what may grow by how much; None: 5 % latency, 5 % memory, 1 % size, 1 point of the score.
        data: rows to score both models on; None: the scores that stand in their manifests.
        scale: of these rows; see :func:`edgekit.evaluate`.
        num_threads, plan, runtime, reach: see :func:`edgekit.compare`; ``quick`` is refused.
        on_event: hears of the progress.

    Raises:
        UsageError: candidates and baselines do not go together, or a plan that is only indicative.
        MeasurementError: an emulated board, or one that failed its self-test; nothing was run on it.
        ModelError, DeviceError: see :func:`edgekit.compare`.
    """
    from edgekit.measure.gate import GateLimits, judge_gate
    from edgekit.verbs.fleet import on_boards

    bounds = limits or GateLimits()
    pairs = pair_up(candidates, baseline)
    work = gating(pairs, limits=bounds, num_threads=num_threads, plan=plan, runtime=runtime)
    if data is not None:
        work = with_scores(work, [score_now(old, new, data, scale, on_event) for new, old in pairs])
    names = [device] if isinstance(device, str) else list(device)
    outcomes = on_boards(names, work, on_event, reach=reach)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return judge_gate([one for outcome in outcomes if outcome.result for one in outcome.result], bounds)


def pair_up(
    candidates: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
    baseline: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
) -> list[tuple[Artifact, Artifact]]:
    """Each candidate with its baseline.

    Raises:
        UsageError: not as many baselines as candidates, or a candidate named twice.
        ModelError: a folder without a file of a candidate's name, or a file that is missing or no .tflite.
    """
    from edgekit.core.artifact import Artifact
    from edgekit.core.errors import UsageError
    from edgekit.verbs.benchmark import open_model

    new = [open_model(one) for one in _listed(candidates)]
    old = _listed(baseline)
    if not any(isinstance(one, Artifact) for one in old):
        old = list(places([one.path for one in new], [Path(str(one)) for one in old]))
    if len(new) != len(old):
        raise _not_as_many(len(new), len(old))
    if len({one.path.resolve() for one in new}) < len(new):
        raise UsageError("a candidate is named twice", hint="name each model once")
    return list(zip(new, [_opened(one, place) for one, place in zip(new, old, strict=True)], strict=True))


def places(candidates: Sequence[Path], baseline: Sequence[Path]) -> list[Path]:
    """Where each candidate's baseline is, or would be: a folder has it under the candidate's name.

    Raises:
        UsageError: not as many baselines as candidates.
    """
    if len(baseline) == 1 and baseline[0].suffix != ".tflite":
        return [baseline[0] / candidate.name for candidate in candidates]
    if len(candidates) != len(baseline):
        raise _not_as_many(len(candidates), len(baseline))
    return list(baseline)


def gating(
    pairs: Sequence[tuple[Artifact, Artifact]],
    *,
    limits: GateLimits,
    num_threads: int | None = None,
    plan: str | Plan | PairPlan = "standard",
    runtime: str = "auto",
) -> Work[tuple[Comparison, ...]]:
    """The work of :func:`gate` on one board, for :func:`edgekit.verbs.fleet.on_boards`.

    Args:
        pairs: from :func:`pair_up`.
        limits, num_threads, plan, runtime: see :func:`gate`.

    Raises:
        UsageError: see :func:`gate`.
    """
    from edgekit.core.errors import MeasurementError
    from edgekit.measure.pairs import MARGIN, PairPlan, make_pair_plan
    from edgekit.verbs.benchmark import check_runtime
    from edgekit.verbs.boards import open_board
    from edgekit.verbs.compare import compare_on
    from edgekit.verbs.ready import is_stateful
    from edgekit.verbs.selftest import flagged

    name_of_runtime = check_runtime(runtime)
    # pairs are added until they decide at the gate's own limit, not at that of a comparison
    margin = limits.latency or MARGIN
    pair_plan = plan if isinstance(plan, PairPlan) else make_pair_plan(plan, margin=margin)
    stateful = any(is_stateful(one) for pair in pairs for one in pair)

    def work(name: str, reach: Reach, on_event: EventSink) -> tuple[Comparison, ...]:
        if flag := flagged(name):
            raise MeasurementError(f"{flag.message}; a gate does not rest on such a board", hint=flag.hint)
        with open_board(name, reach, name_of_runtime, on_event, stateful=stateful) as board:
            return tuple(
                compare_on(board, old, new, plan=pair_plan, num_threads=num_threads, on_event=on_event)
                for new, old in pairs
            )

    return work


def with_scores(work: Work[tuple[Comparison, ...]], scores: Sequence[Change]) -> Work[tuple[Comparison, ...]]:
    """The same work, its comparisons with these scores in place of those of the manifests."""
    import dataclasses

    def scored(name: str, reach: Reach, on_event: EventSink) -> tuple[Comparison, ...]:
        found = work(name, reach, on_event)
        return tuple(dataclasses.replace(one, score=score) for one, score in zip(found, scores, strict=True))

    return scored


def score_now(
    baseline: Artifact, candidate: Artifact, data: str, scale: str | float | None, on_event: EventSink
) -> Change:
    """Both models on the same rows, with LiteRT on this machine.

    Raises:
        DataError, ModelError, UsageError: see :func:`edgekit.evaluate`.
    """
    from edgekit.measure.compare import Change
    from edgekit.verbs.evaluate import evaluate

    one, other = (evaluate(model.path, data=data, scale=scale, on_event=on_event) for model in (baseline, candidate))
    known = one.value is not None and other.value is not None
    return Change(
        name=one.metric,
        baseline=one.value,
        candidate=other.value,
        difference=None if one.value is None or other.value is None else other.value - one.value,
        missing="" if known else "the rows have no labels",
    )


def accept(candidate: Path, place: Path) -> None:
    """Puts a candidate, with its manifest, in its baseline's place.

    Raises:
        ModelError: no such candidate.
        UsageError: it cannot be written there.
    """
    from edgekit.core import files
    from edgekit.core.artifact import manifest_path
    from edgekit.verbs.benchmark import open_model

    artifact = open_model(candidate)
    if place.exists() and place.resolve() == artifact.path.resolve():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(place, artifact.path.read_bytes())
    if artifact.manifest is not None:
        files.write_bytes(manifest_path(place), manifest_path(artifact.path).read_bytes())
    else:
        manifest_path(place).unlink(missing_ok=True)  # it was of the model that was there before


def _opened(candidate: Artifact, place: str | PathLike[str] | Artifact) -> Artifact:
    from edgekit.core.artifact import Artifact
    from edgekit.core.errors import ModelError
    from edgekit.verbs.benchmark import open_model

    if not isinstance(place, Artifact) and not Path(place).exists():
        raise ModelError(
            f"{candidate.path.name} has no baseline yet: {place} is not there",
            hint=f"make it the first one: edgekit gate {candidate.path} --baseline {place} --accept",
        )
    return open_model(place)


def _not_as_many(candidates: int, baselines: int) -> UsageError:
    from edgekit.core.errors import UsageError

    return UsageError(
        f"{candidates} candidates and {baselines} baselines",
        hint="give each candidate its --baseline, in the same order; or one folder with files of the same names",
    )


def _listed(
    models: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
) -> list[str | PathLike[str] | Artifact]:
    from edgekit.core.artifact import Artifact

    return [models] if isinstance(models, (str, PathLike, Artifact)) else list(models)
