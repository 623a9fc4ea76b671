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
from edgekit.cli.pairing import PairOptions, fraction, keep
from edgekit.core.decode import to_json
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
    baseline: Annotated[Path, typer.Argument(metavar="A", help="The .tflite or .onnx to compare with.")],
    candidate: Annotated[
        Path | None,
        typer.Argument(
            metavar="B", help="The one that may be faster; A again tests A/A; none: A again, on the second --runtime."
        ),
    ] = None,
    *,
    pairs: PairOptions,
    margin: Annotated[
        str, typer.Option("--margin", envvar="EDGEKIT_MARGIN", help="Differences below this do not matter.")
    ] = "2%",
    runtime: Annotated[
        str,
        typer.Option(
            "--runtime",
            envvar="EDGEKIT_RUNTIME",
            help="One for both, or one for each: litert,litert-builtin. Names as of `edgekit benchmark`.",
        ),
    ] = "auto",
    way: o.MeasuringBoardOptions,
    out: Output,
) -> None:
    """Tell whether B is faster or slower than A: 10 to 20 pairs of fresh processes, in an order drawn by lot.

    Every board gets a verdict of its own: faster, slower, equivalent, inconclusive or invalid. With two runtimes the
    same model is compared on both (edgekit compare A --runtime litert,litert-builtin), or A on the first with B on the
    second; a .onnx file runs in onnxruntime.
    """
    from edgekit.results.store import open_store
    from edgekit.verbs.compare import comparing

    _no_results(baseline, candidate)
    chosen = pairs.chosen(margin=fraction(margin, "--margin"))
    store = open_store()  # a store that cannot be opened is found out before minutes of work
    names, reach = pairs.boards(way)
    work = comparing(baseline, candidate, num_threads=pairs.threads(), plan=chosen, runtime=runtime)
    if len(names) == 1:
        found = [work(names[0], reach, out.on_event)]
        document, notices = keep(found[0], store)
        out.notices(notices)
        out.answer({**document, "warnings": to_json(notices)}, _table(found[0]))
    else:
        found = _several(names, work, reach, store, out)
    if any(one.verdict in ("inconclusive", "invalid") for one in found):
        exit_with(8)


def _no_results(*given: Path | None) -> None:
    """Kept results are no files.

    Raises:
        UsageError: one of them is meant.
    """
    for one in filter(None, given):
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
    told = tuple(dict.fromkeys(notices))
    out.notices(told)
    answer(
        out,
        outcomes,
        documents,
        *map(_table, found),
        more={
            "comparisons": [documents[name] for name in names if name in documents],
            "warnings": to_json(told),
        },
    )
    return found


def _table(comparison: Comparison) -> Any:
    from edgekit.report.compared import comparison_table

    return comparison_table(comparison)
