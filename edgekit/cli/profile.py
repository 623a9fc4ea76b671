"""edgekit profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.output import Output
from edgekit.cli.reaching import one_device, one_thread_count

if TYPE_CHECKING:
    from edgekit.measure.profile_model import ModelProfile
    from edgekit.results.store import Store

app = new_app("Time per op on a board, and which ops the delegate took.")


@command(app, "profile", example="edgekit profile model.tflite --device pi4 --source model.keras --trace trace.json")
def profile(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite file.")],
    *,
    device: o.Device = "local",
    num_threads: o.NumThreads = None,
    top: Annotated[int, typer.Option("--top", min=1, help="So many ops in the table; --json has all.")] = 10,
    source: Annotated[
        Path | None, typer.Option("--source", help="The Keras model it was made from: for the names of layers.")
    ] = None,
    kernels: Annotated[
        str, typer.Option("--kernels", help="delegate, or builtin: the runtime's own kernels for all ops.")
    ] = "delegate",
    trace: Annotated[
        Path | None, typer.Option("--trace", help="Write a trace for ui.perfetto.dev or chrome://tracing (.json).")
    ] = None,
    folded: Annotated[
        Path | None, typer.Option("--folded", help="Write folded stacks for flame graphs (.txt, ns of one run).")
    ] = None,
    runtime: o.Runtime = "auto",
    trust_model: o.TrustModel = False,
    way: o.MeasuringBoardOptions,
    out: Output,
) -> None:
    """Show where the time of a run goes: ops, their layers, what the delegate took, and what would be worth a look.

    Runs in a process of its own: taking times costs some, so that these are no benchmark's.
    """
    from edgekit.core import files
    from edgekit.measure.profile_model import profile_document
    from edgekit.report.profile import profile_tables
    from edgekit.results.store import open_store
    from edgekit.verbs.profile import profile as take

    for path in (trace, folded):
        if path is not None:
            files.check_writable(path)
    store = open_store()
    out.notices(store.notices)
    found = take(
        model,
        device=one_device(device),
        num_threads=one_thread_count(num_threads),
        runtime=runtime,
        kernels=kernels,
        source=source,
        trust_model=trust_model,
        reach=way.reach(),
        on_event=out.on_event,
    )
    _write(found, trace, folded)
    document = profile_document(found)
    kept = _keep(found, store, out)
    written = {"trace": str(trace) if trace else None, "folded": str(folded) if folded else None}
    out.notices(found.notices)
    tables = profile_tables(found, top=top)
    lines = [
        f"{path}: {what}" for path, what in ((trace, "open it in ui.perfetto.dev"), (folded, "folded stacks")) if path
    ]
    out.answer({**document, "id": kept, "files": written}, *tables, *lines)


def _write(found: ModelProfile, trace: Path | None, folded: Path | None) -> None:
    import json

    from edgekit.core import files
    from edgekit.report.trace import chrome_trace, folded_stacks

    if trace is not None:
        files.write_bytes(trace, json.dumps(chrome_trace(found), allow_nan=False).encode())
    if folded is not None:
        files.write_bytes(folded, folded_stacks(found).encode())


def _keep(found: ModelProfile, store: Store, out: Output) -> str | None:
    """Its id in the store; what cannot be kept is shown all the same."""
    from edgekit.core.errors import StoreError
    from edgekit.core.notice import Notice
    from edgekit.measure.profile_model import profile_document

    try:
        return store.add(
            "profile", profile_document(found), device=found.device, model=found.model, model_sha256=found.sha256
        )
    except StoreError as error:
        out.notices([Notice(code="not-stored", message=error.message, hint=error.hint or "")])
        return None
