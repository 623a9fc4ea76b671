"""A model on an open board, ready to run: pushed, with real input samples, as the job that every plan starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from edgekit.core.artifact import Artifact
    from edgekit.core.events import EventSink
    from edgekit.core.notice import Notice
    from edgekit.device.facts import Facts
    from edgekit.device.profile import Sensors
    from edgekit.device.run import PushedSamples
    from edgekit.measure.conditions import BoardLimits
    from edgekit.measure.measurement import MeasuredModel, Measurement, System
    from edgekit.measure.samples import Samples
    from edgekit.measure.turn import Run
    from edgekit.runner.conditions import SensorSources
    from edgekit.runner.protocol import Job
    from edgekit.verbs.boards import Board

#: ops with tensors that outlive a run
_STATEFUL = {
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "LSTM",
    "RNN",
    "SVDF",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "VAR_HANDLE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedModel:
    """A model that lies on a board with its samples."""

    artifact: Artifact
    path: str
    sha256: str
    samples: PushedSamples


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What :func:`edgekit.measure.collect.collect_many` needs of one model with one thread count.

    Attributes:
        run: runs one job in a fresh process on the board.
        job: model, runtime, threads, cores and samples; a plan fills in the rest.
        model: for the measurement.
        limits: the board's, and whether this model's outputs must repeat.
        notices: what the user should know.
        starts_cold: its runner can drop cached pages before a start.
        device, system: where it is ready.
    """

    run: Run
    job: Job
    model: MeasuredModel
    limits: BoardLimits
    notices: tuple[Notice, ...]
    device: str
    system: System
    starts_cold: bool = False

    def measurement(self, samples: Samples, *, notices: tuple[Notice, ...] = ()) -> Measurement:
        """What samples of this model on this board say; ``notices``: what was found on the way."""
        from edgekit.measure.measurement import measurement_from

        return measurement_from(
            samples,
            device=self.device,
            model=self.model,
            limits=self.limits,
            notices=(*self.notices, *notices),
            system=self.system,
        )


def push_model(board: Board, artifact: Artifact, *, at: str | None = None) -> PushedModel:
    """Brings a model and its input samples onto a board, where they are not there already.

    Args:
        board: open and locked.
        artifact: a .tflite, with or without its manifest, or a .onnx.
        at: it lies there already.

    Raises:
        ModelError: the board's runtime cannot use this model.
        DeviceError: transfer failed, no space.
    """
    from edgekit.device.run import push_samples

    digest = _digest(artifact)
    ending = artifact.path.suffix.lower()
    path = at or board.device.workspace.push_file(artifact.path, f"models/{digest[:12]}/model{ending}").path
    samples = push_samples(board.device, artifact, runtime=board.runtime, model_path=path)
    return PushedModel(artifact=artifact, path=path, sha256=digest, samples=samples)


def check_outputs(
    board: Board,
    pushed: PushedModel,
    *,
    num_threads: int,
    kernels: Literal["delegate", "builtin"] = "delegate",
    on_event: EventSink = ignore,
) -> tuple[Notice, ...]:
    """Whether a model computes on the board what it must: else nobody needs to know how fast.

    Golden outputs decide. A .tflite without them is compared with LiteRT on this machine, on random inputs: a
    difference is told, and the model measured. There is nothing to compare a .onnx file's outputs with.

    Args:
        board: that it was pushed to.
        pushed: from :func:`push_model`.
        num_threads: of the interpreter.
        kernels: see :class:`~edgekit.runner.protocol.Job`.
        on_event: hears that it is done.

    Returns:
        What is right and not the same.

    Raises:
        DeviceError: the outputs are not those that the model was seen to give when it was made; or it does not run.
    """
    from edgekit.core.errors import DeviceError
    from edgekit.core.events import task
    from edgekit.core.notice import Notice
    from edgekit.device.smoke import notices, smoke_test

    artifact = pushed.artifact
    if artifact.path.suffix.lower() == ".onnx":
        return ()
    with task(f"check the outputs of {artifact.name}", on_event):
        smoke = smoke_test(
            board.device,
            board.runtime,
            pushed.path,
            artifact,
            samples=pushed.samples,
            num_threads=num_threads,
            kernels=kernels,
        )
    if smoke.ok:
        return notices(smoke, artifact, board=board.device.name)
    runtime = f"{board.runtime.name} {board.runtime.version}"
    message = f"{board.device.name}: {artifact.name}, computed by {runtime}: {smoke.reason}"
    if artifact.manifest is not None and artifact.manifest.golden:
        raise DeviceError(message, hint="nothing was measured; `edgekit evaluate` with --device shows what it computes")
    return (Notice(code="outputs-differ", message=message, hint="`edgekit evaluate` with --device shows the score"),)


