"""edgekit gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.compare import fraction, keep
from edgekit.cli.invocation import command, exit_with, new_app
from edgekit.cli.output import Output, error_document
from edgekit.cli.reaching import device_names, one_thread_count
from edgekit.core.errors import UsageError

if TYPE_CHECKING:
    from edgekit.core.errors import EdgekitError
    from edgekit.core.notice import Notice
    from edgekit.measure.compare import Comparison
    from edgekit.measure.gate import Gate
    from edgekit.measure.gate_checks import GateLimits
    from edgekit.results.store import Store
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.fleet import Work

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
    device: o.Devices = "local",
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
    num_threads: o.NumThreads = None,
    plan: Annotated[
        str, typer.Option("--plan", envvar="EDGEKIT_PLAN", help="standard or publish; quick is refused.")
    ] = "standard",
    num_runs: o.NumRuns = None,
    warmup_runs: o.WarmupRuns = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of the order of the processes (default: drawn).")
    ] = None,
    runtime: o.Runtime = "auto",
    way: o.MeasuringBoardOptions,
    out: Output,
) -> None:
    """Run candidates and their baselines in turn on the same boards, and fail only where a regression is shown.

    Exit status: 0 passed, 7 a regression, 8 inconclusive or not to be used, 5 a board that failed.
    """
    from edgekit.measure.gate import judge_gate
    from edgekit.measure.gate_checks import no_baseline, no_board
    from edgekit.measure.pairs import make_pair_plan
    from edgekit.results.store import open_store
    from edgekit.verbs import baselines
    from edgekit.verbs.gate import gating, scoring

    limits = _limits(latency, memory, size, max_drop)
    if on_inconclusive not in ("fail", "warn"):
        raise UsageError(f"--on-inconclusive {on_inconclusive!r} is neither fail nor warn")
    chosen = make_pair_plan(plan, num_runs=num_runs, warmup_runs=warmup_runs, seed=seed)
    names, reach = device_names(device), way.reach()
    for name in names:
        reach.target(name)  # a misspelt name is found before the models are read
    writes = _Files(junit=junit, summary=summary, fail_open=on_inconclusive == "fail", candidates=candidates)
    writes.check()
    store = open_store()
    baselines.check_names(candidates)
    released = [str(one) for one in baseline] == [baselines.CURRENT]
    if accept and released:
        hint = f"edgekit deploy {candidates[0]} --device {names[0]}  makes it the current release"
        raise UsageError("--accept puts files in place; what is current on a board is deployed", hint=hint)
    placed = {} if released else dict(zip(candidates, baselines.places(candidates, baseline), strict=True))
    first = [one for one, place in placed.items() if accept and not place.exists()]
    left = [one for one in candidates if one not in first]
    pairs = baselines.pair_up(left, baselines.CURRENT if released else [placed[one] for one in left])
    if data is None and any(preprocessing.arguments().values()):
        out.say("nothing is scored now (no --data): what the manifests say is compared, and preprocessing is not used")
    comparisons: list[Comparison] = []
    errors: dict[str, EdgekitError] = {}
    if pairs:
        work = gating(
            pairs,
            boards=len(names),
            limits=limits,
            score=None if data is None else scoring(data, preprocessing.arguments(), metric=metric),
            num_threads=one_thread_count(num_threads),
            plan=chosen,
            runtime=runtime,
            on_event=out.on_event,
        )
        comparisons, errors = _compared(names, work, reach, out)
    for one in first:
        baselines.accept(one, placed[one])
    also = [no_baseline(name, _name(one)) for name in names for one in first]
    also += [no_board(name, _name(one), error.message) for name, error in errors.items() for one in left]
    if errors and not comparisons:
        raise next(iter(errors.values()))
    found = judge_gate(comparisons, limits, also=also)
    if accept and not errors and found.verdict == "passed":
        for one in left:
            baselines.accept(one, placed[one])
        first = list(placed)
    _answer(found, list(errors.values()), [str(placed[one]) for one in first], store, out, writes)


def _name(model: Path) -> str:
    return model.name.removesuffix(".tflite")


class _Files:
    """What is written for CI systems beside the answer."""

    def __init__(
        self, *, junit: Path | None, summary: Path | None, fail_open: bool, candidates: Sequence[Path]
    ) -> None:
        self._junit, self._summary, self.fail_open = junit, summary, fail_open
        self._candidates = candidates

    def check(self) -> None:
        """Finds out before minutes of work what cannot be written."""
        from edgekit.core.files import check_writable

        for path in (self._junit, self._summary):
            if path is not None:
                check_writable(path)

    def write(self, found: Gate, out: Output) -> None:
        """JUnit XML, the step's summary, and annotations where GitHub runs us."""
        import os

        from edgekit.core import files
        from edgekit.report.github import step_summary, workflow_commands
        from edgekit.report.junit import junit_xml

        if self._junit is not None:
            files.write_bytes(self._junit, junit_xml(found, fail_inconclusive=self.fail_open))
        if self._summary is not None:
            with self._summary.open("a", encoding="utf-8") as stream:  # what other steps have written stays
                stream.write(step_summary(found))
        if os.environ.get("GITHUB_ACTIONS") == "true":
            candidates = {_name(one): str(one) for one in self._candidates}
            for line in workflow_commands(found, candidates, fail_inconclusive=self.fail_open):
                out.line(line)


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


