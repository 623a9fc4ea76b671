"""Which runtime has which version of which op: the one table, and the questions asked of it.

Two number lines: TensorFlow Lite is numbered with TensorFlow and ends at 2.20; LiteRT (ai-edge-litert) begins again at
1.0. Sources: the lists of TensorFlow's and LiteRT's own ``runtime_version.cc``, and what the wheels of tflite-runtime
2.14.0 and ai-edge-litert 1.0.1, 1.2.0, 1.4.0, 2.1.0 and 2.3.0 really accept, found by offering them every op in every
version. Where the two disagree the wheels win.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

Version = tuple[int, ...]

# op → the TensorFlow version that brought op version 1, 2, 3, …; "-" where that op version was withdrawn
_SINCE = {
    "ABS": "1.13 2.4 2.5 2.6 2.12",
    "ADD": "1.5 1.14 2.4 2.6 2.13",
    "ADD_N": "1.14",
    "ARG_MAX": "1.9 1.14 2.9",
    "ARG_MIN": "1.9 1.14 2.9",
    "ASSIGN_VARIABLE": "2.6",
    "ATAN2": "2.10",
    "AVERAGE_POOL_2D": "1.5 1.14 2.3",
    "BATCH_MATMUL": "2.3 2.3 2.4 2.5",
    "BATCH_TO_SPACE_ND": "1.6 1.14 2.3 2.12",
    "BIDIRECTIONAL_SEQUENCE_LSTM": "1.14 1.14 1.14",
    "BIDIRECTIONAL_SEQUENCE_RNN": "1.14 1.14 2.3",
    "BITCAST": "2.13",
    "BITWISE_XOR": "2.13",
    "BROADCAST_ARGS": "2.6",
    "BROADCAST_TO": "- 2.5 2.5",
    "BUCKETIZE": "2.8",
    "CALL_ONCE": "2.5",
    "CAST": "1.5 2.7 2.8 2.9 2.12 2.15 2.18",
    "CEIL": "1.14",
    "COMPLEX_ABS": "2.5",
    "CONCATENATION": "1.5 1.14 2.3 2.14",
    "CONV_2D": "1.5 1.14 1.14 2.3 2.4 2.9 2.11 2.15",
    "CONV_3D": "2.5",
    "CONV_3D_TRANSPOSE": "2.6",
    "COS": "1.14",
    "CUMSUM": "2.4",
    "DENSIFY": "2.2",
    "DEPTHWISE_CONV_2D": "1.5 1.12 1.14 2.2 2.3 2.3 2.11",
    "DEPTH_TO_SPACE": "2.1 2.5",
    "DEQUANTIZE": "1.13 1.14 1.15 2.2 2.7 2.18",
    "DILATE": "2.15",
    "DIV": "1.6 2.3",
    "DYNAMIC_UPDATE_SLICE": "2.9 2.17 2.19 2.20",
    "ELU": "1.14",
    "EMBEDDING_LOOKUP": "1.13 1.14 1.14 2.18",
    "EMBEDDING_LOOKUP_SPARSE": "1.5",
    "EQUAL": "1.14 1.14 2.3 2.13",
    "EXP": "1.7 2.12",
    "EXPAND_DIMS": "1.10",
    "FAKE_QUANT": "1.5 1.10",
    "FILL": "1.13 2.3 2.5 2.12",
    "FLOOR": "1.9",
    "FLOOR_DIV": "1.14 1.14 2.13",
    "FLOOR_MOD": "1.13 2.13",
    "FULLY_CONNECTED": "1.5 1.10 1.14 1.14 2.0 2.1 2.3 2.3 2.3 2.11 2.15 2.17 2.18",
    "GATHER": "1.6 1.14 1.15 2.4 2.5 2.13 2.15",
    "GATHER_ND": "1.14 2.3 2.5 2.13 2.16",
    "GELU": "2.9 2.9",
    "GREATER": "1.14 1.14",
    "GREATER_EQUAL": "1.14 1.14 2.13",
    "HARD_SWISH": "1.15",
    "HASHTABLE": "2.5",
    "HASHTABLE_FIND": "2.5",
    "HASHTABLE_IMPORT": "2.5",
    "HASHTABLE_LOOKUP": "1.5",
    "HASHTABLE_SIZE": "2.5",
    "IF": "1.15",
    "IMAG": "2.5",
    "L2_NORMALIZATION": "1.5 1.14",
    "L2_POOL_2D": "1.5",
    "LEAKY_RELU": "1.13 2.3",
    "LESS": "1.14 1.14 2.13",
    "LESS_EQUAL": "1.14 1.14",
    "LOCAL_RESPONSE_NORMALIZATION": "1.5",
    "LOG": "1.14 2.15",
    "LOGICAL_AND": "1.11",
    "LOGICAL_NOT": "1.11",
    "LOGICAL_OR": "1.11",
    "LOGISTIC": "1.14 1.14 2.3",
    "LOG_SOFTMAX": "1.14 1.14",
    "LSH_PROJECTION": "1.5",
    "LSTM": "1.7 1.10 1.14 2.3",
    "MATRIX_DIAG": "1.14",
    "MATRIX_SET_DIAG": "1.14",
    "MAXIMUM": "1.14 1.14 2.3 2.3",
    "MAX_POOL_2D": "1.5 1.14 2.3",
    "MEAN": "1.6 1.14 2.4",
    "MINIMUM": "1.14 1.14 2.3 2.3",
    "MIRROR_PAD": "1.13 2.3 2.12",
    "MUL": "1.5 1.14 1.15 2.3 2.6 2.11 2.13",
    "MULTINOMIAL": "2.8",
    "NEG": "1.9",
    "NON_MAX_SUPPRESSION_V4": "2.1",
    "NON_MAX_SUPPRESSION_V5": "2.1",
    "NOT_EQUAL": "1.14 1.14 2.3",
    "ONE_HOT": "1.11",
    "PACK": "1.11 1.14 2.3 2.13",
    "PAD": "1.5 1.14 2.4 2.6",
    "PADV2": "1.9 1.14 2.4 2.6",
    "POW": "1.10",
    "PRELU": "1.8",
    "QUANTIZE": "1.14 1.15 2.7",
    "RANDOM_STANDARD_NORMAL": "2.8",
    "RANDOM_UNIFORM": "2.8",
    "RANGE": "1.13 2.14",
    "RANK": "1.14",
    "READ_VARIABLE": "2.6",
    "REAL": "2.5",
    "REDUCE_ALL": "2.6",
    "REDUCE_ANY": "1.11",
    "REDUCE_MAX": "1.11 1.14 2.5",
    "REDUCE_MIN": "1.11 1.14 2.5",
    "REDUCE_PROD": "1.11 2.6",
    "REDUCE_WINDOW": "2.15",
    "RELU": "1.5 2.1 2.5",
    "RELU6": "1.5 1.14 2.5",
    "RELU_0_TO_1": "2.10",
    "RELU_N1_TO_1": "1.5",
    "RESHAPE": "1.5",
    "RESIZE_BILINEAR": "1.7 1.14 2.2 2.5",
    "RESIZE_NEAREST_NEIGHBOR": "1.13 1.14 2.3 2.4",
    "REVERSE_SEQUENCE": "1.14",
    "REVERSE_V2": "1.14 2.2 2.5",
    "RFFT2D": "2.5",
    "RIGHT_SHIFT": "2.13",
    "RNN": "1.5 1.14 2.3",
    "ROUND": "1.14",
    "RSQRT": "1.10 2.5 2.15",
    "SCATTER_ND": "2.1",
    "SEGMENT_SUM": "2.2",
    "SELECT": "1.14 1.14 2.12 2.12",
    "SELECT_V2": "2.2 2.12",
    "SHAPE": "1.10",
    "SIGN": "2.11 2.12",
    "SIN": "1.9",
    "SKIP_GRAM": "1.5",
    "SLICE": "1.14 1.14 1.14 2.4 2.5 2.14",
    "SOFTMAX": "1.5 1.14 2.3",
    "SPACE_TO_BATCH_ND": "1.6 1.14 2.3 2.12",
    "SPACE_TO_DEPTH": "1.5 1.14",
    "SPARSE_TO_DENSE": "1.9 1.14 1.15",
    "SPLIT": "1.5 1.14 1.14 2.3",
    "SPLIT_V": "1.13 2.3",
    "SQRT": "1.10",
    "SQUARE": "1.12",
    "SQUARED_DIFFERENCE": "1.13 2.5",
    "SQUEEZE": "1.6 2.5",
    "STABLEHLO_ADD": "2.16",
    "STABLEHLO_CASE": "2.18",
    "STABLEHLO_COMPOSITE": "2.17",
    "STABLEHLO_GATHER": "2.16",
    "STABLEHLO_MAXIMUM": "2.16",
    "STABLEHLO_MINIMUM": "2.16",
    "STABLEHLO_MULTIPLY": "2.16",
    "STABLEHLO_PAD": "2.16",
    "STABLEHLO_REDUCE_WINDOW": "2.16",
    "STABLEHLO_RNG_BIT_GENERATOR": "2.15",
    "STABLEHLO_SCATTER": "2.15",
    "STABLEHLO_AND": "2.18",
    "STABLEHLO_SHIFT_LEFT": "2.18",
    "STRIDED_SLICE": "1.6 1.14 2.1 2.2 2.5 2.6 2.14 2.14",
    "SUB": "1.6 1.14 2.3 2.4 2.4",
    "SUM": "1.10 1.15",
    "SVDF": "1.5 1.14 2.2 2.3",
    "TANH": "1.14 1.14 2.3",
    "TILE": "1.10 2.2 2.8",
    "TOPK_V2": "1.7 1.14 2.13",
    "TRANSPOSE": "1.6 1.14 1.15 2.3 2.4 2.12 2.18",
    "TRANSPOSE_CONV": "1.9 2.2 2.3 2.13 2.15",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "1.13 1.14 2.3 2.12",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "1.14 1.14 2.3",
    "UNIQUE": "1.14",
    "UNPACK": "1.11 1.14 2.2 2.3",
    "UNSORTED_SEGMENT_MAX": "2.10",
    "UNSORTED_SEGMENT_MIN": "2.11",
    "UNSORTED_SEGMENT_PROD": "2.10",
    "UNSORTED_SEGMENT_SUM": "2.10",
    "VAR_HANDLE": "2.6",
    "WHERE": "1.14 2.8",
    "WHILE": "1.15",
    "ZEROS_LIKE": "1.12",
}
# op → LiteRT release: highest op version it accepts, as measured. An op that is not here: what _SINCE lists, since 1.0
_LITERT = {
    "ADD": {"1.0": 5, "2.3": 6},
    "BROADCAST_TO": {"1.0": 3, "2.3": 4},
    "CAST": {"1.0": 6, "1.2": 7, "2.1": 8, "2.3": 9},
    "CONCATENATION": {"1.0": 4, "2.3": 7},
    "COS": {"1.0": 1, "2.3": 2},
    "DEQUANTIZE": {"1.0": 6, "2.1": 7, "2.3": 9},
    "DYNAMIC_UPDATE_SLICE": {"1.0": 2, "1.2": 3, "1.4": 4, "2.3": 6},
    "EMBEDDING_LOOKUP": {"1.0": 4, "2.3": 5},
    "EQUAL": {"1.0": 4, "2.1": 5},
    "FILL": {"1.0": 4, "2.3": 5},
    "FULLY_CONNECTED": {"1.0": 13, "2.1": 14},
    "GATHER": {"1.0": 7, "2.3": 8},
    "GATHER_ND": {"1.0": 5, "2.3": 6},
    "GELU": {"1.0": 2, "2.3": 3},
    "MUL": {"1.0": 7, "2.3": 8},
    "NOT_EQUAL": {"1.0": 3, "2.1": 4},
    "PACK": {"1.0": 4, "2.3": 5},
    "PAD": {"1.0": 4, "2.1": 5, "2.3": 6},
    "PADV2": {"1.0": 4, "2.1": 5, "2.3": 6},
    "QUANTIZE": {"1.0": 3, "2.1": 4, "2.3": 6},
    "REVERSE_V2": {"1.0": 3, "2.3": 4},
    "SIN": {"1.0": 1, "2.3": 2},
    "SLICE": {"1.0": 6, "2.1": 7, "2.3": 8},
    "SOFTMAX": {"1.0": 3, "2.3": 4},
    "SPLIT": {"1.0": 4, "2.3": 5},
    "SPLIT_V": {"1.0": 2, "2.3": 3},
    "SQRT": {"1.0": 1, "2.1": 2},
    "STABLEHLO_AND": {"1.2": 1},
    "STABLEHLO_CASE": {"1.2": 1},
    "STABLEHLO_SHIFT_LEFT": {"1.2": 1},
    "TRANSPOSE": {"1.0": 6, "1.2": 7, "2.3": 9},
    "UNPACK": {"1.0": 4, "2.3": 6},
}


def number(text: str) -> Version:
    """``2.14.0`` → ``(2, 14)``: op versions only ever change with the first two."""
    found = []
    for part in text.strip().split(".")[:2]:
        digits = "".join(c for c in part if c.isdigit())
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)


def since_tensorflow(op: str, version: int) -> Version | None:
    """The first TensorFlow (Lite) version with this op version; None where no release of that line has it."""
    listed = _SINCE.get(op, "").split()
    if not 1 <= version <= len(listed) or listed[version - 1] == "-":
        return None
    return number(listed[version - 1])


@functools.cache
def since_litert(op: str, version: int) -> Version | None:
    """The first LiteRT release with this op version; None where none that edgekit knows has it."""
    if version < 1 or _SINCE.get(op, "").split()[version - 1 : version] == ["-"]:
        return None
    if op in _LITERT:
        return next((number(release) for release, highest in _LITERT[op].items() if version <= highest), None)
    return (1, 0) if since_tensorflow(op, version) else None


def minimum_runtime(op_versions: Mapping[str, int], metadata: str | None) -> str | None:
    """The oldest runtimes with all op versions, as a text that names both number lines.

    Args:
        op_versions: builtin op name → highest version used.
        metadata: ``min_runtime_version`` of the file, in TensorFlow's numbers; the later of the two counts.
    """
    tensorflow = [since_tensorflow(op, version) for op, version in op_versions.items()]
    litert = [since_litert(op, version) for op, version in op_versions.items()]
    claimed = number(metadata or "")
    new = max((found for found in litert if found), default=None)
    if any(found is None for found in litert):
        return None
    if any(found is None for found in tensorflow):
        return None if new is None else f"LiteRT {_text(new)}"
    old = max([*(found for found in tensorflow if found), *([claimed] if claimed else [])], default=None)
    if old is None:
        return None
    return f"TensorFlow Lite {_text(old)} or LiteRT {_text(new or (1, 0))}"


def is_known(op: str, version: int) -> bool:
    """Whether any runtime in the table has this op version."""
    return since_tensorflow(op, version) is not None or since_litert(op, version) is not None


def is_supported(op: str, version: int, runtime_version: str, *, litert: bool) -> bool:
    """Whether a runtime has an op version.

    Args:
        op: builtin name.
        version: of the op.
        runtime_version: of the runtime, in its own number line.
        litert: LiteRT (True) or TensorFlow Lite / tflite-runtime (False).
    """
    first = since_litert(op, version) if litert else since_tensorflow(op, version)
    return first is not None and first <= number(runtime_version)


def _text(version: Version) -> str:
    return ".".join(map(str, version))
