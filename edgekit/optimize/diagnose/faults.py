"""The rules of the layer fusion check: what is wrong with one op of a .tflite, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.model.description import LayerDescription
from edgekit.model.tflite import Op, TfliteModel
from edgekit.optimize.diagnose.layers import op_label
from edgekit.optimize.diagnose.owners import OwnedOp

Code = Literal[
    "batch-norm-left",
    "activation-left",
    "arithmetic-left",
    "pad-left",
    "transpose",
    "shape-arithmetic",
    "quantize-island",
    "training-layer-left",
    "loop",
    "not-builtin",
]

_CLAMPS = ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")
_ARITHMETIC = ("MUL", "ADD", "SUB", "DIV")
_OF_BATCH_NORM = (*_ARITHMETIC, "RSQRT", "SQRT", "NEG", "SQUARED_DIFFERENCE")
_FOLDING = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D")
_CURVES = ("ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "PRELU", "TANH")
_WORTH_NAMING = 1024  # numbers in a feature map: an op of its own on fewer costs nothing that can be seen
_CLAMPING = (*_FOLDING, "ADD", "MUL", "SUB", "DIV", "AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION")
_SHAPES = ("SHAPE", "PACK", "STRIDED_SLICE", "RANGE", "FILL", "REDUCE_PROD", "GATHER", "BROADCAST_TO")
_TRAINING = ("Dropout", "Noise", "Random", "ActivityRegularization")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One op that could have been folded away."""

    code: Code
    place: str
    message: str
    advice: str


