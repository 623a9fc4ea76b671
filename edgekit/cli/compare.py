"""edgekit compare."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, exit_with, new_app, options_given
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
    second; a .onnx file runs in onnxruntime. Two ids of kept measurements of one board are compared without running
    anything: unpaired, drift possible.
    """
    from edgekit.results.store import open_store
    from edgekit.verbs.compare import comparing

    if candidate is not None and _are_results(baseline, candidate):
        _kept(baseline, candidate, out)
        return
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


def _are_results(*given: Path) -> bool:
    """Whether ids of kept results are named, and no files.

    Raises:
        UsageError: one is an id, and the other a file.
    """
    ids = [one for one in given if re.fullmatch(r"[0-9a-f]{6,12}", str(one)) and not one.exists()]
    if len(ids) == 1:
        raise UsageError(
            f"{ids[0]} is no file; if it is a result's id: it is compared with that of another one",
            hint="edgekit results list --kind measurement",
        )
    return len(ids) == 2


def _kept(baseline: Path, candidate: Path, out: Output) -> None:
    """The answer about two kept measurements; nothing runs.

    Raises:
        UsageError: options of a run; or one of the ids is unknown.
    """
    from edgekit.report.unpaired import unpaired_sentence, unpaired_table
    from edgekit.results.store import open_store
    from edgekit.results.unpaired import compare_kept

    if unused := options_given():
        raise UsageError(
            f"{', '.join(unused)}: two kept measurements are compared without running anything",
            hint=f"edgekit compare {baseline} {candidate}, or name two model files",
        )
    found = compare_kept(open_store(), str(baseline), str(candidate))
    sides = {name: getattr(found, name) for name in ("baseline", "candidate")}
    document = {
        "paired": False,
        "caveat": found.caveat,
        "device": found.candidate.series.device,
        "verdict": found.verdict,
        "ratio": found.ratio,
        "ci95": None,
        "pairs": 0,
        "p": found.p,
        "reasons": found.reasons,
        "sentence": unpaired_sentence(found),
        **{name: {**to_json(point), "processes": len(point.process_medians_ns)} for name, point in sides.items()},
    }
    out.answer(document, unpaired_table(found))
    if found.verdict == "inconclusive":
        exit_with(8)


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
