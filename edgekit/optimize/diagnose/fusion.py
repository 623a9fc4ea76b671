"""Layer fusion check: what the converter could fold away is folded, and what was left behind says so with its layer.

An op of its own reads and writes a whole feature map; folded into the convolution before it, it costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.model.description import LayerDescription
from edgekit.model.tflite import TfliteModel
from edgekit.optimize.diagnose.faults import Code, Fault, Graph, for_training
from edgekit.optimize.diagnose.owners import OwnedOp


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that was not folded away.

    Attributes:
        code: stable name for scripts.
        where: the layers, or the ops where no layer has them.
        ops: how many ops there are of it.
        message: what is there and what it costs.
        advice: what to do about it.
    """

    code: Code
    where: tuple[str, ...]
    ops: int
    message: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionCheck:
    """What became of the layers that need no op of their own.

    Attributes:
        batch_norms: folded BatchNormalization layers of all there are; None without a network to count them in.
        activations: likewise activations without an op of their own.
        training_only: names of layers for training alone, which are gone from the file.
        findings: what was not folded; none is what one hopes for.
    """

    batch_norms: tuple[int, int] | None
    activations: tuple[int, int] | None
    training_only: tuple[str, ...]
    findings: tuple[Finding, ...]


def check_fusion(model: TfliteModel, owned: Sequence[OwnedOp], layers: Sequence[LayerDescription] = ()) -> FusionCheck:
    """Looks at a converted .tflite for ops that could have been folded into others.

    Args:
        model: the .tflite.
        owned: its ops with their layers.
        layers: of the network that it was made from; empty: the ops alone are looked at.
    """
    graph = Graph(model, owned, {layer.name: layer.type for layer in layers})
    groups: dict[tuple[Code, str], list[Fault]] = {}
    for item in owned:
        for fault in graph.faults(item):
            groups.setdefault((fault.code, fault.message), []).append(fault)
    findings = tuple(
        Finding(
            code=code,
            where=tuple(dict.fromkeys(fault.place for fault in found)),
            ops=len(found),
            message=message,
            advice=found[0].advice,
        )
        for (code, message), found in groups.items()
    )
    return FusionCheck(
        batch_norms=_folded(layers, findings, ("BatchNormalization",), "batch-norm-left"),
        activations=_folded(layers, findings, ("ReLU", "Activation"), "activation-left"),
        training_only=tuple(layer.name for layer in layers if for_training(layer.type) and not graph.has_op(layer)),
        findings=findings,
    )


def _folded(
    layers: Sequence[LayerDescription], findings: Sequence[Finding], types: Sequence[str], code: Code
) -> tuple[int, int] | None:
    if not layers:
        return None
    names = [layer.name for layer in layers if layer.type in types and layer.activation not in ("linear", "softmax")]
    left = {place for finding in findings if finding.code == code for place in finding.where}
    return len([name for name in names if name not in left]), len(names)
