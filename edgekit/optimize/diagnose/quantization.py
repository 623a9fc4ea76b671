"""Sensitivity to int8: what each layer alone adds of noise at the output, and what plain int8 loses altogether."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.events import EventSink, ignore, task
from edgekit.model.tflite import TfliteModel
from edgekit.optimize.diagnose.evidence import Int8Loss, QuantizationSensitivity
from edgekit.optimize.diagnose.owners import OwnedOp


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNoise:
    """What int8 does to some ops that follow one another.

    Attributes:
        tensors: names of their first outputs.
        snr_db: signal to noise at the model's output with only these in int8; None where there is no noise.
    """

    tensors: tuple[str, ...]
    snr_db: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Scan:
    """What came of a scan: the whole and its parts."""

    loss: Int8Loss
    layers: tuple[LayerNoise, ...]


def scan_int8(
    float_model: str,
    representative: Mapping[str, Any],
    search: Mapping[str, Any] | None = None,
    recurrent: Sequence[Mapping[str, str]] = (),
    on_event: EventSink = ignore,
) -> Int8Scan:
    """Quantizes a float .tflite again and again, with one layer in int8 each time. Runs in a child.

    Args:
        float_model: the file.
        representative: calibrates; a :class:`edgekit.data.spec.DataSpec` as JSON values.
        search: rows to compare on, likewise; None: the representative ones.
        recurrent: of the export, for error messages.
        on_event: hears of every layer.

    Raises:
        DataError: rows that would ruin the model.
        ModelError: one that the quantizer refuses.
    """
    from edgekit.optimize.selective.culprits import rank
    from edgekit.optimize.selective.engine import open_engine
    from edgekit.optimize.selective.layers import read_layers
    from edgekit.optimize.selective.rows import SearchRows

    work = open_engine(float_model, "int8-float-io", "float32", representative, recurrent=recurrent, on_event=on_event)
    graph = read_layers(work.content, work.source)
    rows = SearchRows(
        search or representative,
        Path(float_model).read_bytes(),
        metric="auto",
        apart_from=representative if search else None,
    )
    with task("quantize each layer alone", on_event):
        plain = rows.figures(work.build((), "float32"))
        ranked = rank(graph, work.build, lambda kept: work.build(kept, "float32"), rows, on_event)
    tensors = {layer.name: layer.tensors for layer in graph.layers}
    return Int8Scan(
        loss=Int8Loss(drop=plain.drop, unit=rows.unit, metric=rows.metric, rows=rows.count, snr_db=plain.snr_db),
        layers=tuple(LayerNoise(tensors=tensors[item.name], snr_db=item.alone.snr_db) for item in ranked),
    )


def by_layer(scan: Int8Scan, model: TfliteModel, owned: Sequence[OwnedOp]) -> tuple[QuantizationSensitivity, ...]:
    """The noise by layer of the network, the loudest first; of a layer with several groups of ops the loudest."""
    owner_of = {model.tensors[item.op.outputs[0]].name: item.owner for item in owned if item.op.outputs}
    found: dict[str, QuantizationSensitivity] = {}
    for noise in scan.layers:
        owner = next((owner_of[name] for name in noise.tensors if owner_of.get(name)), None)
        if owner is not None and owner not in found:
            found[owner] = QuantizationSensitivity(layer=owner, snr_db=noise.snr_db)
    return tuple(found.values())
