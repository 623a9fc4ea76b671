"""edgekit gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.gate_answer import Files, answer
from edgekit.cli.invocation import Interrupted, command, new_app
from edgekit.cli.output import Output, error_document
from edgekit.cli.pairing import PairOptions, fraction
from edgekit.core.errors import EdgekitError, UsageError

if TYPE_CHECKING:
    from edgekit.measure.compare import Comparison
    from edgekit.measure.gate_checks import Check, GateLimits
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.fleet import BoardOutcome, Work
    from edgekit.verbs.gate import BoardGate

app = new_app("May a model take its baseline's place? An exit status for CI.")

_OFF = "off"


@command(app, "gate", example="edgekit gate model.tflite --baseline baselines --device pi4 --junit gate.xml")
def gate(
    candidates: Annotated[list[Path], typer.Argument(metavar="CANDIDATE...", help="One or more .tflite files.")],
    *,
    baseline: Annotated[
        list[Path],
        typer.Option(
            "--baseline",
            envvar="EDGEKIT_BASELINE",
            help="The .tflite that is good, one for each candidate; a folder with files of the same names; or "
            "device:current, what is released on the board.",
        ),
    ],
    pairs: PairOptions,
    latency: Annotated[str, typer.Option("--latency", help="How much slower it may be; off: not looked at.")] = "5%",
    memory: Annotated[str, typer.Option("--memory", help="How much more memory it may need; or off.")] = "5%",
    size: Annotated[str, typer.Option("--size", help="How much larger the file may be; or off.")] = "1%",
    max_drop: Annotated[str, typer.Option("--max-drop", help="Percentage points it may lose; or off.")] = "1",
    data: o.Data = None,
    preprocessing: o.PreprocessingOptions,
    metric: o.Metric = "auto",
    on_inconclusive: Annotated[
        str, typer.Option("--on-inconclusive", help="fail (exit status 8) or warn (0), where noise hides the answer.")
    ] = "fail",
    accept: Annotated[
        bool, typer.Option("--accept", help="A candidate that passes becomes the baseline; so does the first one.")
    ] = False,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML there.")] = None,
    summary: Annotated[
        Path | None,
        typer.Option("--summary", envvar="GITHUB_STEP_SUMMARY", help="Append a Markdown summary to this file."),
    ] = None,
    runtime: o.Runtime = "auto",
    way: o.MeasuringBoardOptions,
    out: Output,
) -> None:
    """Run candidates and their baselines in turn on the same boards, and fail only where a regression is shown.

    A board that cannot be used stops no other. Exit status: 0 passed, 7 a regression, 5 a board that failed, 8
    inconclusive or not to be used, 130 interrupted; the files are written in every case.
    """
    from edgekit.measure.gate import judge_gate
    from edgekit.results.store import open_store
    from edgekit.verbs import baselines
    from edgekit.verbs.gate import gating, scoring

    limits = _limits(latency, memory, size, max_drop)
    if on_inconclusive not in ("fail", "warn"):
        raise UsageError(f"--on-inconclusive {on_inconclusive!r} is neither fail nor warn")
    chosen, threads = pairs.chosen(), pairs.threads()
    names, reach = pairs.boards(way)
    files = {_name(one): one for one in candidates}
    writes = Files(junit=junit, summary=summary, candidates=files, fail_open=on_inconclusive == "fail")
    writes.check()
    with writes.of_an_error(out):
        store = open_store()
        baselines.check_names(candidates)
        released = [str(one) for one in baseline] == [baselines.CURRENT]
        if accept and released:
            hint = f"edgekit deploy {candidates[0]} --device {names[0]}  makes it the current release"
            raise UsageError("--accept puts files in place; what is current on a board is deployed", hint=hint)
        placed = {} if released else dict(zip(candidates, baselines.places(candidates, baseline), strict=True))
        first = [one for one, place in placed.items() if accept and not place.exists()]
        left = [one for one in candidates if one not in first]
        if accept:
            baselines.check_acceptable(placed)
        opened = baselines.pair_up(left, baselines.CURRENT if released else [placed[one] for one in left])
        if data is None and any(preprocessing.arguments().values()):
            out.say("nothing is scored now (no --data): the manifests' scores are compared, preprocessing is not used")
        compared: list[Comparison] = []
        outcomes: tuple[BoardOutcome[BoardGate], ...] = ()
        if opened:
            work = gating(
                opened,
                boards=len(names),
                limits=limits,
                score=None if data is None else scoring(data, preprocessing.arguments(), metric=metric),
                num_threads=threads,
                plan=chosen,
                runtime=runtime,
                on_event=out.on_event,
                on_compared=compared.append,
            )
            outcomes = _outcomes(names, work, reach, out)
    order = [(name, _name(one)) for name in names for one in candidates]
    compared.sort(key=lambda one: order.index((one.device, one.candidate.model.name)))
    also = [*_without_baseline(names, first), *_not_compared(outcomes, compared, [_name(one) for one in left])]
    found = judge_gate(compared, limits, also=also)
    errors = list(dict.fromkeys(error for outcome in outcomes for error in _failures(outcome)))
    accepted: list[Path] = []
    if accept and not any(isinstance(error, Interrupted) for error in errors):
        passed = found.verdict == "passed" and not errors
        try:
            for one, place in placed.items():
                if passed or one in first:
                    baselines.accept(one, place)
                    accepted.append(place)
        except EdgekitError as error:
            errors.append(error)
    devices = [_entry(outcome) for outcome in outcomes]
    answer(found, errors, devices=devices, accepted=accepted, store=store, out=out, writes=writes)


def _name(model: Path) -> str:
    return model.name.removesuffix(".tflite")


def _outcomes(
    names: Sequence[str], work: Work[BoardGate], reach: Reach, out: Output
) -> tuple[BoardOutcome[BoardGate], ...]:
    """What came of every board; a board that failed, and Ctrl-C, end none of them but in an error of its own."""
    from edgekit.cli.fleet import side_by_side
    from edgekit.verbs.fleet import BoardOutcome, on_boards

    with _terminated_as_interrupted():
        if len(names) > 1:
            return side_by_side(out, names, work, reach=reach, failures=_failures)
        try:
            return on_boards(names, work, out.on_event, reach=reach)
        except KeyboardInterrupt:
            gone = Interrupted("interrupted before it was done")
            return (BoardOutcome(device=names[0], result=None, error=gone, seconds=0.0),)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Within the block SIGTERM is a Ctrl-C: it is what CI systems end a job with."""
    import signal

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failures(outcome: BoardOutcome[BoardGate]) -> tuple[EdgekitError, ...]:
    from edgekit.verbs.gate import failures

    return failures(outcome)


