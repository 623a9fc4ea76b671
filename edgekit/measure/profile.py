"""From what the runtime recorded to the time of each op of the .tflite, as it stands in the file.

The runtime names its own ops by their position in the model, but the delegate's only by kernel and turn: XNNPACK runs
a 1×1 CONV_2D as a fully connected kernel, puts reshapes around others, and merges some. The two lists are aligned in
order, so that as many kernels as possible stand beside an op of their kind; a kernel without an op of its own belongs
to its neighbour, and an op without a kernel was merged into another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.core.errors import DeviceError
from edgekit.runner.protocol import Profile, ProfiledOp, RuntimeUsed

_NS_PER_US = 1000.0

#: what XNNPACK calls a kernel, to its first bracket → ops of the file that it runs for
_KERNELS: dict[str, tuple[str, ...]] = {
    "Abs": ("ABS",),
    "Add": ("ADD",),
    "ApproxGELU": ("GELU",),
    "ArgMax Pooling": ("MAX_POOL_2D",),
    "Average Pooling": ("AVERAGE_POOL_2D", "MEAN"),
    "Bankders Rounding": ("ROUND",),
    "Batch Matrix Multiply": ("BATCH_MATMUL",),
    "Ceiling": ("CEIL",),
    "Clamp": ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"),
    "Constant Pad": ("PAD", "PADV2"),
    "Convert": ("QUANTIZE", "DEQUANTIZE", "CAST"),
    "Convolution": ("CONV_2D",),
    "Copy": ("CONCATENATION", "RESHAPE", "SPLIT", "SLICE", "STRIDED_SLICE"),
    "Cosine": ("COS",),
    "Deconvolution": ("TRANSPOSE_CONV",),
    "Depth To Space": ("DEPTH_TO_SPACE",),
    "Divide": ("DIV",),
    "Dynamic Fully Connected": ("FULLY_CONNECTED", "BATCH_MATMUL"),
    "ELU": ("ELU",),
    "Exp": ("EXP",),
    "Floor": ("FLOOR",),
    "Fully Connected": ("FULLY_CONNECTED", "CONV_2D"),
    "GELU": ("GELU",),
    "HardSwish": ("HARD_SWISH",),
    "LeakyReLU": ("LEAKY_RELU",),
    "Log": ("LOG",),
    "Max Pooling": ("MAX_POOL_2D",),
    "Maximum": ("MAXIMUM",),
    "Mean": ("MEAN", "AVERAGE_POOL_2D"),
    "Minimum": ("MINIMUM",),
    "Multiply": ("MUL",),
    "Negate": ("NEG",),
    "PReLU": ("PRELU",),
    "Power": ("POW",),
    "Reciprocal Square Root": ("RSQRT",),
    "Reduce Max": ("REDUCE_MAX",),
    "Reduce Min": ("REDUCE_MIN",),
    "Resize Bilinear": ("RESIZE_BILINEAR",),
    "Sigmoid": ("LOGISTIC",),
    "Sine": ("SIN",),
    "Slice": ("SLICE", "STRIDED_SLICE", "SPLIT"),
    "Softmax": ("SOFTMAX",),
    "Space To Depth": ("SPACE_TO_DEPTH",),
    "Square": ("SQUARE",),
    "Square Root": ("SQRT",),
    "Squared Difference": ("SQUARED_DIFFERENCE",),
    "Static Expand Dims": ("EXPAND_DIMS",),
    "Static Reshape": ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
    "Subtract": ("SUB",),
    "Sum": ("SUM",),
    "TanH": ("TANH",),
    "Transpose": ("TRANSPOSE",),
}
_DEPTHWISE = ("DWConv", "VMulCAddC")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTime:
    """The time of one op of the file.

    Attributes:
        index: position in the file's first subgraph.
        name: ``CONV_2D``, …
        elapsed_ns: in one run; what its helper kernels took is in it.
        delegated: the delegate took it.
        kernels: what ran for it, in the runtime's words; empty where it was merged into another op.
    """

    index: int
    name: str
    elapsed_ns: float
    delegated: bool
    kernels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTimes:
    """Where the time of one run goes.

    The runtime counts whole microseconds and rounds down, so ops below about 5 µs are known only roughly.

    Attributes:
        ops: every op of the file, in its order.
        ops_ns: of all of them together.
        whole_ns: of a run with profiling on, which costs some µs a run; the rest of it lies between the ops.
        runs: how many runs count: the quicker half of them.
        runtime, num_threads: what it depends on.
        emulated: the board is: the times say nothing about a real one.
    """

    ops: tuple[OpTime, ...]
    ops_ns: float
    whole_ns: float
    runs: int
    runtime: RuntimeUsed
    num_threads: int
    emulated: bool


def op_times(profile: Profile, ops: Sequence[str], *, emulated: bool = False) -> OpTimes:
    """The time of each op of a model.

    The mean over the quicker half of the runs: in a slow one something else had the processor, and a median of whole
    microseconds would make 0 or 1 of everything small.

    Args:
        profile: what the board recorded.
        ops: names of the ops of the file's first subgraph, in order.
        emulated: of the board.

    Raises:
        DeviceError: the runtime recorded an op that the model does not have.
    """
    quick = _quicker_half(profile.whole_us)
    spent = [sum(op.elapsed_us[run] for run in quick) / len(quick) * _NS_PER_US for op in profile.ops]
    owners = owners_of(profile, ops)
    time, kernels = [0.0] * len(ops), [list[str]() for _ in ops]
    for recorded, owner, elapsed in zip(profile.ops, owners, spent):
        time[owner] += elapsed
        kernels[owner].append(recorded.tag)
    builtin = {op.node for op in profile.ops if not op.delegated}
    return OpTimes(
        ops=tuple(
            OpTime(
                index=index,
                name=name,
                elapsed_ns=time[index],
                delegated=index not in builtin,
                kernels=tuple(kernels[index]),
            )
            for index, name in enumerate(ops)
        ),
        ops_ns=sum(spent),
        whole_ns=sum(profile.whole_us[run] for run in quick) / len(quick) * _NS_PER_US,
        runs=len(quick),
        runtime=profile.runtime,
        num_threads=profile.num_threads,
        emulated=emulated,
    )


def owners_of(profile: Profile, ops: Sequence[str]) -> list[int]:
    """For each op that was recorded the position in the file of the op that it ran for.

    Raises:
        DeviceError: the runtime recorded an op that the model does not have.
    """
    return _owners(profile.ops, ops)


def _quicker_half(whole: Sequence[int]) -> list[int]:
    order = sorted(range(len(whole)), key=lambda run: whole[run])
    return order[: (len(order) + 1) // 2]


def _owners(recorded: Sequence[ProfiledOp], ops: Sequence[str]) -> list[int]:
    """For each recorded op the position of the op that it ran for."""
    builtin = [op for op in recorded if not op.delegated]
    if any(op.node >= len(ops) for op in builtin):
        raise DeviceError("the runtime recorded an op that the model does not have", hint="push the model again")
    own = {op.node for op in builtin}
    left = [index for index in range(len(ops)) if index not in own]
    kernels = [place for place, op in enumerate(recorded) if op.delegated]
    pairs = _aligned([_runs_for(recorded[place].tag) for place in kernels], [ops[index] for index in left])
    owner_of = {kernels[one]: left[other] for one, other in pairs.items()}
    owners: list[int] = []
    for place, op in enumerate(recorded):
        if not op.delegated:
            owners.append(op.node)
        elif place in owner_of:
            owners.append(owner_of[place])
        else:
            owners.append(_neighbour(place, recorded, owner_of, owners))
    return owners


def _neighbour(place: int, recorded: Sequence[ProfiledOp], owner_of: dict[int, int], owners: Sequence[int]) -> int:
    """Whom a helper kernel works for: the next op of the same delegated part, else the one before."""
    for later in range(place + 1, len(recorded)):
        if not recorded[later].delegated:
            break
        if later in owner_of:
            return owner_of[later]
    return owners[-1] if owners else 0


def _runs_for(tag: str) -> tuple[str, ...]:
    """``Convolution (NHWC, F32) IGEMM`` → the ops that this kernel may run for."""
    name = re.split(r" \(", tag, maxsplit=1)[0].strip()
    if name == "Convolution" and any(word in tag for word in _DEPTHWISE):
        return ("DEPTHWISE_CONV_2D",)
    return _KERNELS.get(name, ())


def _aligned(kernels: Sequence[Sequence[str]], ops: Sequence[str]) -> dict[int, int]:
    """Kernel → op, in order, as many pairs of one kind as possible (longest common subsequence)."""
    rows, columns = len(kernels), len(ops)
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows - 1, -1, -1):
        for column in range(columns - 1, -1, -1):
            pair = _worth(kernels[row], ops[column])
            with_pair = best[row + 1][column + 1] + pair if pair else 0
            best[row][column] = max(with_pair, best[row + 1][column], best[row][column + 1])
    pairs: dict[int, int] = {}
    row = column = 0
    while row < rows and column < columns:
        pair = _worth(kernels[row], ops[column])
        if pair and best[row][column] == best[row + 1][column + 1] + pair:
            pairs[row] = column
            row, column = row + 1, column + 1
        elif best[row][column] == best[row + 1][column]:
            row += 1
        else:
            column += 1
    return pairs


def _worth(kinds: Sequence[str], op: str) -> int:
    """The op that a kernel is named after counts for more than one that it can stand in for."""
    return (3 if kinds[0] == op else 2) if op in kinds else 0
