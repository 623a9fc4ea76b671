"""edgekit compare."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, exit_with, new_app
from edgekit.cli.output import Output
from edgekit.cli.reaching import device_names, one_thread_count
from edgekit.core.errors import UsageError

if TYPE_CHECKING:
    from edgekit.core.notice import Notice
    from edgekit.measure.compare import Comparison
    from edgekit.results.store import Store
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.fleet import BoardOutcome, Work

app = new_app("Is one model faster than another on a board?")


@command(app, "compare", example="edgekit compare old.tflite new.tflite --device pi4")
def compare(
    baseline: Annotated[Path, typer.Argument(metavar="A", help="The .tflite to compare with.")],
    candidate: Annotated[Path, typer.Argument(metavar="B", help="The .tflite that may be faster; A again tests A/A.")],
    *,
    device: o.Devices = "local",
    num_threads: o.NumThreads = None,
    margin: Annotated[
        str, typer.Option("--margin", envvar="EDGEKIT_MARGIN", help="Differences below this do not matter.")
    ] = "2%",
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
    """Tell whether B is faster or slower than A: 10 to 20 pairs of fresh processes, in an order drawn by lot.

    Every board gets a verdict of its own: faster, slower, equivalent, inconclusive or invalid.
    """
    from edgekit.measure.pairs import make_pair_plan
    from edgekit.results.store import open_store
    from edgekit.verbs.compare import comparing

    _no_results(baseline, candidate)
    chosen = make_pair_plan(
        plan, margin=fraction(margin, "--margin"), num_runs=num_runs, warmup_runs=warmup_runs, seed=seed
    )
    store = open_store()  # a store that cannot be opened is found out before minutes of work
    names = device_names(device)
    reach = way.reach()
    for name in names:
        reach.target(name)  # a misspelt name is found before the models are read
    work = comparing(baseline, candidate, num_threads=one_thread_count(num_threads), plan=chosen, runtime=runtime)
    if len(names) == 1:
        found = [work(names[0], reach, out.on_event)]
        document, notices = keep(found[0], store)
        out.notices(notices)
        out.answer(document, _table(found[0]))
    else:
        found = _several(names, work, reach, store, out)
    if any(one.verdict in ("inconclusive", "invalid") for one in found):
        exit_with(8)


def _no_results(*given: Path) -> None:
    """Kept results are no files.

    Raises:
        UsageError: one of them is meant.
    """
    for one in given:
        if re.fullmatch(r"[0-9a-f]{6,12}", str(one)) and not one.exists():
            raise UsageError(
                f"{one} is no file; if it is a result's id: what was not run in pairs is not compared, the board may "
                "have been another one that day",
                hint="edgekit results history MODEL --device NAME tells changes over time, with that reservation",
            )


def _several(names: Sequence[str], work: Work[Comparison], reach: Reach, store: Store, out: Output) -> list[Comparison]:
    from edgekit.cli.fleet import answer, side_by_side

    documents: dict[str, dict[str, Any]] = {}
    notices: list[Notice] = []

    def keep_now(outcome: BoardOutcome[Comparison]) -> None:
        if outcome.result is not None:
            documents[outcome.device], more = keep(outcome.result, store)
            notices.extend(more)

    outcomes = side_by_side(out, names, work, reach=reach, on_outcome=keep_now)
    found = [outcome.result for outcome in outcomes if outcome.result]
    out.notices(tuple(dict.fromkeys(notices)))
    answer(
        out,
        outcomes,
        documents,
        *map(_table, found),
        more={"comparisons": [documents[name] for name in names if name in documents]},
    )
    return found


def _table(comparison: Comparison) -> Any:
    from edgekit.report.compared import comparison_table

    return comparison_table(comparison)


def keep(comparison: Comparison, store: Store) -> tuple[dict[str, Any], tuple[Notice, ...]]:
    """Stores a comparison, and its sides with their raw samples as measurements; its document, and what to tell."""
    from edgekit.core.errors import StoreError
    from edgekit.core.notice import Notice
    from edgekit.measure.compare import to_comparison_document
    from edgekit.report.compared import comparison_sentence
    from edgekit.verbs.selftest import flagged

    document = {**to_comparison_document(comparison), "sentence": comparison_sentence(comparison)}
    notices = [*comparison.baseline.notices, *comparison.candidate.notices]
    if flag := flagged(comparison.device, store):
        notices.append(flag)
    try:
        for side in ("baseline", "candidate"):
            kept = store.get(store.add_measurement(getattr(comparison, side)))
            document[side] = {**kept.document, "id": kept.id}
        document["id"] = store.add(
            "comparison",
            document,
            device=comparison.device,
            model=comparison.candidate.model.name,
            model_sha256=comparison.candidate.model.sha256,
            verdict=comparison.verdict,
        )
    except StoreError as error:  # what was measured must be seen even where it cannot be kept
        notices.append(Notice(code="not-stored", message=error.message, hint=error.hint or ""))
    return document, tuple(dict.fromkeys((*notices, *store.notices)))


def fraction(text: str, option: str) -> float:
    """``2%`` or ``0.02`` → 0.02.

    Raises:
        UsageError: neither.
    """
    number, percent = text.strip().removesuffix("%").strip(), text.strip().endswith("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise UsageError(f"{option} {text!r} is no percentage", hint=f"{option} 2%  or  {option} 0.02")
    return value