def _entry(outcome: BoardOutcome[BoardGate]) -> dict[str, Any]:
    """A board, for scripts."""
    problems = _failures(outcome)
    entry = error_document(problems[0]) if problems else {}
    return {**entry, "device": outcome.device, "ok": not problems, "seconds": outcome.seconds}


def _without_baseline(names: Sequence[str], first: Sequence[Path]) -> Iterator[Check]:
    from edgekit.measure.gate_checks import no_baseline

    return (no_baseline(name, _name(one)) for name in names for one in first)


def _not_compared(
    outcomes: Sequence[BoardOutcome[BoardGate]], compared: Sequence[Comparison], models: Sequence[str]
) -> Iterator[Check]:
    """A check for every model that a board did not compare; of a board that failed afterwards for all of them."""
    from edgekit.measure.gate_checks import no_board

    done = {(one.device, one.candidate.model.name) for one in compared}
    for outcome in outcomes:
        device = outcome.device
        missing = [model for model in models if (device, model) not in done]
        for model in missing or models:
            error = outcome.error or (outcome.result.errors.get(model) if outcome.result else None)
            if error is not None:
                yield no_board(device, model, error.message)


def _limits(latency: str, memory: str, size: str, max_drop: str) -> GateLimits:
    from edgekit.measure.gate_checks import GateLimits

    def bound(text: str, option: str) -> float | None:
        return None if text == _OFF else fraction(text, option)

    try:
        drop = None if max_drop == _OFF else float(max_drop)
    except ValueError:
        drop = -1.0
    if drop is not None and not 0 <= drop <= 100:
        raise UsageError(f"--max-drop {max_drop!r}: percentage points, 0 to 100, or off", hint="--max-drop 0.5")
    found = GateLimits(
        latency=bound(latency, "--latency"), memory=bound(memory, "--memory"), size=bound(size, "--size"), max_drop=drop
    )
    if found == GateLimits(latency=None, memory=None, size=None, max_drop=None):
        raise UsageError("every figure is off: there is nothing left to look at", hint="leave one of them on")
    return found
