"""The layers of a float .tflite: ops by the layer that they came from, and what a user may call them."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from edgekit.core.errors import UsageError
from edgekit.core.suggest import unknown
from edgekit.model import flatbuffer
from edgekit.optimize import model_tree

# ops that move values without computing: in int8 they cost no accuracy, and they follow the layers around them
MOVING = frozenset(
    (
        "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "PAD", "PADV2", "MIRROR_PAD", "MAX_POOL_2D", "SLICE",
        "STRIDED_SLICE", "GATHER", "GATHER_ND", "SPLIT", "SPLIT_V", "PACK", "UNPACK", "SPACE_TO_DEPTH",
        "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "REVERSE_V2", "TILE", "BROADCAST_TO",
        "RESIZE_NEAREST_NEIGHBOR",
    )
)  # fmt: skip
_WEIGHTED = re.compile(r"(convolution|depthwise|conv\w*|MatMul|BiasAdd|einsum|Tensordot)\w*", re.IGNORECASE)
# scopes that Keras opens inside of a layer
_INNER = ("batchnorm", "einsum", "Tensordot", "moments", "separable_conv2d")
_SECOND = re.compile(r"_\d+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Ops that follow one another and came from one layer.

    Attributes:
        name: the layer's path within the model; ``name (2)`` where it is used again.
        kinds: of its ops.
        tensors: names of their first outputs, which the quantizers know them by.
        macs: multiply-accumulates.
        aliases: what else a user may call it.
    """

    name: str
    kinds: tuple[str, ...]
    tensors: tuple[str, ...]
    macs: int
    aliases: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The layers of a model.

    Attributes:
        layers: in order, without ops that only move values.
        moving: name of the first output of each moving op → names of the computed tensors around it.
        macs: of all layers.
    """

    layers: tuple[Layer, ...]
    moving: dict[str, frozenset[str]]
    macs: int

    def with_moving(self, keep: Collection[str]) -> frozenset[str]:
        """The ops to keep, with the moving ops all of whose neighbours are kept: else they would need int8 there."""
        chosen = set(keep) | set(self.moving)
        while True:
            left = {name for name in chosen if not self.moving.get(name, frozenset()) <= chosen}
            if not left:
                return frozenset(chosen)
            chosen -= left


def read_layers(content: bytes, source: str) -> Graph:
    """The layers of the main subgraph.

    Args:
        content: of a float32 .tflite.
        source: its name, for messages.

    Raises:
        ModelError: damaged.
    """
    model = model_tree.parse(content, source)
    graph = model.subgraphs[0]
    macs = op_macs(content)
    outputs = dict(zip((int(index) for index in graph.outputs), model_tree.outputs(model), strict=True))
    texts = [model_tree.text(tensor.name) for tensor in graph.tensors]
    paths = _paths(model, texts)
    layers: list[Layer] = []
    for position, op in enumerate(graph.operators or ()):
        kind = model_tree.op_name(model, op)
        if kind in MOVING or not _computes(graph, op):
            continue
        tensor = int(op.outputs[0])
        path = outputs[tensor].name if tensor in outputs and not paths[texts[tensor]] else paths[texts[tensor]]
        layer = Layer(
            name=path or texts[tensor],
            kinds=(kind,),
            tensors=(texts[tensor],),
            macs=macs.get(position, 0),
            aliases=_aliases(texts[tensor], path, outputs[tensor].name if tensor in outputs else ""),
        )
        if layers and layers[-1].name == layer.name:
            layer = _joined(layers.pop(), layer)
        layers.append(layer)
    named = _numbered(layers)
    return Graph(layers=named, moving=_moving(model, texts), macs=sum(layer.macs for layer in named))


def layer_names(content: bytes, source: str) -> dict[str, str]:
    """Name of each op's first output → what its layer is called, for messages."""
    return {tensor: layer.name for layer in read_layers(content, source).layers for tensor in layer.tensors}


def find_layers(names: Sequence[str], graph: Graph) -> tuple[Layer, ...]:
    """The layers that a user named: by layer, by tensor, or by kind of op; ``*`` and ``?`` stand for anything.

    Raises:
        UsageError: a name that fits no layer; the nearest one is named.
    """
    found: dict[str, Layer] = {}
    for name in names:
        fitting = [
            layer
            for layer in graph.layers
            if name in layer.tensors or any(fnmatchcase(n, name) for n in (layer.name, *layer.aliases, *layer.kinds))
        ]
        if not fitting:
            message, hint = unknown("layer", name, [layer.name for layer in graph.layers])
            raise UsageError(message, hint=hint)
        found.update((layer.name, layer) for layer in fitting)
    return tuple(layer for layer in graph.layers if layer.name in found)


