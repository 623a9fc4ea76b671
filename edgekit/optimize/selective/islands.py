"""What layers out of int8 cost: conversions at their edges, and the part of the work that is not done in int8."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.optimize import model_tree
from edgekit.optimize.selective.layers import Graph, op_macs


@dataclass(frozen=True, slots=True, kw_only=True)
class Islands:
    """The price of a mixed model.

    Attributes:
        conversions: QUANTIZE and DEQUANTIZE ops more than plain int8 has.
        macs_share: part of the multiply-accumulates outside of int8, as the file has them.
        bytes_more: size of the file beyond plain int8's.
    """

    conversions: int
    macs_share: float
    bytes_more: int


def count_islands(content: bytes, plain: bytes, graph: Graph) -> Islands:
    """Reads the price off both files.

    Args:
        content: the mixed .tflite.
        plain: the same in int8 throughout.
        graph: of the float model.
    """
    total = max(1, graph.macs)
    return Islands(
        conversions=max(0, _conversions(content) - _conversions(plain)),
        macs_share=max(0, _outside(content) - _outside(plain)) / total,
        bytes_more=len(content) - len(plain),
    )


def _conversions(content: bytes) -> int:
    model = model_tree.parse(content, "the model")
    names = [model_tree.op_name(model, op) for op in model.subgraphs[0].operators or ()]
    return names.count("QUANTIZE") + names.count("DEQUANTIZE")


def _outside(content: bytes) -> int:
    """Multiply-accumulates of ops whose output is not 8 bits wide."""
    model = model_tree.parse(content, "the model")
    graph = model.subgraphs[0]
    return sum(
        macs
        for position, macs in op_macs(content).items()
        if model_tree.dtype(graph.tensors[int(graph.operators[position].outputs[0])]) not in ("int8", "uint8")
    )
