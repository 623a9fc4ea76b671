"""edgekit deploy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.benchmark import end_by_verdict, keep
from edgekit.cli.invocation import command, new_app
from edgekit.cli.output import Output
from edgekit.cli.reaching import one_thread_count

if TYPE_CHECKING:
    from edgekit.core.artifact import Artifact
    from edgekit.results.store import Store
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.deploy import Deployment

app = new_app("Push, verify, smoke-test, activate and benchmark on a board.")


@command(app, "deploy", example="edgekit deploy --device pi4")
def deploy(
    tflite: Annotated[
        Path | None, typer.Argument(metavar="[MODEL.tflite]", help="Default: what edgekit.toml makes.")
    ] = None,
    *,
    device: o.Device = "local",
    name: Annotated[
        str | None, typer.Option("--name", envvar="EDGEKIT_NAME", help="Of the release (default: the file's).")
    ] = None,
    num_threads: o.NumThreads = None,
    quick: o.Quick = False,
    no_benchmark: Annotated[bool, typer.Option("--no-benchmark", help="Stop after activating.")] = False,
    allow_float_fallback: o.AllowFloat = False,
    trust_model: o.TrustModel = False,
    custom: o.Custom = None,
    no_cache: o.NoCache = False,
    runtime: o.Runtime = "auto",
    way: o.BoardOptions,
    out: Output,
) -> None:
    """Push a model to a board, verify and smoke-test it there, make it current, and benchmark it.

    Without MODEL.tflite: first optimizes what edgekit.toml in the current folder names.
    """
    from edgekit.results.store import open_store
    from edgekit.verbs.deploy import deploy as carry_out

    store = open_store()  # a store that cannot be opened is found out before minutes of work
    threads = one_thread_count(num_threads)
    reach = way.reach()
    reach.target(device)  # a misspelt name is found before minutes of optimizing
    making = {
        "allow_float_fallback": allow_float_fallback,
        "trust_model": trust_model,
        "custom": tuple(custom or ()),
        "use_cache": not no_cache,
    }
    artifact = None
    if tflite is None:
        artifact = _from_project(out, device=device, num_threads=threads, reach=reach, **making)
    done = carry_out(
        artifact or str(tflite),
        device=device,
        name=name,
        num_threads=threads,
        plan=None if no_benchmark else "quick" if quick else "standard",
        runtime=runtime,
        reach=reach,
        on_event=out.on_event,
    )
    _show(done, artifact, store, out)


def _from_project(out: Output, device: str, num_threads: int | None, reach: Reach, **options: Any) -> Artifact:
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
        device=device if project.budget.needs_device else None,
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
            "previous": done.release.previous,
        },
        "uploaded_bytes": done.uploaded_bytes,
        "sha256": done.release.sha256,
        "smoke": to_json(done.smoke),
        "benchmark": benchmark,
        "warnings": to_json(done.notices),
    }


def _show(done: Deployment, optimized: Artifact | None, store: Store, out: Output) -> None:
    from edgekit.cli.made import audit_line, score_lines
    from edgekit.core import units
    from edgekit.core.errors import StoreError
    from edgekit.report import words
    from edgekit.report.terminal import benchmark_table, facts_table

    measured = [done.benchmark] if done.benchmark else []
    if not measured:
        out.notices(done.notices)  # else they are a measurement's too
    kept = keep(measured, store, out)
    document = document_of(done, kept[0] if kept else None)
    try:
        store.add_deployment(document, device=done.device, model=done.release.name, model_sha256=done.release.sha256)
    except StoreError as error:
        out.say(f"not stored: {error.message}")
    if optimized is not None and optimized.manifest is not None:
        from edgekit.cli import documents

        out.notices(optimized.manifest.warnings)
        document["optimize"] = documents.of_artifact(optimized)
    smoke = done.smoke
    rows: list[tuple[str, object]] = [
        ("release", f"{done.release.name} {done.release.id} on {words.device(document)}, current now"),
        ("model", done.release.model_path),
        ("previous", done.release.previous or "none"),
        ("uploaded", units.size(done.uploaded_bytes) if done.uploaded_bytes else "nothing: all was there already"),
        ("smoke test", f"ok: {smoke.reason}"),
    ]
    manifest = done.artifact.manifest
    lines = [*score_lines(manifest.score), audit_line(manifest.audit, manifest.kind)] if manifest else []
    out.answer(document, facts_table(rows), *lines, *([benchmark_table(measured)] if measured else []))
    end_by_verdict(measured)
