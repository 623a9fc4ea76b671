"""edgekit demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.cli import documents
from edgekit.cli import options as o
from edgekit.cli.benchmark import keep
from edgekit.cli.deploy import document_of
from edgekit.cli.invocation import command, exit_with, new_app
from edgekit.cli.made import audit_line
from edgekit.cli.output import Output
from edgekit.core.decode import to_json

if TYPE_CHECKING:
    from datetime import datetime

    from edgekit.results.store import Store

app = new_app("The whole path on the shipped example and this machine.")
FOLDER = Path("edgekit-demo")
#: what makes a measurement invalid through no fault of the demo, such as a busy machine: the table says so
_CIRCUMSTANCES = {
    "clock-changed",
    "foreign-load",
    "hot-start",
    "swapped-in",
    "thermal-status",
    "throttled",
    "too-few-iterations",
    "too-hot",
}


@command(app, "demo", example="edgekit demo")
def demo(*, quick: o.Quick = False, out: Output) -> None:
    """Prune, quantize, convert, audit, score, deploy, benchmark and report on a digits classifier on this machine.

    Writes two models and report.html into edgekit-demo in the current folder. Takes a minute or two.
    """
    from datetime import datetime, timezone

    from edgekit.report.terminal import Side, comparison_table
    from edgekit.results.store import open_store
    from edgekit.verbs.demo import demo as carry_out

    began = datetime.now(timezone.utc)
    store = open_store()  # a store that cannot be opened is found out before minutes of work
    done = carry_out(FOLDER, plan="quick" if quick else "standard", on_event=out.on_event)
    baseline, final = done.baseline.manifest, done.final.manifest
    assert baseline is not None
    assert final is not None
    assert final.score is not None
    for manifest in (baseline, final):
        store.add_optimization(to_json(manifest))
    kept = keep(done.measurements, store, out)
    path = _report(store, began)
    table = comparison_table(
        Side(
            label="float32",
            size_bytes=baseline.size_bytes,
            gzip_bytes=baseline.gzip_bytes,
            score=final.score.reference,
            measurement=done.measurements[0],
        ),
        Side(
            label="pruned int8",
            size_bytes=final.size_bytes,
            gzip_bytes=final.gzip_bytes,
            score=final.score.final,
            measurement=done.measurements[1],
        ),
        metric=final.score.metric,
        drop=final.score.drop,
    )
    document = {
        **documents.of_artifact(done.final),
        "deploy": document_of(done.deployment, None),
        "measurements": kept,
        "report": str(path),
    }
    out.answer(
        document,
        table,
        audit_line(final.audit, final.kind),
        f"smoke test on local: {done.deployment.smoke.reason}; release {done.deployment.release.id} is current",
        f"artifact: {done.final.path.absolute()}",
        f"report: {path.absolute()}",
        "next: `edgekit devices list`, then `edgekit deploy` in a folder like examples/digits with --device YOURBOARD",
    )
    wrong = {reason.code for one in done.measurements for reason in one.reasons if reason.weight == "invalid"}
    if wrong - _CIRCUMSTANCES:
        exit_with(8)


def _report(store: Store, since: datetime) -> Path:
    """The page about what the demo made and measured, beside its models."""
    from edgekit.core import files
    from edgekit.verbs.report import report

    path = FOLDER / "report.html"
    files.write_bytes(path, report(store, device="local", since=since).text.encode())
    return path
