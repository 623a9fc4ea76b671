"""Which layers lose the accuracy in int8: each one alone in int8, and each one alone out of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from edgekit.core.events import Event, EventSink, ignore
from edgekit.optimize.selective.layers import Graph, Layer
from edgekit.optimize.selective.rows import Figures, SearchRows

_MOST_ROWS, _FEWEST_ROWS = 64, 8
_WORK = 3e12  # multiply-accumulates that the ranking may take: a minute or two

Build = Callable[[Collection[str]], bytes]
"""A quantized .tflite with the ops kept out of int8 whose first outputs have these names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """What int8 does to one layer.

    Attributes:
        name: of the layer.
        kinds: of its ops.
        macs_share: its part of the model's multiply-accumulates.
        alone: figures at the model's output with only this layer in int8 (and float inputs and outputs).
        spared: figures with every layer but this one in int8.
    """

    name: str
    kinds: tuple[str, ...]
    macs_share: float
    alone: Figures
    spared: Figures


def rank(
    graph: Graph, alone: Build, spared: Build, rows: SearchRows, on_event: EventSink = ignore
) -> tuple[Culprit, ...]:
    """All layers, the loudest first.

    A quantized layer has its inputs, its weights and its output in int8: an activation that int8 cannot hold shows up
    at the layer that makes it and at those that take it, which must all be kept for it to stay out of int8.

    Args:
        graph: of the float model.
        alone: builds with float inputs and outputs.
        spared: builds as the result will be.
        rows: to compare on; 64 of them, fewer for a large model.
        on_event: hears of every layer.
    """
    every = frozenset(tensor for layer in graph.layers for tensor in layer.tensors)
    most = int(_WORK // (2 * max(1, len(graph.layers)) * max(graph.macs, 1)))
    count = max(_FEWEST_ROWS, min(_MOST_ROWS, most))
    found = []
    for number, layer in enumerate(graph.layers):
        told = f"layer {number + 1} of {len(graph.layers)}"
        fraction = number / len(graph.layers)
        on_event(Event(state="progress", task="rank the layers", message=told, fraction=fraction))
        others = graph.with_moving(every - set(layer.tensors))
        found.append(
            Culprit(
                name=layer.name,
                kinds=layer.kinds,
                macs_share=share(layer, graph),
                alone=rows.figures(alone(others), count),
                spared=rows.figures(spared(graph.with_moving(layer.tensors)), count),
            )
        )
    return tuple(sorted(found, key=lambda culprit: -culprit.alone.noise))


def share(layer: Layer, graph: Graph) -> float:
    """A layer's part of the multiply-accumulates."""
    return layer.macs / graph.macs if graph.macs else 0.0
