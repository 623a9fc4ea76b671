"""deploy: a model onto a board, verified and smoke-tested there before it becomes the current one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from os import PathLike

    from edgekit.core.artifact import Artifact, Audit
    from edgekit.core.events import EventSink
    from edgekit.core.notice import Notice
    from edgekit.device.after_activate import Hook
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
        hook: the profile's ``after_activate``; None where it has none.
        benchmark: None where none was asked for.
        notices: what the user should know.
    """

    device: str
    emulated: bool
    artifact: Artifact
    release: Release
    uploaded_bytes: int
    smoke: SmokeResult
    hook: Hook | None
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

    A model that fails the smoke test is not activated. One that fails afterwards, in the profile's ``after_activate``
    or in the benchmark (it crashes, hangs, or gives wrong outputs; noise is no failure), is taken back: what was
    current is current again. Either way it stays on the board, marked as failed.

    Args:
        model: a .tflite file or an artifact.
        device: name of the board; ``local`` is this machine.
        name: of the release there; default: the file's name. Releases of different names do not know each other.
        num_threads: of the interpreter; default: what the board's profile says.
        plan: of the benchmark; None: no benchmark.
        runtime, reach, on_event: see :func:`edgekit.benchmark`.

    Raises:
        UsageError: no release can have that name.
        ModelError: the board's runtime lacks an op version of the model, or cannot run it.
        DeviceError: not reachable, no space, damaged on the way, or the model does not work there; ``details`` of a
            deploy that was undone has ``deployment``.
    """
    from edgekit.core.events import task
    from edgekit.device import releases
    from edgekit.device.after_activate import after_activate
    from edgekit.device.run import push_samples
    from edgekit.device.smoke import notices, smoke_test
    from edgekit.measure.plan import make_plan
    from edgekit.verbs.attempt import Attempt
    from edgekit.verbs.benchmark import open_model
    from edgekit.verbs.boards import Reach, open_board
    from edgekit.verbs.measuring import measure_on
    from edgekit.verbs.ready import is_stateful
    from edgekit.verbs.runtimes import check_runtime

    artifact = open_model(model)
    releases.check_name(artifact.name if name is None else name)
    chosen = make_plan(plan) if isinstance(plan, str) else plan
    stateful = is_stateful(artifact)
    with open_board(device, reach or Reach(), check_runtime(runtime), on_event, stateful=stateful) as board:
        check_ops(artifact, board)
        workspace = board.device.workspace
        with task("push", on_event):
            release = releases.publish(workspace, artifact, name=name)
            attempt = Attempt(board=board, release=release, before=releases.state(workspace, release.name))
        with attempt.stage("smoke"), task("smoke-test on the board", on_event):
            samples = push_samples(board.device, artifact, runtime=board.runtime, model_path=release.model_path)
            smoke = smoke_test(board.device, board.runtime, release.model_path, artifact, samples=samples)
            attempt.smoke = smoke
            _check_smoke(smoke, release, device)
        release = releases.activate(workspace, release)
        attempt.active = True
        with attempt.stage("after_activate"):
            attempt.hook = after_activate(board.device, board.profile.after_activate)
        measured = None
        if chosen is not None:
            threads = num_threads or board.profile.num_threads
            with attempt.stage("benchmark"):
                measured = measure_on(board, [artifact], [threads], chosen, on_event, at=release.model_path)[0]
                attempt.check(measured)
        releases.prune(workspace, release.name, keep=board.profile.keep_releases)
        said = (*board.notices, *board.device.cache.notices, *samples.notices, *notices(smoke, artifact, board=device))
        return Deployment(
            device=device,
            emulated=board.limits.emulated,
            artifact=artifact,
            release=release,
            uploaded_bytes=board.runtime.uploaded_bytes + release.uploaded_bytes + samples.uploaded_bytes,
            smoke=smoke,
            hook=attempt.hook,
            benchmark=measured,
            notices=tuple(dict.fromkeys(said)),
        )


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
            f"{device}: {smoke.reason}",
            hint="`edgekit evaluate` with --device shows what the board computes",
            details={"smoke": to_json(smoke), "release": to_json(release)},
        )
