"""Scoring what runs elsewhere: rows go out as raw tensors in the model's own dtypes, raw outputs come back.

Both halves run in child processes, as everything does that touches rows or a model: the user's functions too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy

from edgekit.core.child import ChildDied, run_once
from edgekit.core.decode import from_json
from edgekit.core.errors import DataError
from edgekit.data.block import Array
from edgekit.data.spec import DataSpec
from edgekit.optimize.interpreter import HostModel
from edgekit.optimize.score import Evaluation, check_metric, in_child

_LIMIT_S = 6 * 3600.0
_THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """Rows as raw tensors, one sample (what one call of the model takes) after the other.

    Attributes:
        folder: where everything is: ``inputs.raw``, per sample its tensors in the model's input order;
            ``outputs.raw``, to be filled with the outputs that come back, in the same way; what this machine computed.
        samples: how many.
        input_bytes: of each tensor of a sample.
        output_bytes: likewise, of its outputs; ``output_shapes`` what shape they have.
        here: how the model did on these rows on this machine.
    """

    folder: Path
    samples: int
    input_bytes: tuple[int, ...]
    output_bytes: tuple[int, ...]
    output_shapes: tuple[tuple[int, ...], ...]
    here: Evaluation

    @property
    def inputs(self) -> Path:
        """The rows."""
        return self.folder / "inputs.raw"

    @property
    def outputs(self) -> Path:
        """What came back."""
        return self.folder / "outputs.raw"


def spread(data: DataSpec, limit: int) -> tuple[DataSpec, int]:
    """At most ``limit`` rows of a dataset, evenly spread over it; and how many it has.

    Raises:
        DataError: it cannot be read, or the user's function that makes it ended the process.
    """
    function = "edgekit.optimize.elsewhere:spread_here"
    try:
        answer = run_once(function, purpose="reading of the data", time_limit_s=_LIMIT_S, data=data, limit=limit)
    except ChildDied as died:
        raise DataError(f"{data.source}: {died.message}", hint=died.hint) from died
    rows = answer["rows"]
    return data if rows is None else dataclasses.replace(data, rows=tuple(rows)), answer["count"]


def send_rows(model: Path, data: DataSpec, folder: Path, *, metric: str = "auto") -> Outgoing:
    """Runs every row on this machine and keeps what went in, quantized as the model takes it.

    Args:
        model: a .tflite.
        data: the rows.
        folder: for the files; they are left to the caller.
        metric: see :func:`edgekit.optimize.score.score_tflite`.

    Raises:
        EdgekitError: see :func:`edgekit.optimize.score.score_tflite`.
    """
    check_metric(metric)
    function = "edgekit.optimize.elsewhere:send_here"
    answer = in_child(function, model, time_limit_s=_LIMIT_S, data=data, folder=folder, metric=metric)
    return from_json(Outgoing, answer, source="rows")


def score_outputs(model: Path, data: DataSpec, sent: Outgoing, *, metric: str = "auto") -> Evaluation:
    """Scores the outputs that came back for the rows of :func:`send_rows`; agreement is with this machine's outputs.

    Raises:
        ModelError: the outputs hold NaN.
        EdgekitError: see :func:`edgekit.optimize.score.score_tflite`.
    """
    function = "edgekit.optimize.elsewhere:score_here"
    answer = in_child(function, model, time_limit_s=_LIMIT_S, data=data, sent=sent, metric=metric)
    return from_json(Evaluation, answer, source="the score")


# ---------------------------------------------------------------------------------------- inside the child


def spread_here(data: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """See :func:`spread`; rows None: all."""
    from edgekit.data.dataset import open_dataset

    spec = from_json(DataSpec, data, source="the dataset")
    count = open_dataset(spec).count
    return {"rows": None if count <= limit else evenly(spec, count, limit), "count": count}


def evenly(spec: DataSpec, count: int, limit: int) -> list[int]:
    """At most ``limit`` of the ``count`` rows of a dataset, its first and its last one among them, in its order."""
    places = sorted({int(place) for place in numpy.linspace(0, count - 1, min(limit, count))})
    return places if spec.rows is None else [sorted(set(spec.rows))[place] for place in places]


class _Recorded(HostModel):
    """Keeps what goes into every call."""

    def __init__(self, path: str, stream: IO[bytes]) -> None:
        super().__init__(path, num_threads=_THREADS)
        self.samples = 0
        self.last: tuple[list[Array], list[Array]] = ([], [])
        self._stream = stream

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        outputs = super().run(inputs)
        tensors = [self.as_made(array, place) for place, array in enumerate(inputs)]
        for tensor in tensors:
            self._stream.write(tensor.tobytes())
        self.samples += 1
        self.last = tensors, outputs
        return outputs


class _Returned(HostModel):
    """Gives the outputs that were computed elsewhere, one call after the other."""

    def __init__(self, path: str, sent: Outgoing, stream: IO[bytes]) -> None:
        super().__init__(path, num_threads=1)
        self._sent = sent
        self._stream = stream

    def run(self, inputs: Sequence[Array]) -> list[Array]:  # noqa: ARG002 - as they were sent
        return [
            numpy.frombuffer(self._stream.read(size), spec.dtype).reshape(shape)
            for spec, size, shape in zip(self.outputs, self._sent.output_bytes, self._sent.output_shapes)
        ]


def send_here(model: str, data: Mapping[str, Any], folder: str, metric: str) -> Outgoing:
    """See :func:`send_rows`."""
    from edgekit.optimize.scoring import score_rows

    with (Path(folder) / "inputs.raw").open("wb") as stream:
        host = _Recorded(model, stream)
        here = score_rows(host, data, metric, batch=host.unit, outputs=_outputs_here(Path(folder)))
    inputs, outputs = host.last
    return Outgoing(
        folder=Path(folder),
        samples=host.samples,
        input_bytes=tuple(tensor.nbytes for tensor in inputs),
        output_bytes=tuple(tensor.nbytes for tensor in outputs),
        output_shapes=tuple(tensor.shape for tensor in outputs),
        here=here,
    )


def score_here(model: str, data: Mapping[str, Any], sent: Mapping[str, Any], metric: str) -> Evaluation:
    """See :func:`score_outputs`."""
    from edgekit.optimize.scoring import score_rows

    rows = from_json(Outgoing, sent, source="rows")
    with rows.outputs.open("rb") as stream:
        host = _Returned(model, rows, stream)
        return score_rows(host, data, metric, batch=host.unit, reference_outputs=_outputs_here(rows.folder))


def _outputs_here(folder: Path) -> str:
    return str(folder / "here.npy")
