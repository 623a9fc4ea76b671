"""edgekit benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, exit_with, new_app
from edgekit.cli.output import Output
from edgekit.cli.reaching import device_names, thread_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.measure.measurement import Measurement
    from edgekit.results.store import Store

app = new_app("Latency and memory of models on boards.")


@command(app, "benchmark", example="edgekit benchmark model.tflite other.tflite --device local,pi4 --num-threads 1,2")
def benchmark(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="One or more .tflite files.")],
    *,
    device: o.Device = "local",
    num_threads: o.NumThreads = None,
    quick: o.Quick = False,
    num_runs: o.NumRuns = None,
    warmup_runs: o.WarmupRuns = None,
    runtime: o.Runtime = "auto",
    way: o.BoardOptions,
    out: Output,
) -> None:
    """Measure latency and memory: fresh processes, real inputs, a verdict."""
    from edgekit.measure.plan import make_plan
    from edgekit.report.terminal import benchmark_table
    from edgekit.results.store import open_store
    from edgekit.verbs.benchmark import benchmark as measure

    store = open_store()  # a store that cannot be opened is found out before minutes of work
    measured = measure(
        models,
        device=device_names(device),
        num_threads=thread_counts(num_threads),
        plan=make_plan("quick" if quick else "standard", num_runs=num_runs, warmup_runs=warmup_runs),
        runtime=runtime,
        reach=way.reach(),
        on_event=out.on_event,
    )
    kept = keep(measured, store, out)
    # with one measurement its fields stand at the top, where scripts look for them
    document: dict[str, Any] = {**(kept[0] if len(kept) == 1 else {}), "measurements": kept}
    out.answer(document, benchmark_table(measured))
    end_by_verdict(measured)


def keep(measured: Sequence[Measurement], store: Store, out: Output) -> list[dict[str, Any]]:
    """Stores measurements; their documents, with the names of their sample files. Prints what the user should know."""
    from edgekit.core.errors import StoreError
    from edgekit.core.notice import Notice
    from edgekit.measure.measurement import to_document
    from edgekit.measure.notices import slower_than_float

    notices = [notice for measurement in measured for notice in measurement.notices]
    notices += slower_than_float(measured)
    documents = []
    try:
        documents = [store.get(store.add_measurement(measurement)).document for measurement in measured]
        notices += store.notices
    except StoreError as error:  # what was measured must be seen even where it cannot be kept
        notices.append(Notice(code="not-stored", message=error.message, hint=error.hint or ""))
        documents = [to_document(measurement) for measurement in measured]
    out.notices(tuple(dict.fromkeys(notices)))
    return documents


def end_by_verdict(measured: Sequence[Measurement]) -> None:
    """Exit status 8 where a measurement must not be used as it is."""
    if any(measurement.verdict != "valid" for measurement in measured):
        exit_with(8)