def _compared(
    names: Sequence[str], work: Work[tuple[Comparison, ...]], reach: Reach, out: Output
) -> tuple[list[Comparison], dict[str, EdgekitError]]:
    """What came of every board; of a single one an error ends the command."""
    from edgekit.cli.fleet import side_by_side

    if len(names) == 1:
        return list(work(names[0], reach, out.on_event)), {}
    outcomes = side_by_side(out, names, work, reach=reach)
    errors = {outcome.device: outcome.error for outcome in outcomes if outcome.error is not None}
    return [one for outcome in outcomes for one in outcome.result or ()], errors


def _keep(found: Gate, store: Store) -> tuple[list[dict[str, Any]], list[Notice]]:
    """Stores each comparison, and what was decided about it; the comparisons' documents, and what to tell."""
    from edgekit.core.errors import StoreError
    from edgekit.core.notice import Notice
    from edgekit.measure.gate import to_gate_document
    from edgekit.report.gated import gate_sentence

    documents: list[dict[str, Any]] = []
    notices: list[Notice] = []
    for comparison in found.comparisons:
        own = found.about(comparison)
        kept, more = keep(comparison, store)
        documents.append(kept)
        notices += more
        try:
            store.add(
                "gate",
                {**to_gate_document(own), "sentence": gate_sentence(own), "comparisons": [kept]},
                device=comparison.device,
                model=comparison.candidate.model.name,
                model_sha256=comparison.candidate.model.sha256,
                verdict=own.verdict,
            )
        except StoreError as error:  # what was decided must be seen even where it cannot be kept
            notices.append(Notice(code="not-stored", message=error.message, hint=error.hint or ""))
    return documents, notices


def _answer(
    found: Gate,
    errors: Sequence[EdgekitError],
    accepted: Sequence[str],
    store: Store,
    out: Output,
    writes: _Files,
) -> None:
    """Keeps, shows and writes what was decided; ends with its status."""
    from edgekit.measure.gate import to_gate_document
    from edgekit.report.gated import gate_sentence, gate_table

    kept, notices = _keep(found, store)
    document = {
        **to_gate_document(found),
        "sentence": gate_sentence(found),
        "comparisons": kept,
        "accepted": list(accepted),
    }
    if errors:
        document |= error_document(errors[0])
    out.notices(tuple(dict.fromkeys(notices)))
    writes.write(found, out)
    out.answer(document, gate_table(found), *(f"baseline now: {path}" for path in accepted))
    for one in errors:
        out.complain(one)
    if found.verdict == "failed":
        exit_with(7)
    if errors:
        exit_with(errors[0].exit_code)
    if found.verdict == "invalid" or (found.verdict == "inconclusive" and writes.fail_open):
        exit_with(8)
