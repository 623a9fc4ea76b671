"""deploy and rollback: a model onto a board, verified and smoke-tested there before it becomes the current one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from os import PathLike

    from edgekit.core.artifact import Artifact, Audit
    from edgekit.core.events import EventSink
    from edgekit.core.notice import Notice
    from edgekit.device.releases import Release
    from edgekit.measure.measurement import Measurement
    from edgekit.measure.plan import Plan
    from edgekit.runner.compare import SmokeResult
    from edgekit.verbs.boards import Board, Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What a deploy did.

    Attributes:
        device: name of the board; ``emulated``: its processor is a program.
        artifact: what was deployed.
        release: where it is there; it is the current one.
        uploaded_bytes: of everything: runtime, payload, model, samples; 0 where all was there.
        smoke: what the board made of the golden samples.
        benchmark: None where none was asked for.
        notices: what the user should know.
    """

    device: str
    emulated: bool
    artifact: Artifact
    release: Release
    uploaded_bytes: int
    smoke: SmokeResult
    benchmark: Measurement | None
    notices: tuple[Notice, ...]


def deploy(
    model: str | PathLike[str] | Artifact,
    *,
    device: str = "local",
    name: str | None = None,
    num_threads: int | None = None,
    plan: str | Plan | None = "standard",
    runtime: str = "auto",
    reach: Reach | None = None,
    on_event: EventSink = ignore,
) -> Deployment:
    """Pushes a .tflite to a board, verifies and smoke-tests it there, activates it, and benchmarks it.

    A model that fails the smoke test is not activated: what was current stays current.

    Args:
        model: a .tflite file or an artifact.
        device: name of the board; ``local`` is this machine.
        name: of the release there; default: the file's name.
        num_threads: of the interpreter; default: what the board's profile says.
        plan: of the benchmark; None: no benchmark.
        runtime, reach, on_event: see :func:`edgekit.benchmark`.

    Raises:
        ModelError: the board's runtime lacks an op version of the model.
        DeviceError: not reachable, no space, damaged on the way, or the board computes something else.
    """
    from edgekit.core.events import task
    from edgekit.device import releases
    from edgekit.device.run import push_samples
    from edgekit.device.smoke import smoke_test
    from edgekit.measure.plan import make_plan
    from edgekit.verbs.benchmark import check_runtime, is_stateful, measure_on, open_model
    from edgekit.verbs.boards import Reach, open_board

    artifact = open_model(model)
    chosen = make_plan(plan) if isinstance(plan, str) else plan
    stateful = is_stateful(artifact)
    with open_board(device, reach or Reach(), check_runtime(runtime), on_event, stateful=stateful) as board:
        check_ops(artifact, board)
        workspace = board.device.workspace
        with task("push", on_event):
            release = releases.publish(workspace, artifact, name=name)
            samples = push_samples(board.device, artifact, runtime=board.runtime, model_path=release.model_path)
        with task("smoke-test on the board", on_event):
            smoke = smoke_test(board.device, board.runtime, release.model_path, artifact, samples=samples)
        _check_smoke(smoke, release, device)
        release = releases.activate(workspace, release)
        measured = None
        if chosen is not None:
            threads = num_threads or board.profile.num_threads
            measured = measure_on(board, [artifact], [threads], chosen, on_event, at=release.model_path)[0]
        return Deployment(
            device=device,
            emulated=board.limits.emulated,
            artifact=artifact,
            release=release,
            uploaded_bytes=board.runtime.uploaded_bytes + release.uploaded_bytes + samples.uploaded_bytes,
            smoke=smoke,
            benchmark=measured,
            notices=tuple(dict.fromkeys((*board.notices, *samples.notices))),
        )


def rollback(name: str | None = None, *, device: str, reach: Reach | None = None) -> Release:
    """Makes the previous release of a model the current one; a second call undoes the first.

    Args:
        name: of the release; None: the only one there is.
        device: name of the board.
        reach: see :func:`edgekit.benchmark`.

    Raises:
        DeviceError: there is no previous release; nothing was changed.
        UsageError: several models are deployed and none is named.
    """
    from edgekit.core.errors import DeviceError, UsageError
    from edgekit.device import releases
    from edgekit.device.connect import connect
    from edgekit.verbs.boards import Reach

    reach = reach or Reach()
    with connect(reach.target(device), ask=reach.ask) as board:
        if name is None:
            known = releases.names(board.workspace)
            if not known:
                raise DeviceError(f"{device}: nothing is deployed there", hint=f"edgekit deploy --device {device}")
            if len(known) > 1:
                raise UsageError(
                    f"{device} has several models: {', '.join(known)}", hint="name one: edgekit rollback --name NAME"
                )
            name = known[0]
        return releases.rollback(board.workspace, name)


def check_ops(artifact: Artifact, board: Board) -> None:
    """Whether the board's runtime has every op version of the model.

    Raises:
        ModelError: it lacks some; they are named.
    """
    from edgekit.core.errors import ModelError
    from edgekit.optimize.audit import audit_tflite

    lacking = lacking_ops(artifact.manifest.audit if artifact.manifest else audit_tflite(artifact.path), board)
    if lacking:
        raise ModelError(
            f"{board.runtime.name} {board.runtime.version} on {board.device.name} cannot run {artifact.path.name}: "
            f"{', '.join(lacking)}",
            hint="convert it for an older runtime (--mode int8), or let edgekit push its own: --runtime litert",
        )


def lacking_ops(audit: Audit, board: Board) -> tuple[str, ...]:
    """The op versions of a model that a board's runtime does not have."""
    from edgekit.optimize.audit import unsupported_ops

    return unsupported_ops(audit, board.runtime.version, runtime=board.runtime.name)


def _check_smoke(smoke: SmokeResult, release: Release, device: str) -> None:
    from edgekit.core.decode import to_json
    from edgekit.core.errors import DeviceError

    if not smoke.ok:
        raise DeviceError(
            f"{device}: the smoke test failed, {release.name} {release.id} was not activated: {smoke.reason}",
            hint="what was current there still is; see the outputs with --json",
            details={"smoke": to_json(smoke), "release": to_json(release)},
        )
