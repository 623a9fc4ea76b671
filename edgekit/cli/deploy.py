"""edgekit deploy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.benchmark import Keeper, end_by_verdict
from edgekit.cli.invocation import command, new_app
from edgekit.cli.output import Output
from edgekit.cli.plans import chosen_plan
from edgekit.cli.reaching import device_names, one_thread_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.core.artifact import Artifact
    from edgekit.core.errors import EdgekitError
    from edgekit.core.events import EventSink
    from edgekit.core.notice import Notice
    from edgekit.results.store import Store
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.deploy import Deployment
    from edgekit.verbs.fleet import BoardOutcome, Work

app = new_app("Push, verify, smoke-test, activate and benchmark on a board.")


@command(app, "deploy", example="edgekit deploy --device pi4")
def deploy(
    tflite: Annotated[
        Path | None, typer.Argument(metavar="[MODEL.tflite]", help="Default: what edgekit.toml makes.")
    ] = None,
    *,
    device: o.Devices = "local",
    name: Annotated[
        str | None, typer.Option("--name", envvar="EDGEKIT_NAME", help="Of the release (default: the file's).")
    ] = None,
    num_threads: o.NumThreads = None,
    quick: o.Quick = False,
    plan: o.Plan = "standard",
    max_time: o.MaxTime = None,
    no_benchmark: Annotated[bool, typer.Option("--no-benchmark", help="Stop after activating.")] = False,
    allow_float_fallback: o.AllowFloat = False,
    trust_model: o.TrustModel = False,
    custom: o.Custom = None,
    no_cache: o.NoCache = False,
    runtime: o.Runtime = "auto",
    way: o.MeasuringBoardOptions,
    out: Output,
) -> None:
    """Push a model to a board, verify and smoke-test it there, make it current, and benchmark it.

    Without MODEL.tflite: first optimizes what edgekit.toml in the current folder names. Several boards get it side by
    side; one that fails stops no other.
    """
    from edgekit.results.store import open_store
    from edgekit.verbs.benchmark import open_model
    from edgekit.verbs.deploy import deploy as carry_out
    from edgekit.verbs.fleet import check_boards

    chosen = chosen_plan(plan, quick=quick, max_time=max_time)
    store = open_store()  # a store that cannot be opened is found out before minutes of work
    threads = one_thread_count(num_threads)
    reach = way.reach()
    names = device_names(device)
    check_boards(names, reach)  # a misspelt name is found before minutes of optimizing
    making = {
        "allow_float_fallback": allow_float_fallback,
        "trust_model": trust_model,
        "custom": tuple(custom or ()),
        "use_cache": not no_cache,
    }
    made = None
    if tflite is None:
        made = _from_project(out, devices=names, num_threads=threads, reach=reach, **making)
    artifact = made or open_model(str(tflite))

    def work(board: str, reach: Reach, on_event: EventSink) -> Deployment:
        return carry_out(
            artifact,
            device=board,
            name=name,
            num_threads=threads,
            plan=None if no_benchmark else chosen,
            runtime=runtime,
            reach=reach,
            on_event=on_event,
        )

    keeper = _Keeper(store)
    if len(names) == 1:
        _one(names[0], work, made, reach, keeper, out)
    else:
        _several(names, work, made, reach, keeper, out)


def _from_project(
    out: Output, devices: Sequence[str], num_threads: int | None, reach: Reach, **options: Any
) -> Artifact:
    """The artifact that ``edgekit.toml`` and the environment describe."""
    from edgekit.cli.project import FILE_NAME, read_project, with_environment
    from edgekit.core.errors import UsageError
    from edgekit.verbs.optimize import optimize

    project = with_environment(read_project(Path.cwd()))
    if project.model is None:
        raise UsageError(
            f"no MODEL.tflite is named, and there is no {FILE_NAME} here that names a model",
            hint=f'edgekit deploy MODEL.tflite, or write {FILE_NAME}:  model = "model.keras"  data = "data.npz"',
        )
    if project.budget.needs_device and len(devices) > 1:
        raise UsageError(
            f"max_latency and max_memory are judged on one board, and {len(devices)} are named",
            hint=f"make the model on one of them: edgekit optimize --device {devices[0]}; then deploy it to all",
        )
    return optimize(
        project.model,
        data=project.data,
        representative=project.representative,
        evaluation=project.evaluation,
        training=project.training,
        scale=project.scale,
        mean=project.mean,
        std=project.std,
        preprocess=project.preprocess,
        recipe=project.recipe or "int8",
        output=project.output,
        metric=project.metric or "auto",
        **project.budget.arguments(),
        device=devices[0] if project.budget.needs_device else None,
        num_threads=num_threads,
        reach=reach,
        **options,
        on_event=out.on_event,
    )


def document_of(done: Deployment, benchmark: dict[str, Any] | None) -> dict[str, Any]:
    """The contract's fields of a deployment."""
    from edgekit.core.decode import to_json

    return {
        "device": done.device,
        "emulated": done.emulated,
        "release": {
            "id": done.release.id,
            "name": done.release.name,
            "path": done.release.path,
            "model_path": done.release.model_path,
            "stable_path": done.release.stable_path,
            "previous": done.release.previous,
        },
        "uploaded_bytes": done.uploaded_bytes,
        "sha256": done.release.sha256,
        "smoke": to_json(done.smoke),
        "after_activate": to_json(done.hook) if done.hook else None,
        "benchmark": benchmark,
        "warnings": to_json(done.notices),
    }


