"""The time of each op of a .tflite on a board, taken by the runtime itself in a process that does nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.core.events import task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgekit.core.events import EventSink
    from edgekit.core.notice import Notice
    from edgekit.measure.profile import OpTimes
    from edgekit.verbs.boards import Reach

#: what a RuntimeMissingError has as ``code`` in its details where the board's runtime does not time ops
UNSUPPORTED = "profile-unsupported"

_LEAST_RUNS, _LEAST_S, _MOST_S = 50, 1.0, 30.0
_TIME_LIMIT_S = 600.0


def time_ops(
    model: Path, ops: Sequence[str], *, device: str, reach: Reach, on_event: EventSink
) -> tuple[OpTimes, tuple[Notice, ...]]:
    """The time of each op, and what the user should know about the board.

    The inputs are the artifact's own samples, or random ones: which ops take how long does not depend on them.

    Args:
        model: a .tflite.
        ops: names of the ops of its first subgraph, in order.
        device, reach: the board; see :func:`edgekit.benchmark`.
        on_event: hears of the progress.

    Raises:
        RuntimeMissingError: with the code ``UNSUPPORTED``: LiteRT before 2.1.3, or a Python module.
        DeviceError: the board cannot be used.
    """
    import dataclasses

    from edgekit.core.artifact import open_artifact
    from edgekit.core.hashing import sha256_file
    from edgekit.device.run import new_job, profile_job, push_samples
    from edgekit.measure.profile import op_times
    from edgekit.verbs.boards import open_board
    from edgekit.verbs.ready import is_stateful

    artifact = open_artifact(model)
    digest = sha256_file(model)
    with open_board(device, reach, "auto", on_event, stateful=is_stateful(artifact)) as board:
        there = board.device.workspace.push_file(model, f"models/{digest[:12]}/model.tflite").path
        samples = push_samples(board.device, artifact, runtime=board.runtime, model_path=there)
        job = new_job(
            board.runtime,
            mode="profile",
            model_path=there,
            model_sha256=digest,
            samples=samples.paths,
            num_threads=board.profile.num_threads,
            cpus=board.profile.cpus,
        )
        job = dataclasses.replace(job, min_runs=_LEAST_RUNS, min_s=_LEAST_S, max_s=_MOST_S)
        with task(f"take the time of each op on {device}", on_event):
            recorded = profile_job(board.device, board.runtime, job, _TIME_LIMIT_S)
        return op_times(recorded, ops, emulated=board.limits.emulated), board.notices
