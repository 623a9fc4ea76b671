"""edgekit benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, exit_with, new_app
from edgekit.cli.output import Output, error_document
from edgekit.cli.plans import chosen_plan
from edgekit.cli.reaching import device_names, thread_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.core.notice import Notice
    from edgekit.measure.measurement import Measurement
    from edgekit.measure.side_by_side import NotMeasured
    from edgekit.results.store import Store
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.fleet import BoardOutcome, Work
    from edgekit.verbs.measuring import BoardBenchmark

app = new_app("Latency and memory of models on boards.")


@command(
    app,
    "benchmark",
    example="edgekit benchmark model.tflite --device pi4 --runtime litert,litert-builtin --num-threads 1,4",
)
def benchmark(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="One or more .tflite or .onnx files.")],
    *,
    device: o.Devices = "local",
    num_threads: o.NumThreads = None,
    quick: o.Quick = False,
    plan: o.Plan = "standard",
    max_time: o.MaxTime = None,
    num_runs: o.NumRuns = None,
    warmup_runs: o.WarmupRuns = None,
    runtime: o.Runtimes = "auto",
    weight_cache: o.WeightCache = False,
    way: o.MeasuringBoardOptions,
    out: Output,
) -> None:
    """Measure latency and memory: fresh processes, real inputs, a verdict.

    Several models, runtimes and thread counts of a board come in one table, their processes interleaved; a runtime
    that cannot run there says why. Several boards are measured side by side; one that fails stops no other.
    """
    from edgekit.results.store import open_store
    from edgekit.verbs.benchmark import benchmarking

    chosen = chosen_plan(plan, quick=quick, num_runs=num_runs, warmup_runs=warmup_runs, max_time=max_time)
    store = open_store()  # a store that cannot be opened is found out before minutes of work
    names = device_names(device)
    reach = way.reach()
    for name in names:
        reach.target(name)  # a misspelt name is found before the models are read
    work = benchmarking(
        models,
        num_threads=thread_counts(num_threads),
        plan=chosen,
        runtime=runtime,
        weight_cache=weight_cache,
    )
    if len(names) == 1:
        _one(work(names[0], reach, out.on_event), store, out)
    else:
        _several(names, work, reach, store, out)


def _one(found: BoardBenchmark, store: Store, out: Output) -> None:
    """The answer about one board; what was measured is kept and shown also where a model failed."""
    from edgekit.core.decode import to_json

    if not found.measurements:
        raise found.errors[0]
    keeper = Keeper(store)
    kept = keeper.keep(found.measurements)
    notices = keeper.notices()
    out.notices(notices)
    rows = [_not_measured(one) for one in found.not_measured]
    # with one measurement its fields stand at the top, where scripts look for them
    alone = kept[0] if len(kept) == 1 and not found.errors else {}
    document: dict[str, Any] = {
        **alone,
        "measurements": kept,
        "not_measured": rows,
        "warnings": to_json(notices),
        **_fastest(found.measurements),
    }
    if found.errors:
        document |= {**error_document(found.errors[0]), **document}
    out.answer(document, _table(found.measurements, found.not_measured))
    if found.errors:
        for error in found.errors:
            out.complain(error)
        exit_with(found.errors[0].exit_code)
    end_by_verdict(found.measurements)


def _several(names: list[str], work: Work[BoardBenchmark], reach: Reach, store: Store, out: Output) -> None:
    from edgekit.cli.fleet import answer, side_by_side
    from edgekit.core.decode import to_json
    from edgekit.verbs.benchmark import failures

    keeper = Keeper(store)

    def keep_now(outcome: BoardOutcome[BoardBenchmark]) -> None:
        if outcome.result is not None:
            documents[outcome.device] = keeper.keep(outcome.result.measurements)

    documents: dict[str, list[dict[str, Any]]] = {}
    outcomes = side_by_side(out, names, work, reach=reach, on_outcome=keep_now, failures=failures)
    measured = [one for outcome in outcomes if outcome.result for one in outcome.result.measurements]
    missing = {outcome.device: outcome.result.not_measured for outcome in outcomes if outcome.result}
    notices = keeper.notices()
    out.notices(notices)
    answer(
        out,
        outcomes,
        {
            name: {"measurements": documents[name], "not_measured": [_not_measured(one) for one in missing[name]]}
            for name in documents
        },
        *([_table(measured, [one for rows in missing.values() for one in rows])] if measured else []),
        more={
            "measurements": [one for name in names for one in documents.get(name, ())],
            "warnings": to_json(notices),
        },
        failures=failures,
    )
    end_by_verdict(measured)


def _table(measured: Sequence[Measurement], not_measured: Sequence[NotMeasured]) -> Any:
    from edgekit.report.side_by_side import benchmark_table

    return benchmark_table(measured, not_measured)


def _not_measured(one: NotMeasured) -> dict[str, Any]:
    """A row without figures, for scripts."""
    names = ("device", "model", "runtime", "num_threads")
    return {**{name: getattr(one, name) for name in names}, **error_document(one.error)}


def _fastest(measured: Sequence[Measurement]) -> dict[str, Any]:
    """The answer to which is the fastest, for scripts; nothing where there are not two to compare."""
    from edgekit.measure.side_by_side import fastest
    from edgekit.report.side_by_side import fastest_line

    found = fastest(measured)
    if found is None:
        return {}
    best = None if found.best is None else list(measured).index(found.best)
    return {"fastest": {"measurement": best, "text": fastest_line(found)}}


class Keeper:
    """Stores measurements as they come, and gathers what the user should know."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._measured: list[Measurement] = []
        self._notices: list[Notice] = []

    def keep(self, measured: Sequence[Measurement]) -> list[dict[str, Any]]:
        """Their documents, with the names of their sample files. What cannot be stored is a notice, not an end."""
        from edgekit.core.errors import StoreError
        from edgekit.core.notice import Notice
        from edgekit.measure.measurement import to_document

        self._measured += measured
        documents = []
        for measurement in measured:
            try:
                documents.append(self._store.get(self._store.add_measurement(measurement)).document)
            except StoreError as error:  # what was measured must be seen even where it cannot be kept
                self._notices.append(Notice(code="not-stored", message=error.message, hint=error.hint or ""))
                documents.append(to_document(measurement))
        return documents

    def notices(self) -> tuple[Notice, ...]:
        """Everything that is to be known about what was kept, each once."""
        from edgekit.measure.notices import slower_than_float
        from edgekit.measure.side_by_side import runtime_notices
        from edgekit.verbs.selftest import all_flagged

        own = [notice for measurement in self._measured for notice in measurement.notices]
        said = (*slower_than_float(self._measured), *runtime_notices(self._measured))
        flags = all_flagged(list(dict.fromkeys(one.device for one in self._measured)), self._store)
        found = (*own, *flags, *said, *self._notices, *self._store.notices)
        return tuple(dict.fromkeys(found))


def keep(measured: Sequence[Measurement], store: Store, out: Output) -> list[dict[str, Any]]:
    """Stores measurements; their documents. Prints what the user should know."""
    keeper = Keeper(store)
    documents = keeper.keep(measured)
    out.notices(keeper.notices())
    return documents


def end_by_verdict(measured: Sequence[Measurement]) -> None:
    """Exit status 8 where a measurement must not be used as it is."""
    if any(measurement.verdict != "valid" for measurement in measured):
        exit_with(8)
