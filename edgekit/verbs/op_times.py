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

LEAST_RUNS, LEAST_S, MOST_S = 50, 1.0, 30.0
TIME_LIMIT_S = 600.0


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
    from edgekit.device.run import profile_job
    from edgekit.measure.profile import op_times
    from edgekit.verbs.boards import open_board
    from edgekit.verbs.ready import is_stateful, make_ready, push_model

    artifact = open_artifact(model)
    with open_board(device, reach, "auto", on_event, stateful=is_stateful(artifact)) as board:
        ready = make_ready(board, push_model(board, artifact), num_threads=board.profile.num_threads)
        job = dataclasses.replace(ready.job, min_runs=LEAST_RUNS, min_s=LEAST_S, max_s=MOST_S)
        with task(f"take the time of each op on {device}", on_event):
            recorded = profile_job(board.device, board.runtime, job, TIME_LIMIT_S)
        return op_times(recorded, ops, emulated=board.limits.emulated), board.notices