def make_ready(
    board: Board,
    pushed: PushedModel,
    *,
    num_threads: int,
    kernels: Literal["delegate", "builtin"] = "delegate",
    weight_cache: bool = False,
) -> Ready:
    """The job of a pushed model with so many threads; nothing runs yet.

    Args:
        board: that it was pushed to.
        pushed: from :func:`push_model`.
        num_threads: of the interpreter.
        kernels: see :class:`~edgekit.runner.protocol.Job`.
        weight_cache: XNNPACK keeps its packed weights in a file beside the model: :func:`weight_cache_path`.

    Raises:
        DeviceError: the profile names a core that is not online.
    """
    import dataclasses
    from functools import partial

    from edgekit.device.delegation import Delegation
    from edgekit.device.run import new_job

    affinity = board.affinity(num_threads)
    return Ready(
        run=Delegation(board.device, board.runtime, partial(_count_ops, pushed.artifact)).run,
        job=new_job(
            board.runtime,
            model_path=pushed.path,
            model_sha256=pushed.sha256,
            samples=pushed.samples.paths,
            num_threads=num_threads,
            cpus=affinity.cpus,
            kernels=kernels,
            weight_cache=weight_cache_path(board, pushed) if weight_cache else "",
            sensors=_sources(board.profile.sensors),
        ),
        model=_measured(pushed.artifact, pushed.sha256),
        limits=dataclasses.replace(board.limits, deterministic=not is_stateful(pushed.artifact)),
        notices=(*board.notices, *board.device.cache.notices, *pushed.samples.notices, *affinity.notices),
        device=board.device.name,
        system=_system(board.facts),
        starts_cold=board.runtime.runner != "benchmark_model",
    )


def weight_cache_path(board: Board, pushed: PushedModel) -> str:
    """Where XNNPACK keeps the packed weights of a model there: they are good for one runtime and one processor only."""
    from hashlib import sha256

    facts = board.facts
    processor = "\n".join([facts.cpu_model or "", *sorted(facts.cpu_features), str(board.runtime.library_path)])
    name = f"xnnpack-{board.runtime.version}-{sha256(processor.encode()).hexdigest()[:12]}.cache"
    return board.device.workspace.path(f"models/{pushed.sha256[:12]}/{name}")


def _sources(sensors: Sensors) -> SensorSources:
    """A profile's sensors, as the runner takes them."""
    from edgekit.runner.conditions import SensorSource, SensorSources

    found = {
        name: SensorSource(argv=sensor.command, file=sensor.file, zone=sensor.zone, scale=sensor.scale)
        for name in ("temperature", "clock", "throttled")
        if (sensor := getattr(sensors, name)) is not None
    }
    return SensorSources(**found)


def _count_ops(artifact: Artifact) -> int | None:
    """Ops of the model itself, without the bodies of loops; None where the file does not let itself be read."""
    from edgekit.core.errors import EdgekitError
    from edgekit.model.tflite import read_tflite

    try:
        return sum(op.subgraph == 0 for op in read_tflite(artifact.path).ops)
    except EdgekitError:
        return None


def _system(facts: Facts) -> System:
    from edgekit.measure.measurement import System

    return System(
        board=facts.model,
        revision=facts.revision,
        os_name=facts.os_name,
        os_build=facts.os_build,
        kernel=facts.kernel,
        libc=" ".join(filter(None, (facts.libc, facts.libc_version))) or None,
        cpu=facts.cpu_model,
        memory_total_bytes=facts.memory_total_bytes,
    )


def is_stateful(artifact: Artifact) -> bool:
    """Whether a run leaves something for the next one, so that outputs depend on how many there were."""
    from edgekit.optimize.audit import audit_tflite

    if artifact.path.suffix.lower() == ".onnx":
        return False
    audit = artifact.manifest.audit if artifact.manifest else audit_tflite(artifact.path)
    return any(name in _STATEFUL for name in audit.op_versions)


def _digest(artifact: Artifact) -> str:
    from edgekit.core.hashing import sha256_file

    return artifact.manifest.sha256 if artifact.manifest else sha256_file(artifact.path)


def _measured(artifact: Artifact, digest: str) -> MeasuredModel:
    from edgekit.measure.measurement import MeasuredModel

    manifest = artifact.manifest
    return MeasuredModel(
        name=artifact.name,
        sha256=digest,
        kind=manifest.kind if manifest else None,
        size_bytes=artifact.path.stat().st_size,
        source_sha256=manifest.source_sha256 if manifest else None,
    )
