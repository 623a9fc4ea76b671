"""Which convolutions of a ``.tflite`` XNNPACK runs with its sparse kernels: its own rules, read off the FlatBuffer.

XNNPACK switches a part of the graph to channel-first layout where that part begins with a 3×3 convolution of stride 2
on 3 channels, ends in a global average, holds only ops that have channel-first kernels, and has more than two thirds
of zeros in its 1×1 convolutions. Source: ``xnn_subgraph_rewrite_for_nchw`` in XNNPACK's ``src/subgraph.c``; Elsen et
al., "Fast Sparse ConvNets", 2019, arXiv:1911.09723.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edgekit.optimize import model_tree
from edgekit.optimize.sparse import tensors
from edgekit.optimize.sparse.padding import Window, explicit, offset_in, same

ENOUGH_ZEROS = 2 / 3
_UNARY = (
    "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LOGISTIC", "TANH", "HARD_SWISH", "ELU", "LEAKY_RELU", "ABS",
    "CEIL", "FLOOR", "NEG", "SQUARE",
)  # fmt: skip
_UNPACKING = ("DENSIFY", "DEQUANTIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseFit:
    """What XNNPACK makes of a file.

    Attributes:
        fits: the graph has the form, whatever its zeros.
        reasons: why not, each a sentence's end ("the op … is not …").
        kernels: tensors of the main subgraph that hold the kernels of the 1×1 convolutions.
        zeros: fraction of zeros in those.
        macs_share: fraction of the model's multiply-accumulates in those.
        encoded: how many of those are stored in the sparse encoding, without which XNNPACK does not look at them.
    """

    fits: bool
    reasons: tuple[str, ...]
    kernels: tuple[int, ...] = ()
    zeros: float = 0.0
    macs_share: float = 0.0
    encoded: int = 0

    @property
    def taken(self) -> bool:
        """Whether the sparse kernels run, on a processor and in a runtime that have them."""
        return self.fits and self.zeros > ENOUGH_ZEROS and self.encoded > 0


def examine(model: Any, *, mended: bool = False) -> SparseFit:
    """Applies the rules to the main subgraph.

    Args:
        model: a float32 or float16 ``ModelT``.
        mended: judge the model as :mod:`edgekit.optimize.sparse.form` would rewrite it.
    """
    return _Graph(model, mended=mended).fit()


class _Graph:
    def __init__(self, model: Any, *, mended: bool) -> None:
        self.model, self.graph, self.mended = model, model.subgraphs[0], mended
        self.ops = list(self.graph.operators)
        self.names = [model_tree.op_name(model, op) for op in self.ops]
        self.producer = {int(out): at for at, op in enumerate(self.ops) for out in op.outputs}
        self.consumers: dict[int, list[int]] = {}
        for at, op in enumerate(self.ops):
            for tensor in op.inputs:
                self.consumers.setdefault(int(tensor), []).append(at)
        self.flipped: tuple[bool, bool] = (False, False)

    def fit(self) -> SparseFit:
        ends = [at for at in range(len(self.ops)) if self._is_end(at)]
        if not ends:
            found = "average pooling over the whole map and then Flatten" if self._pooled_whole() else "no such op"
            return _refused(f"the part must end in a global average pooling (a MEAN over height and width): {found}")
        reasons: list[str] = []
        found_ops: set[int] = set()
        for end in ends:
            cluster, why = self._cluster(end)
            if why:
                reasons += why
            else:
                found_ops |= cluster
        reasons += [] if self.mended else self._bad_heads(ends, found_ops)
        kernels = [self._constant(int(self.ops[at].inputs[1])) for at in sorted(found_ops) if self._is_pointwise(at)]
        if reasons or not kernels:
            return _refused(*(dict.fromkeys(reasons) or ("it has no 1×1 convolution",)))
        return self._measured(kernels, found_ops)

    def _bad_heads(self, ends: list[int], inside: set[int]) -> list[str]:
        """1×1 convolutions behind the pooling: they count as dense there, and LiteRT 2.2 and later cannot load them."""
        return [
            f"{self._called(reader)} stands behind the pooling, where it must be a FULLY_CONNECTED"
            for end in ends
            for reader in self._readers(int(self.ops[end].outputs[0]))
            if self.names[reader] == "CONV_2D" and reader not in inside
        ]

    def _measured(self, kernels: list[int], cluster: set[int]) -> SparseFit:
        weights = zeros = encoded = 0
        for index in dict.fromkeys(kernels):
            tensor = self.graph.tensors[index]
            size = math.prod(int(n) for n in tensor.shape)
            weights += size
            zeros += size - _nonzero(self.model, tensor)
            encoded += tensor.sparsity is not None
        everything = sum(self._macs(at) for at in range(len(self.ops)))
        inside = sum(self._macs(at) for at in cluster if self._is_pointwise(at))
        return SparseFit(
            fits=True,
            reasons=(),
            kernels=tuple(dict.fromkeys(kernels)),
            zeros=zeros / weights,
            macs_share=inside / max(1, everything),
            encoded=encoded,
        )

    def _cluster(self, end: int) -> tuple[set[int], list[str]]:
        """The ops from the first convolution to ``end``, or the rules that they break."""
        inside, reasons, waiting, begun = {end}, [], [end], False
        while waiting:
            at = waiting.pop()
            for tensor in self._activations(at):
                if tensor not in self.producer:
                    reasons.append(
                        "it must begin with a 3×3 convolution of stride 2 on 3 channels, and the input of "
                        f"{self._called(at)} is the model's own"
                    )
                    continue
                before = self.producer[tensor]
                if before in inside:
                    continue
                if self._is_stem(before):
                    inside.add(before)
                    begun = True
                    continue
                why = self._misfit(before)
                if why:
                    reasons.append(why)
                    continue
                inside.add(before)
                waiting.append(before)
        if not reasons and not begun:
            reasons.append("it must begin with a 3×3 convolution of stride 2 on 3 channels")
        for at in inside - {end} if not reasons else ():
            for out in self.ops[at].outputs:
                reasons += [
                    f"the output of {self._called(at)} is also read by {self._called(consumer)}"
                    for consumer in self._readers(int(out))
                    if consumer not in inside and not self._is_end(consumer)
                ]
        return inside, reasons

    def _readers(self, tensor: int) -> list[int]:
        """The ops that read a tensor, through padding that is part of a convolution."""
        found: list[int] = []
        for at in self.consumers.get(tensor, ()):
            found += self._readers(int(self.ops[at].outputs[0])) if self.names[at] == "PAD" else [at]
        return found

    def _activations(self, at: int) -> list[int]:
        """The inputs that are no constants; in front of a convolution, of the padding that belongs to it."""
        found = [int(i) for i in self.ops[at].inputs if int(i) >= 0 and not self._is_constant(int(i))]
        if self.names[at] in ("CONV_2D", "DEPTHWISE_CONV_2D") and found and found[0] in self.producer:
            before = self.producer[found[0]]
            if self.names[before] == "PAD":
                return [int(self.ops[before].inputs[0])]
        return found

    def _is_end(self, at: int) -> bool:
        if self.names[at] == "DEPTH_TO_SPACE":
            return True
        if self.mended and self.names[at] == "AVERAGE_POOL_2D" and self._whole(at):
            return True
        if self.names[at] != "MEAN" or len(self._shape(int(self.ops[at].inputs[0]))) != 4:
            return False
        axes = self._values(int(self.ops[at].inputs[1]))
        return axes is not None and sorted(int(axis) % 4 for axis in axes) == [1, 2]

    def _pooled_whole(self) -> bool:
        return any(name == "AVERAGE_POOL_2D" and self._whole(at) for at, name in enumerate(self.names))

    def _whole(self, at: int) -> bool:
        return self._shape(int(self.ops[at].outputs[0]))[1:3] == (1, 1)

    def _is_pointwise(self, at: int) -> bool:
        return self.names[at] == "CONV_2D" and self._shape(int(self.ops[at].inputs[1]))[1:3] == (1, 1)

    def _is_stem(self, at: int) -> bool:
        if self.names[at] != "CONV_2D":
            return False
        _, height, width, channels = self._shape(int(self.ops[at].inputs[1]))
        wanted = (1, 3) if self.mended else (3,)
        if (height, width) != (3, 3) or channels not in wanted or self._strides(at) != (2, 2):
            return False
        if self._shape(self._activations(at)[0])[3] != channels or not self._undilated(at):
            return False
        if not self.mended:
            return self._fitting(at, (False, False), (3,)) is not None
        for flipped in ((False, False), (True, True), (False, True), (True, False)):
            if self._fitting(at, flipped, (3,)) is not None:
                self.flipped = flipped
                return True
        return False

    def _misfit(self, at: int) -> str:
        """The rule that an op inside the part breaks; empty where it keeps them all."""
        name, called = self.names[at], self._called(at)
        if name == "CONV_2D":
            return self._misfit_convolution(at, called)
        if name == "DEPTHWISE_CONV_2D":
            return self._misfit_depthwise(at, called)
        if name in ("ADD", "MUL"):
            shapes = [self._shape(int(i)) for i in self.ops[at].inputs]
            constant = [self._shape(int(i)) for i in self.ops[at].inputs if self._is_constant(int(i))]
            if any(len(shape) != 4 for shape in shapes) or any(sum(n != 1 for n in shape) > 1 for shape in constant):
                return f"{called} joins operands of other shapes than XNNPACK takes there"
            return ""
        if name in _UNARY or name in ("RESIZE_BILINEAR", "DEPTH_TO_SPACE") or self._is_end(at):
            return ""
        return f"{called} has no channel-first kernel"

    def _misfit_convolution(self, at: int, called: str) -> str:
        _, height, width, channels = self._shape(int(self.ops[at].inputs[1]))
        if (height, width) != (1, 1):
            stem = (height, width) == (3, 3) and self._strides(at) == (2, 2) and channels == 3
            if stem:
                return f"{called}, the first convolution, is padded unequally (SAME); it needs 1 zero on each side"
            return (
                f"{called} is a {height}×{width} convolution of stride {self._strides(at)[0]} on {channels} channels: "
                "only 1×1 convolutions may follow a first one of 3×3 with stride 2 on 3 channels"
            )
        if self._strides(at) != (1, 1):
            return f"{called} is a 1×1 convolution with stride {self._strides(at)[0]}"
        if self._shape(self._activations(at)[0])[3] != channels:
            return f"{called} is a convolution in groups"
        return ""

    def _misfit_depthwise(self, at: int, called: str) -> str:
        kernel = self._shape(int(self.ops[at].inputs[1]))[1:3]
        if kernel not in ((3, 3), (5, 5)) or not self._undilated(at):
            return f"{called} is a depthwise convolution of {kernel[0]}×{kernel[1]}, or dilated: it must be 3×3 or 5×5"
        if int(self.ops[at].builtinOptions.depthMultiplier) != 1:
            return f"{called} gives several channels for each of its input (depth multiplier)"
        if self._strides(at) not in ((1, 1), (2, 2)):
            return f"{called} has the strides {self._strides(at)}"
        if self.mended:
            fits = self._fitting(at, self.flipped, (kernel[0], 5)) is not None
        else:
            fits = self._fitting(at, (False, False), (kernel[0],)) is not None
        return "" if fits else f"{called} is padded unequally (SAME with stride 2, or by hand)"

    def _fitting(self, at: int, flipped: tuple[bool, bool], kernels: tuple[int, ...]) -> int | None:
        """The first of the kernel sizes with which equal padding reads the same values, along both axes."""
        for kernel in kernels:
            if all(
                offset_in(window, kernel, flipped=axis) is not None
                for window, axis in zip(self._windows(at), flipped, strict=True)
            ):
                return kernel
        return None

    def _windows(self, at: int) -> tuple[Window, Window]:
        op = self.ops[at]
        sizes = self._shape(self._activations(at)[0])[1:3]
        kernels = self._shape(int(op.inputs[1]))[1:3]
        pads = self._padding(at)
        found = []
        for size, kernel, stride, (before, after) in zip(sizes, kernels, self._strides(at), pads, strict=True):
            if self._is_same(at):
                window = same(size + before + after, kernel, stride)
                found.append(
                    Window(size=size, kernel=kernel, stride=stride, before=window.before + before, out=window.out)
                )
            else:
                found.append(explicit(size, kernel, stride, before, after))
        return found[0], found[1]

    def _padding(self, at: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of the PAD op in front: zeros before and after, of height and width."""
        source = self.producer.get(int(self.ops[at].inputs[0]))
        if source is None or self.names[source] != "PAD":
            return (0, 0), (0, 0)
        values = self._values(int(self.ops[source].inputs[1]))
        if values is None or values.shape != (4, 2):
            return (0, 0), (0, 0)
        return (int(values[1, 0]), int(values[1, 1])), (int(values[2, 0]), int(values[2, 1]))

    def _is_same(self, at: int) -> bool:
        return int(self.ops[at].builtinOptions.padding) == int(model_tree.schema().Padding.SAME)

    def _strides(self, at: int) -> tuple[int, int]:
        options = self.ops[at].builtinOptions
        return int(options.strideH), int(options.strideW)

    def _undilated(self, at: int) -> bool:
        options = self.ops[at].builtinOptions
        return int(options.dilationHFactor) == 1 and int(options.dilationWFactor) == 1

    def _shape(self, tensor: int) -> tuple[int, ...]:
        shape = self.graph.tensors[tensor].shape
        return () if shape is None else tuple(int(n) for n in shape)

    def _constant(self, tensor: int) -> int:
        """The tensor that holds the values, through DENSIFY and DEQUANTIZE."""
        while tensor in self.producer and self.names[self.producer[tensor]] in _UNPACKING:
            tensor = int(self.ops[self.producer[tensor]].inputs[0])
        return tensor

    def _is_constant(self, tensor: int) -> bool:
        data = self.model.buffers[self.graph.tensors[self._constant(tensor)].buffer].data
        return data is not None and len(data) > 0

    def _values(self, tensor: int) -> Any:
        return tensors.values(self.model, self.graph.tensors[self._constant(tensor)])

    def _macs(self, at: int) -> int:
        if self.names[at] not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            return 0
        kernel = self._shape(int(self.ops[at].inputs[1]))
        each = math.prod(kernel[1:3]) if self.names[at] == "DEPTHWISE_CONV_2D" else math.prod(kernel[1:])
        return math.prod(abs(n) for n in self._shape(int(self.ops[at].outputs[0]))) * each

    def _called(self, at: int) -> str:
        """``DEPTHWISE_CONV_2D block_1/depthwise``."""
        name = model_tree.text(self.graph.tensors[int(self.ops[at].outputs[0])].name).partition(";")[0]
        parts = [part for part in name.split("/") if part]
        return f"{self.names[at]} {'/'.join(parts[-2:])}"


def _refused(*reasons: str) -> SparseFit:
    return SparseFit(fits=False, reasons=reasons)


def _nonzero(model: Any, tensor: Any) -> int:
    import numpy

    values = tensors.values(model, tensor)
    return 0 if values is None else int(numpy.count_nonzero(values))