class _Keeper:
    """Stores deployments and their benchmarks as they come, and gathers what the user should know."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._measurements = Keeper(store)
        self._notices: list[Notice] = []

    def keep(self, done: Deployment) -> dict[str, Any]:
        """Its document."""
        measured = self._measurements.keep([done.benchmark]) if done.benchmark else []
        self._notices += done.notices
        document = document_of(done, measured[0] if measured else None)
        self._add(document, device=done.device, model=done.release.name, sha256=done.release.sha256)
        return document

    def keep_failed(self, device: str, error: EdgekitError) -> None:
        """What there is to be kept of a deploy that was undone."""
        document = error.details.get("deployment")
        if isinstance(document, dict):
            release = document["release"]
            self._add(document, device=device, model=release["name"], sha256=release["sha256"])

    def notices(self) -> tuple[Notice, ...]:
        """Everything that is to be known, each once."""
        return tuple(dict.fromkeys((*self._notices, *self._measurements.notices())))

    def _add(self, document: dict[str, Any], *, device: str, model: str, sha256: str) -> None:
        from edgekit.core.errors import StoreError
        from edgekit.core.notice import Notice

        try:
            self._store.add_deployment(document, device=device, model=model, model_sha256=sha256)
        except StoreError as error:  # what is on the board now must be seen even where it cannot be kept
            self._notices.append(Notice(code="not-stored", message=error.message, hint=error.hint or ""))


def _one(
    device: str, work: Work[Deployment], made: Artifact | None, reach: Reach, keeper: _Keeper, out: Output
) -> None:
    from edgekit.core import units
    from edgekit.core.errors import EdgekitError
    from edgekit.report import words
    from edgekit.report.side_by_side import benchmark_table
    from edgekit.report.terminal import facts_table

    try:
        done = work(device, reach, out.on_event)
    except EdgekitError as error:
        keeper.keep_failed(device, error)
        raise
    document = keeper.keep(done)
    out.notices(keeper.notices())
    document |= _of_making(made, out)
    rows: list[tuple[str, object]] = [
        ("release", f"{done.release.name} {done.release.id} on {words.device(document)}, current now"),
        ("model", done.release.model_path),
        ("application opens", done.release.stable_path),
        ("previous", done.release.previous or "none"),
        ("uploaded", units.size(done.uploaded_bytes) if done.uploaded_bytes else "nothing: all was there already"),
        ("smoke test", f"ok: {done.smoke.reason}"),
    ]
    if done.hook is not None:
        rows.append(("restarted by", f"{' '.join(done.hook.argv)}: ok"))
    measured = [done.benchmark] if done.benchmark else []
    out.answer(
        document, facts_table(rows), *_about_model(done.artifact), *([benchmark_table(measured)] if measured else [])
    )
    end_by_verdict(measured)


def _several(
    names: Sequence[str], work: Work[Deployment], made: Artifact | None, reach: Reach, keeper: _Keeper, out: Output
) -> None:
    from edgekit.cli.fleet import answer, side_by_side
    from edgekit.core import units
    from edgekit.report import words
    from edgekit.report.side_by_side import benchmark_table
    from edgekit.report.terminal import rows_table

    documents: dict[str, dict[str, Any]] = {}

    def keep_now(outcome: BoardOutcome[Deployment]) -> None:
        if outcome.result is not None:
            documents[outcome.device] = keeper.keep(outcome.result)
        elif outcome.error is not None:
            keeper.keep_failed(outcome.device, outcome.error)

    outcomes = side_by_side(out, names, work, reach=reach, on_outcome=keep_now)
    out.notices(keeper.notices())
    done = [outcome.result for outcome in outcomes if outcome.result is not None]
    rows = [
        (
            words.device(documents[one.device]),
            f"{one.release.name} {one.release.id}",
            units.size(one.uploaded_bytes) if one.uploaded_bytes else "nothing",
            one.smoke.reason,
        )
        for one in done
    ]
    measured = [one.benchmark for one in done if one.benchmark]
    shown = [rows_table(("board", "current now", "uploaded", "smoke test"), rows, right=(2,))] if rows else []
    answer(
        out,
        outcomes,
        documents,
        *shown,
        *(_about_model(done[0].artifact) if done else ()),
        *([benchmark_table(measured)] if measured else []),
        more=_of_making(made, out),
    )
    end_by_verdict(measured)


def _of_making(made: Artifact | None, out: Output) -> dict[str, Any]:
    """What a deploy that made its model first says of that."""
    from edgekit.cli import documents

    if made is None or made.manifest is None:
        return {}
    out.notices(made.manifest.warnings)
    return {"optimize": documents.of_artifact(made)}


def _about_model(artifact: Artifact) -> tuple[str, ...]:
    from edgekit.cli.made import audit_line, score_lines

    manifest = artifact.manifest
    return (*score_lines(manifest.score), audit_line(manifest.audit, manifest.kind)) if manifest else ()
