"""A model on an open board, ready to run: pushed, with real input samples, as the job that every plan starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.core.artifact import Artifact
    from edgekit.core.notice import Notice
    from edgekit.device.run import PushedSamples
    from edgekit.measure.collect import Run
    from edgekit.measure.conditions import BoardLimits
    from edgekit.measure.measurement import MeasuredModel
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
    """

    run: Run
    job: Job
    model: MeasuredModel
    limits: BoardLimits
    notices: tuple[Notice, ...]


def push_model(board: Board, artifact: Artifact, *, at: str | None = None) -> PushedModel:
    """Brings a model and its input samples onto a board, where they are not there already.

    Args:
        board: open and locked.
        artifact: a .tflite, with or without its manifest.
        at: it lies there already.

    Raises:
        ModelError: the board's runtime cannot use this model.
        DeviceError: transfer failed, no space.
    """
    from edgekit.device.run import push_samples

    digest = _digest(artifact)
    path = at or board.device.workspace.push_file(artifact.path, f"models/{digest[:12]}/model.tflite").path
    samples = push_samples(board.device, artifact, runtime=board.runtime, model_path=path)
    return PushedModel(artifact=artifact, path=path, sha256=digest, samples=samples)


def make_ready(board: Board, pushed: PushedModel, *, num_threads: int) -> Ready:
    """The job of a pushed model with so many threads; nothing runs yet."""
    import dataclasses
    from functools import partial

    from edgekit.device.run import new_job, run_job

    return Ready(
        run=partial(run_job, board.device, board.runtime),
        job=new_job(
            board.runtime,
            model_path=pushed.path,
            model_sha256=pushed.sha256,
            samples=pushed.samples.paths,
            num_threads=num_threads,
            cpus=board.profile.cpus,
        ),
        model=_measured(pushed.artifact, pushed.sha256),
        limits=dataclasses.replace(board.limits, deterministic=not is_stateful(pushed.artifact)),
        notices=(*board.notices, *pushed.samples.notices),
    )


def is_stateful(artifact: Artifact) -> bool:
    """Whether a run leaves something for the next one, so that outputs depend on how many there were."""
    from edgekit.optimize.audit import audit_tflite

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
