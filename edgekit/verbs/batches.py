"""Rows through a board, batch after batch; what a finished batch gave is kept here until all of them are there."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edgekit.core.artifact import Artifact
    from edgekit.core.events import EventSink
    from edgekit.core.notice import Notice
    from edgekit.optimize.elsewhere import Outgoing
    from edgekit.runner.protocol import RuntimeUsed
    from edgekit.verbs.boards import Board

_FIRST, _MOST = 32, 256  # samples: an interrupted run loses little, a small model does not start for every few rows
_BATCH_BYTES = 16 << 20  # inputs and outputs together: what a small board has room for in memory and on disk
_START_S, _SAMPLE_S = 300.0, 30.0  # more than the slowest board needs for a start, and for a sample
_FORGOTTEN_S = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """All rows went through the board.

    Attributes:
        runtime: what ran the model there.
        batches: in how many pieces; ``resumed`` of them were there already from an interrupted run.
        notices: where the batches could not be kept.
    """

    runtime: RuntimeUsed
    batches: int
    resumed: int
    notices: tuple[Notice, ...]


def run_there(board: Board, artifact: Artifact, sent: Outgoing, *, stateful: bool, on_event: EventSink) -> Ran:
    """Fills ``sent.outputs``; each batch in one process on the board.

    A run that was interrupted (by a signal, a lost connection, anything) is gone on with where it stopped: a batch
    counts as done where model, rows, board, runtime and version are the same.

    Raises:
        DeviceError: see :func:`edgekit.device.run.run_job`; or the board's outputs have other sizes than ours.
    """
    import shutil

    from edgekit.core.events import Event
    from edgekit.core.hashing import sha256_file

    name = board.device.name
    digest = sha256_file(artifact.path)
    kept = _Kept(board, digest, stateful=stateful)
    batches = list(_batches(sent))
    done = resumed = 0
    used, path = None, None
    with sent.outputs.open("wb") as outputs, sent.inputs.open("rb") as inputs:
        for number, (start, count) in enumerate(batches):
            inputs.seek(start * sum(sent.input_bytes))
            content = inputs.read(count * sum(sent.input_bytes))
            found = kept.find(number, content, count * sum(sent.output_bytes))
            if found is None:
                if resumed and resumed == number:
                    text = f"goes on from an interrupted run: {resumed} of {len(batches)} batches are there already"
                    on_event(Event(state="note", task=f"run on {name}", message=text))
                if path is None:
                    path = board.device.workspace.push_file(artifact.path, f"models/{digest[:12]}/model.tflite").path
                found = _run_batch(board, sent, content, count, model=(path, digest), stateful=stateful)
                kept.keep(number, content, *found)
            else:
                resumed += 1
            used, raw = found
            outputs.write(raw)
            done += count
            text = f"{done} of {sent.samples} samples"
            fraction = done / sent.samples
            on_event(Event(state="progress", task=f"run on {name}", message=text, fraction=fraction))
    assert used is not None
    shutil.rmtree(kept.folder, ignore_errors=True)
    return Ran(runtime=used, batches=len(batches), resumed=resumed, notices=kept.notices)


class _Kept:
    """The outputs of finished batches on this machine, by content.

    Attributes:
        folder: of this model on this board with this runtime.
        notices: where nothing can be kept.
    """

    def __init__(self, board: Board, model_sha256: str, *, stateful: bool) -> None:
        import hashlib
        import json

        from edgekit.core.places import cache_dir

        target, runtime = board.device.target, board.runtime
        where = f"{target.ssh.hostname}:{target.ssh.port}" if target.ssh else target.serial or "local"
        threads = board.profile.num_threads
        key = [model_sha256, board.device.name, where, runtime.name, runtime.version, "delegate", threads, stateful]
        self.folder = cache_dir() / "evaluations" / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
        self.notices: tuple[Notice, ...] = ()
        _forget(self.folder.parent)

    def find(self, number: int, content: bytes, size: int) -> tuple[RuntimeUsed, bytes] | None:
        """What a batch gave; None where it has not run, or its file is not what it should be."""
        from edgekit.core.decode import from_json
        from edgekit.core.errors import EdgekitError
        from edgekit.runner.protocol import RuntimeUsed

        with suppress(OSError, ValueError, EdgekitError):
            header, _, raw = self._path(number, content).read_bytes().partition(b"\n")
            if len(raw) == size:
                return from_json(RuntimeUsed, _parsed(header), source="a kept batch"), raw
        return None

    def keep(self, number: int, content: bytes, used: RuntimeUsed, raw: bytes) -> None:
        """Writes what a batch gave; a full disk here is no reason to stop."""
        import json

        from edgekit.core import files
        from edgekit.core.decode import to_json
        from edgekit.core.errors import UsageError
        from edgekit.core.notice import Notice

        if self.notices:
            return
        try:
            files.write_bytes(self._path(number, content), json.dumps(to_json(used)).encode() + b"\n" + raw)
        except UsageError as error:
            message = f"an interrupted run could not go on later: {error.message}"
            self.notices = (Notice(code="batches-not-kept", message=message, hint=error.hint or ""),)

    def _path(self, number: int, content: bytes) -> Path:
        import hashlib

        return self.folder / f"{number:05d}-{hashlib.sha256(content).hexdigest()[:24]}.outputs"


def _parsed(header: bytes) -> object:
    import json

    return json.loads(header)


def _forget(folder: Path) -> None:
    """Removes what nobody went on with for a week."""
    import shutil
    import time

    with suppress(OSError):
        for each in folder.iterdir():
            if time.time() - each.stat().st_mtime > _FORGOTTEN_S:
                shutil.rmtree(each, ignore_errors=True)


def _batches(sent: Outgoing) -> Iterator[tuple[int, int]]:
    """First sample and number of samples of each batch: small ones first, the same in every run."""
    most = max(1, _BATCH_BYTES // max(1, sum(sent.input_bytes) + sum(sent.output_bytes)))
    start, wanted = 0, _FIRST
    while start < sent.samples:
        count = min(wanted, most, sent.samples - start)
        yield start, count
        start, wanted = start + count, min(2 * wanted, _MOST)


def _run_batch(
    board: Board, sent: Outgoing, content: bytes, count: int, *, model: tuple[str, str], stateful: bool
) -> tuple[RuntimeUsed, bytes]:
    """One process on the board: the runtime that it used, and all outputs, one sample after the other."""
    from edgekit.core.errors import DeviceError
    from edgekit.device.run import decoded, new_job, run_job

    with _pushed(board, content) as there:
        job = new_job(
            board.runtime,
            mode="smoke",
            model_path=model[0],
            model_sha256=model[1],
            samples=_places(there, sent.input_bytes, count),
            num_threads=board.profile.num_threads,
        )
        job = replace(job, rebuild=stateful)
        trial = run_job(board.device, board.runtime, job, _START_S + count * _SAMPLE_S)
    tensors = [decoded(text, board.device) for sample in trial.outputs for text in sample]
    if [len(raw) for raw in tensors] != list(sent.output_bytes) * count:
        raise DeviceError(
            f"{board.device.name}: the outputs for {count} samples have other sizes there than on this machine",
            hint="use the runtime that edgekit brings: --runtime litert",
        )
    return trial.runtime, b"".join(tensors)


@contextmanager
def _pushed(board: Board, content: bytes) -> Iterator[str]:
    """A content on the board for as long as the block takes; its path there."""
    import hashlib

    from edgekit.core.errors import DeviceError

    there = board.device.workspace.push_bytes(content, f"rows/{hashlib.sha256(content).hexdigest()[:24]}.raw").path
    try:
        yield there
    finally:
        with suppress(DeviceError):  # whatever went wrong before is what counts
            board.device.transport.run(["rm", "-f", "--", there], timeout_s=30)


def _places(there: str, sizes: Sequence[int], count: int) -> tuple[tuple[str, ...], ...]:
    """Where each tensor of each sample begins, as a job names it."""
    starts = [sum(sizes[:position]) for position in range(len(sizes))]
    return tuple(tuple(f"{there}@{sample * sum(sizes) + start}" for start in starts) for sample in range(count))