class Graph:
    """The ops with who makes and who reads each tensor."""

    def __init__(self, model: TfliteModel, owned: Sequence[OwnedOp], types: Mapping[str, str]) -> None:
        self.model, self.types, self.owned = model, types, owned
        self.maker: dict[int, Op] = {}
        self.readers: dict[int, list[Op]] = {}
        for item in owned:
            self.maker.update((tensor, item.op) for tensor in item.op.outputs)
            for tensor in item.op.inputs:
                self.readers.setdefault(tensor, []).append(item.op)
        flowing = {
            model.tensors[i].dtype
            for item in owned
            for i in (*item.op.inputs, *item.op.outputs)
            if i >= 0 and not model.tensors[i].constant
        }
        self.integer = bool(flowing & {"int8", "uint8", "int16"})

    def has_op(self, layer: LayerDescription) -> bool:
        """Whether an op does this layer's work."""
        return any(item.owner == layer.name and item.certain for item in self.owned)

    def faults(self, item: OwnedOp) -> list[Fault]:
        """What is wrong with one op."""
        op = item.op
        place = item.owner if item.owner is not None else op_label(self.model, op)
        kind = self.types.get(item.owner or "", "")
        norm = next((name for name in item.layers if self.types.get(name) == "BatchNormalization"), None)
        found = []
        if for_training(kind):
            found.append(
                Fault(
                    code="training-layer-left",
                    place=place,
                    message=f"{kind} is for training, and is in the file",
                    advice="take it out: a recipe step `training-only`, or build the model without it",
                )
            )
        if norm is not None and op.name in _OF_BATCH_NORM:
            found.append(self._batch_norm(op, norm))
        elif op.name in _ARITHMETIC and self._has_constant(op):
            found += self._arithmetic(op, kind, place)
        elif op.name in _CLAMPS or op.name in _CURVES:
            found += self._activation(op, place)
        elif op.name in ("PAD", "PADV2", "MIRROR_PAD"):
            found += self._pad(op, place)
        elif op.name in ("DEQUANTIZE", "QUANTIZE"):
            found += self._island(op, place)
        else:
            found += self._structure(op, place)
        return found

    def _batch_norm(self, op: Op, norm: str) -> Fault:
        before = self._before(op)
        while before is not None and before.name in _OF_BATCH_NORM and self._has_constant(before):
            before = self._before(before)
        if before is None:
            why = "it comes before the first convolution"
        elif before.name not in _FOLDING:
            why = f"it follows {before.name}"
        elif any(len(self.readers.get(output, ())) > 1 for output in before.outputs):
            why = f"what {before.name} gives is read elsewhere too"
        else:
            why = f"there is an activation between {before.name} and it"
        return Fault(
            code="batch-norm-left",
            place=norm,
            message=f"BatchNormalization multiplies and adds in ops of its own: {why}",
            advice="put it directly behind a convolution, before the activation, and train again",
        )

    def _arithmetic(self, op: Op, kind: str, place: str) -> list[Fault]:
        before = self._before(op)
        if kind in ("Rescaling", "Normalization") or before is None:
            return [
                Fault(
                    code="arithmetic-left",
                    place=place,
                    message=f"{op.name} with a constant prepares the input in an op of its own",
                    advice="cheap in int8; else scale the samples before they reach the model",
                )
            ]
        if before.name not in _FOLDING or any(len(self.readers.get(output, ())) > 1 for output in before.outputs):
            return []
        return [
            Fault(
                code="arithmetic-left",
                place=place,
                message=f"{op.name} with a constant follows {before.name} and is not folded into it",
                advice="put what scales or shifts directly behind the convolution, before its activation",
            )
        ]

    def _activation(self, op: Op, place: str) -> list[Fault]:
        before = self._before(op)
        if before is None or self._elements(op) < _WORTH_NAMING:
            return []
        if op.name in _CURVES:
            if before.name not in _FOLDING:
                return []
            message = f"{op.name} is an op of its own: only ReLU and ReLU6 fold into {before.name}"
            advice = "where accuracy allows it, train with ReLU or ReLU6 instead"
        elif before.name not in _CLAMPING:
            message = f"{op.name} is an op of its own: {before.name} before it takes no activation"
            advice = "put the activation directly behind a convolution, a dense layer or an addition"
        else:
            message = f"{op.name} is an op of its own: what {before.name} before it gives is read elsewhere too"
            advice = "where the architecture allows it, let the other branch read what comes after the activation"
        return [Fault(code="activation-left", place=place, message=message, advice=advice)]

    def _pad(self, op: Op, place: str) -> list[Fault]:
        readers = [reader.name for output in op.outputs for reader in self.readers.get(output, ())]
        if not any(name in _FOLDING for name in readers):
            return []
        return [
            Fault(
                code="pad-left",
                place=place,
                message=f"{op.name} copies the feature map for a convolution that could pad itself",
                advice='padding="same" in the convolution; at stride 2 its window moves by a pixel, so train again '
                "(XNNPACK merges float padding by itself, and its sparse kernels want it so)",
            )
        ]

    def _structure(self, op: Op, place: str) -> list[Fault]:
        """Ops that should not be there at all."""
        fault: tuple[Code, str, str] | None = None
        if not op.builtin:
            fault = (
                "not-builtin",
                f"{op.name} is no builtin op: the board's runtime needs the Flex delegate, or a kernel of your own",
                "build the layer from ops that LiteRT has",
            )
        elif op.name in ("WHILE", "IF"):
            fault = (
                "loop",
                f"{op.name} runs a subgraph step by step, outside the delegate",
                "an LSTM of tf_keras becomes one fused op; `edgekit convert` takes that way for Keras 3 models too",
            )
        elif op.name == "TRANSPOSE" and self._elements(op) >= _WORTH_NAMING:
            fault = (
                "transpose",
                "TRANSPOSE turns a whole feature map: channels-first data, or Permute",
                'build the model for channels last (data_format="channels_last")',
            )
        elif op.name in _SHAPES and self._only_shapes(op):
            fault = (
                "shape-arithmetic",
                "shapes are computed at run time: the batch is open, and the delegate is left for it",
                "convert with a batch of 1, as `edgekit convert MODEL.keras` does",
            )
        return [] if fault is None else [Fault(code=fault[0], place=place, message=fault[1], advice=fault[2])]

    def _island(self, op: Op, place: str) -> list[Fault]:
        """Float ops between integer ones; at the borders of a model conversions are what was asked for."""
        source, target = op.inputs[0], op.outputs[0]
        tensors = self.model.tensors
        if not self.integer or tensors[source].constant:
            return []
        if op.name == "QUANTIZE" and (source not in self.maker or not tensors[source].dtype.startswith("float")):
            return []
        if op.name == "DEQUANTIZE" and target in self.model.output_tensors:
            return []
        others = self.readers.get(target, []) if op.name == "DEQUANTIZE" else [self.maker[source]]
        names = ", ".join(dict.fromkeys(reader.name for reader in others)) or "an op"
        return [
            Fault(
                code="quantize-island",
                place=place,
                message=f"{names} is computed in float between integer ops",
                advice="use a layer that LiteRT has an integer kernel for (ReLU for ELU, GELU or Softplus); if a "
                "recipe kept it in float, that was the price of its accuracy",
            )
        ]

    def _elements(self, op: Op) -> int:
        return max((math.prod(abs(n) for n in self.model.tensors[i].shape) for i in op.outputs if i >= 0), default=0)

    def _only_shapes(self, op: Op) -> bool:
        """Whether integers that are no data flow through it."""
        return all(self.model.tensors[i].dtype in ("int32", "int64") for i in op.outputs if i >= 0)

    def _before(self, op: Op) -> Op | None:
        """The op that makes the first input which is no constant."""
        flowing = [i for i in op.inputs if i >= 0 and not self.model.tensors[i].constant]
        return self.maker.get(flowing[0]) if flowing else None

    def _has_constant(self, op: Op) -> bool:
        """Whether it combines what flows with constants: a scale, a shift."""
        constant = [i for i in op.inputs if i >= 0 and self.model.tensors[i].constant]
        return len(constant) == 1 and len(op.inputs) == 2


def for_training(kind: str) -> bool:
    """Whether a layer of this class does something in training alone."""
    return any(word in kind for word in _TRAINING)
