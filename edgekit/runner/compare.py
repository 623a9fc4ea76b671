"""Whether outputs from a board are the ones that the model must give: exact, or close enough for other kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.core.artifact import TensorSpec

if TYPE_CHECKING:
    import numpy

#: Kernels differ between processors and runtimes: XNNPACK and the built-in int8 kernels by up to 21 of 255 steps on a
#: worst-case model, while a wrong kernel shows as a cosine of 0.85. So: few steps are rounding, more need the cosine.
_ROUNDING = 2.5 / 255
_OTHER_KERNELS = 32.5 / 255
_FLOAT_ROUNDING = 1e-3
_FLOAT_OTHER = 0.1
_COSINE = 0.98
_EQUAL_SHARE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeResult:
    """What the board made of the golden samples.

    Attributes:
        ok: the model computes there what it must.
        exact: every output is equal to the byte.
        max_abs_diff: largest difference of an output value, in real (dequantized) units; None: nothing to compare.
        cosine: the lowest cosine of an output over all samples; None: nothing to compare.
        samples: how many were run.
        reference: what the outputs were compared with.
        reason: one sentence; why it is not ok, or what was found.
    """

    ok: bool
    exact: bool
    max_abs_diff: float | None
    cosine: float | None
    samples: int
    reference: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """The comparison of one output over all samples."""

    name: str
    max_abs_diff: float
    cosine: float
    fault: str | None


def compare_outputs(
    golden: Sequence[Sequence[bytes]],
    found: Sequence[Sequence[bytes]],
    outputs: Sequence[TensorSpec],
    *,
    float_kernels: bool,
    reference: str,
) -> SmokeResult:
    """Compares raw outputs, sample by sample.

    Args:
        golden: per sample, per output: the raw bytes that are right.
        found: the same from the board.
        outputs: dtype, scale and zero point of each output.
        float_kernels: the model computes in float32 throughout, so that little more than rounding may differ.
        reference: where ``golden`` is from, for the report.
    """
    if any(
        [len(raw) for raw in right] != [len(raw) for raw in sample] for right, sample in zip(golden, found, strict=True)
    ):
        return _result(len(golden), reference, (), exact=False, fault="the outputs have other sizes")
    exact = [list(sample) for sample in golden] == [list(sample) for sample in found]
    compared = tuple(
        _compare_one(
            b"".join(sample[index] for sample in golden),
            b"".join(sample[index] for sample in found),
            spec,
            float_kernels=float_kernels,
        )
        for index, spec in enumerate(outputs)
    )
    fault = next((f"output {output.name}: {output.fault}" for output in compared if output.fault), None)
    return _result(len(golden), reference, compared, exact=exact, fault=fault)


def _result(
    samples: int, reference: str, compared: Sequence[_Output], *, exact: bool, fault: str | None
) -> SmokeResult:
    difference = max((output.max_abs_diff for output in compared), default=None)
    cosine = min((output.cosine for output in compared), default=None)
    reason = fault or ("equal to the byte" if exact else f"close enough: largest difference {difference:.3g}")
    return SmokeResult(
        ok=fault is None,
        exact=exact,
        max_abs_diff=difference,
        cosine=cosine,
        samples=samples,
        reference=reference,
        reason=reason,
    )


def _compare_one(right_raw: bytes, found_raw: bytes, spec: TensorSpec, *, float_kernels: bool) -> _Output:
    import numpy

    dtype = numpy.dtype(spec.dtype).newbyteorder("<")
    right = numpy.frombuffer(right_raw, dtype).astype(numpy.float64)
    found = numpy.frombuffer(found_raw, dtype).astype(numpy.float64)
    if not numpy.isfinite(found).all():
        where = "there and in the reference" if not numpy.isfinite(right).all() else "on the board"
        return _Output(name=spec.name, max_abs_diff=0.0, cosine=0.0, fault=f"NaN or infinity {where}")
    difference = float(numpy.abs(right - found).max(initial=0.0))
    zero, scale = spec.zero_point or 0, spec.scale or 1.0
    cosine = _cosine((right - zero) * scale, (found - zero) * scale)
    equal = float((right == found).mean()) if right.size else 1.0
    fault = None
    if dtype.kind == "f":
        share = difference / max(float(numpy.abs(right).max(initial=0.0)), 1e-6)
        limit = _FLOAT_ROUNDING if float_kernels else _FLOAT_OTHER
        if share > limit or (share > _FLOAT_ROUNDING and cosine < _COSINE):
            fault = f"differs by {share:.2%} of its largest value, cosine {cosine:.3f}"
    elif spec.scale is not None:
        share = difference / (numpy.iinfo(dtype).max - numpy.iinfo(dtype).min)
        if share > _OTHER_KERNELS or (share > _ROUNDING and cosine < _COSINE):
            fault = f"differs by {difference:.0f} quantization steps, cosine {cosine:.3f}"
    elif equal < _EQUAL_SHARE:
        fault = f"only {equal:.0%} of the values are equal"
    return _Output(name=spec.name, max_abs_diff=difference * scale, cosine=cosine, fault=fault)


def _cosine(left: numpy.ndarray[Any, Any], right: numpy.ndarray[Any, Any]) -> float:
    import numpy

    norms = float(numpy.linalg.norm(left) * numpy.linalg.norm(right))
    if norms == 0.0:
        return 1.0 if not left.any() and not right.any() else 0.0
    return float(numpy.dot(left, right)) / norms
