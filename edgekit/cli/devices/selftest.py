"""edgekit devices selftest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.devices.app import Name, app
from edgekit.cli.invocation import command, exit_with
from edgekit.cli.output import Output
from edgekit.cli.pairing import fraction
from edgekit.cli.reaching import one_thread_count

if TYPE_CHECKING:
    from edgekit.core.notice import Notice
    from edgekit.measure.selftest import SelfTest
    from edgekit.results.store import Store


@command(app, "devices selftest", example="edgekit devices selftest pi4")
def selftest(
    name: Name,
    *,
    model: Annotated[
        Path | None, typer.Option("--model", help="The .tflite to compare with itself (default: the shipped digits).")
    ] = None,
    num_threads: o.NumThreads = None,
    margin: Annotated[
        str, typer.Option("--margin", envvar="EDGEKIT_MARGIN", help="Differences below this do not matter.")
    ] = "2%",
    max_time: Annotated[float, typer.Option("--max-time", metavar="SECONDS", min=1, help="Stop after so long.")] = 300,
    runtime: o.Runtime = "auto",
    way: o.MeasuringBoardOptions,
    out: Output,
) -> None:
    """Compare a model with itself on a board. How often does it tell the two apart, and which change would it find?

    A board that fails is flagged until it passes; gates refuse it.
    """
    from edgekit.report.compared import selftest_table
    from edgekit.results.store import open_store
    from edgekit.verbs.selftest import selftest

    limit = fraction(margin, "--margin")
    store = open_store()
    reach = way.reach()
    reach.target(name)
    test = selftest(
        name,
        model=model,
        num_threads=one_thread_count(num_threads),
        margin=limit,
        max_time_s=max_time,
        runtime=runtime,
        reach=reach,
        on_event=out.on_event,
    )
    document, notices = _keep(test, store)
    out.notices(notices)
    out.answer(document, selftest_table(test))
    if test.verdict != "passed":
        exit_with(8)


def _keep(test: SelfTest, store: Store) -> tuple[dict[str, Any], tuple[Notice, ...]]:
    """Stores a self-test, and its processes as a measurement; its document, and what to tell."""
    from edgekit.core.errors import StoreError
    from edgekit.core.notice import Notice
    from edgekit.measure.selftest import to_selftest_document

    document = to_selftest_document(test)
    notices = list(test.measurement.notices)
    try:
        kept = store.get(store.add_measurement(test.measurement))
        document["measurement"] = {**kept.document, "id": kept.id}
        document["id"] = store.add(
            "selftest",
            document,
            device=test.device,
            model=test.measurement.model.name,
            model_sha256=test.measurement.model.sha256,
            verdict=test.verdict,
        )
    except StoreError as error:  # what was found must be seen even where it cannot be kept
        notices.append(Notice(code="not-stored", message=error.message, hint=error.hint or ""))
    return document, tuple(dict.fromkeys((*notices, *store.notices)))
