"""Golden samples: a few real rows in the model's own dtypes, and what LiteRT on this machine computes for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.core.artifact import GoldenSample, TensorData
from edgekit.core.decode import from_json
from edgekit.data.spec import DataSpec
from edgekit.optimize.score import in_child

_LIMIT_S = 600.0


def golden_samples(model: Path | str, data: DataSpec, *, count: int = 3) -> tuple[GoldenSample, ...]:
    """Real samples for smoke tests and benchmarks, in the model's input order, with one thread's outputs.

    Args:
        model: a .tflite.
        data: evaluation rows; those taken are spread over them.
        count: how many.

    Raises:
        ModelError: the model cannot be run.
        DataError: the rows cannot be read or do not fit.
    """
    function = "edgekit.optimize.golden:make_golden"
    answer = in_child(function, model, time_limit_s=_LIMIT_S, data=data, count=count)
    return from_json(tuple[GoldenSample, ...], answer, source="golden samples")


def make_golden(model: str, data: Mapping[str, Any], count: int) -> tuple[GoldenSample, ...]:
    """Runs in the child, see :func:`golden_samples`."""
    import dataclasses

    import numpy

    from edgekit.core.errors import ModelError
    from edgekit.data.dataset import open_dataset
    from edgekit.optimize.elsewhere import evenly
    from edgekit.optimize.interpreter import BatchRefused, HostModel, quantized

    host = HostModel(model, num_threads=1)
    spec = from_json(DataSpec, data, source="the dataset")
    total = open_dataset(spec, inputs=host.inputs).count
    rows = tuple(evenly(spec, total, count))
    dataset = open_dataset(dataclasses.replace(spec, rows=rows), inputs=host.inputs)
    samples = []
    for row in dataset.rows():
        tensors = [quantized(numpy.stack([row.inputs[item.name]] * host.unit), item) for item in host.inputs]
        try:
            outputs = host.run(tensors)
        except BatchRefused as error:
            raise ModelError(f"{model} does not run on {dataset.place(row.index)}: {error}"[:500]) from error
        samples.append(
            GoldenSample(
                inputs=tuple(TensorData.of(host.as_made(tensor, place)) for place, tensor in enumerate(tensors)),
                outputs=tuple(TensorData.of(output) for output in outputs),
            )
        )
    return tuple(samples)
