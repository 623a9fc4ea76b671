"""What is in a ``.tflite``: ops, tensors, signatures, multiply-accumulates. Parsed in a child with limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from edgekit.core import decode
from edgekit.core.artifact import TensorSpec
from edgekit.core.child import ChildDied, run_once
from edgekit.core.errors import ModelError
from edgekit.model.format import detect_format

_TIME_LIMIT_S = 30.0
_MEMORY_LIMIT_BYTES = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor.

    Attributes:
        name: as the converter left it; often the layer's name.
        dtype: ``float32``, ``int8``, ``int4``, …
        shape: -1 where a dimension is free.
        constant: its values are in the file (weights).
        size_bytes: of those values; 0 for others.
        scales: how many quantization scales: 0 none, 1 per tensor, more per channel.
        scale: the first of them.
        zero_point: likewise.
        zeros: fraction of its values that mean 0; None for tensors without values and packed 2- and 4-bit ones.
        sparse: stored in the sparse encoding.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    constant: bool
    size_bytes: int
    scales: int
    scale: float | None
    zero_point: int | None
    zeros: float | None
    sparse: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One op.

    Attributes:
        index: position in its subgraph, in the order of execution.
        subgraph: 0 is the model; others are bodies of IF and WHILE.
        name: builtin name (``CONV_2D``), or a custom op's own.
        version: of the op.
        builtin: False for custom and Flex (select-TF) ops.
        inputs: positions in :attr:`TfliteModel.tensors`; -1 for an optional one that is not there.
        outputs: likewise.
        macs: multiply-accumulates for the shapes in the file; None where the op has none or it is not known.
    """

    index: int
    subgraph: int
    name: str
    version: int
    builtin: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A named way to call the model: input and output names → position in :attr:`TfliteModel.tensors`."""

    key: str
    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TfliteModel:
    """A ``.tflite``, read.

    Attributes:
        path: where it is.
        size_bytes: of the file.
        description: the converter's text.
        inputs: in the interpreter's order, with the signature's names where there is a signature.
        outputs: likewise.
        input_tensors: positions of the inputs in ``tensors``.
        output_tensors: likewise.
        signatures: those of the file.
        ops: of all subgraphs.
        tensors: of all subgraphs, one after the other.
        subgraphs: how many.
        min_runtime: what the converter wrote (TensorFlow's numbers), or None.
    """

    path: str
    size_bytes: int
    description: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_tensors: tuple[int, ...]
    output_tensors: tuple[int, ...]
    signatures: tuple[Signature, ...]
    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    subgraphs: int
    min_runtime: str | None

    @property
    def op_versions(self) -> dict[str, int]:
        """Builtin op name → highest version used."""
        found: dict[str, int] = {}
        for op in self.ops:
            if op.builtin:
                found[op.name] = max(op.version, found.get(op.name, 0))
        return dict(sorted(found.items()))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, of the ops where they are known; loops count once."""
        return sum(op.macs or 0 for op in self.ops)

    @property
    def parameters(self) -> int:
        """Values in weights and biases; not the shapes and axes that ops take as small integer tensors."""
        return sum(
            math.prod(map(abs, t.shape))
            for t in self.tensors
            if t.constant and t.shape and (t.scales or t.dtype not in ("int32", "int64"))
        )

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """Constant tensors of two dimensions or more: kernels and tables, not biases and shapes."""
        return tuple(t for t in self.tensors if t.constant and len(t.shape) >= 2 and t.dtype not in ("int32", "int64"))


def read_tflite(path: Path) -> TfliteModel:
    """Reads a ``.tflite`` in a child process with a time and a memory limit.

    Raises:
        ModelError: missing, truncated, damaged, or not a .tflite.
        DependencyError: ai-edge-litert is not installed.
    """
    path = Path(path)
    found = detect_format(path)
    if found.name != "tflite":
        raise ModelError(
            f"{path.name} is not a .tflite but a {found.name} model",
            hint=f"make one: edgekit convert {path} -o {path.stem}.tflite",
        )
    try:
        answer = run_once(
            "edgekit.model.flatbuffer:read",
            purpose=f"reading of {path.name}",
            time_limit_s=_TIME_LIMIT_S,
            memory_limit_bytes=_MEMORY_LIMIT_BYTES,
            path=str(path),
        )
    except ChildDied as error:
        raise ModelError(
            f"{path.name} is damaged: {error.message}",
            hint="copy or download the file again, and compare its SHA-256 with the original's",
        ) from error
    return decode.from_json(TfliteModel, answer, source=path.name, error=ModelError)