def _computes(graph: Any, op: Any) -> bool:
    """Whether it takes or gives float values that are not constants."""
    touched = [int(index) for index in (*op.inputs, *op.outputs) if int(index) >= 0]
    given = {int(index) for index in op.outputs}
    return bool(given) and any(model_tree.dtype(graph.tensors[index]) == "float32" for index in touched)


def _moving(model: Any, texts: list[str]) -> dict[str, frozenset[str]]:
    graph = model.subgraphs[0]
    made: dict[int, str] = {}
    used: dict[int, list[str]] = {}
    for op in graph.operators or ():
        if len(op.outputs):
            first = texts[int(op.outputs[0])]
            made.update((int(index), first) for index in op.outputs)
            for index in op.inputs:
                used.setdefault(int(index), []).append(first)
    found: dict[str, frozenset[str]] = {}
    for op in graph.operators or ():
        if model_tree.op_name(model, op) in MOVING and len(op.outputs):
            around = [made.get(int(op.inputs[_data_of(model, op)]), "")]
            around += [name for index in op.outputs for name in used.get(int(index), [])]
            found[texts[int(op.outputs[0])]] = frozenset(around)
    return found


def _data_of(model: Any, op: Any) -> int:
    return 1 if model_tree.op_name(model, op) == "SPLIT" else 0


def op_macs(content: bytes) -> dict[int, int]:
    """Position of each op of the main subgraph → its multiply-accumulates; 0 where they are not known."""
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        return {op.index: op.macs or 0 for op in flatbuffer.read(str(path)).ops if op.subgraph == 0}


def _paths(model: Any, texts: list[str]) -> dict[str, str]:
    """Tensor name → the path of its layer within the model; empty where the name has none."""
    graph = model.subgraphs[0]
    split = {texts[int(op.outputs[0])]: _scopes(texts[int(op.outputs[0])]) for op in graph.operators if len(op.outputs)}
    known = [scopes for scopes in split.values() if scopes]
    # the model's own name is in front of every layer's
    common = 1 if known and len({scopes[0] for scopes in known}) == 1 and all(len(s) > 1 for s in known) else 0
    # Keras traces a model twice on the way, and numbers every layer again the second time
    layers = {scopes[common] for scopes in known if len(scopes) > common}
    once = {_SECOND.sub("", layer) for layer in layers}
    again = len(once) == len(layers) and all(_SECOND.search(layer) for layer in layers)
    return {
        text: "/".join(_SECOND.sub("", part) if again else part for part in scopes[common:])
        for text, scopes in split.items()
    }


def _scopes(text: str) -> list[str]:
    """``model/block/conv/BiasAdd;model/bn/mul`` → ``[model, block, conv]``: of the op with weights, else the first."""
    parts = [part.split("/") for part in text.split(";") if part]
    parts = [part for part in parts if len(part) > 1] or parts
    chosen = next((part for part in parts if _WEIGHTED.fullmatch(part[-1])), parts[0] if parts else [])
    scopes = chosen[:-1]
    while scopes and scopes[-1] in _INNER:
        scopes = scopes[:-1]
    return scopes


def _aliases(text: str, path: str, output: str) -> frozenset[str]:
    parts = {scope for part in text.split(";") for scope in part.split("/")[1:-1]}
    parts |= {path, path.rsplit("/", 1)[-1], output}
    return frozenset(parts | {_SECOND.sub("", part) for part in parts}) - {""}


def _joined(one: Layer, other: Layer) -> Layer:
    return Layer(
        name=one.name,
        kinds=(*one.kinds, *other.kinds),
        tensors=(*one.tensors, *other.tensors),
        macs=one.macs + other.macs,
        aliases=one.aliases | other.aliases,
    )


def _numbered(layers: list[Layer]) -> tuple[Layer, ...]:
    seen: Counter[str] = Counter()
    found = []
    for layer in layers:
        seen[layer.name] += 1
        name = layer.name if seen[layer.name] == 1 else f"{layer.name} ({seen[layer.name]})"
        found.append(Layer(name=name, kinds=layer.kinds, tensors=layer.tensors, macs=layer.macs, aliases=layer.aliases))
    return tuple(found)
