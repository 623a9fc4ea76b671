"""Whether outputs from a board are the ones that the model must give: exact, rounded otherwise, close, or broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgekit.core.artifact import TensorSpec

if TYPE_CHECKING:
    import numpy

Verdict = Literal["exact", "rounding", "close", "broken", "not compared"]

#: The same int8 kernels give the same bytes: XNNPACK's were bit-exact on x86-64, Cortex-A53, A72, A76 and Neoverse N1
#: from LiteRT 1.4.0 to 2.3.0. A step or two may come from rounding; a wrong kernel shows as a cosine of 0.85.
#: Other kernels differ: XNNPACK and the built-in int8 kernels by up to 21 of 255 steps on a worst-case model.
_ROUNDING_STEPS = 1
_SAME_KERNELS_STEPS = 2
_OTHER_KERNELS = 32.5 / 255
_FEW_STEPS = 2.5 / 255
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
        verdict: ``exact``; ``rounding``: within one step of a quantized output, or float rounding; ``close``: more
            than rounding, as other kernels give it; ``broken``; ``not compared``: there was nothing to compare with.
        differing: share of the output values that differ, 0..1.
        max_steps: largest difference in steps of a quantized output; None: no output is quantized.
        same_class: share of samples whose largest value is at the same place, where an output has several.
        kernels: which ones computed on the board: ``XNNPACK``, ``built-in`` or ``unknown``.
    """

    ok: bool
    exact: bool
    max_abs_diff: float | None
    cosine: float | None
    samples: int
    reference: str
    reason: str
    verdict: Verdict = "not compared"
    differing: float | None = None
    max_steps: int | None = None
    same_class: float | None = None
    kernels: str = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """The comparison of one output over all samples."""

    name: str
    values: int
    differing: int
    max_abs_diff: float
    cosine: float
    verdict: Verdict
    steps: int | None = None
    same_class: float | None = None
    found: str = ""


def compare_outputs(
    golden: Sequence[Sequence[bytes]],
    found: Sequence[Sequence[bytes]],
    outputs: Sequence[TensorSpec],
    *,
    float_kernels: bool,
    reference: str,
    same_kernels: bool = False,
    kernels: str = "unknown",
) -> SmokeResult:
    """Compares raw outputs, sample by sample.

    Args:
        golden: per sample, per output: the raw bytes that are right.
        found: the same from the board.
        outputs: dtype, scale and zero point of each output.
        float_kernels: the model computes in float32 throughout, so that little more than rounding may differ.
        reference: where ``golden`` is from, for the report.
        same_kernels: both were computed by the same integer kernels throughout: they must be equal but for rounding.
        kernels: which ones computed on the board, for the report.
    """
    if any(
        [len(raw) for raw in right] != [len(raw) for raw in sample] for right, sample in zip(golden, found, strict=True)
    ):
        return SmokeResult(
            ok=False,
            exact=False,
            max_abs_diff=None,
            cosine=None,
            samples=len(golden),
            reference=reference,
            reason="broken: the outputs have other sizes",
            verdict="broken",
            kernels=kernels,
        )
    compared = tuple(
        _compare_one(
            [sample[index] for sample in golden],
            [sample[index] for sample in found],
            spec,
            float_kernels=float_kernels,
            same_kernels=same_kernels,
        )
        for index, spec in enumerate(outputs)
    )
    return _result(len(golden), compared, reference=reference, kernels=kernels)


def _result(samples: int, compared: Sequence[_Output], *, reference: str, kernels: str) -> SmokeResult:
    order: tuple[Verdict, ...] = ("broken", "close", "rounding", "exact")
    verdict: Verdict = next((verdict for verdict in order if any(o.verdict == verdict for o in compared)), "exact")
    worst = next((output for output in compared if output.verdict == verdict), None)
    values = sum(output.values for output in compared)
    differing = sum(output.differing for output in compared) / values if values else 0.0
    classes = [output.same_class for output in compared if output.same_class is not None]
    reason = "equal to the byte"
    if verdict != "exact" and worst is not None:
        words = {"broken": "broken", "close": "close, but more than rounding", "rounding": "rounding only"}[verdict]
        reason = f"{words}: {worst.found} (output {worst.name}, {reference})"
    return SmokeResult(
        ok=verdict != "broken",
        exact=verdict == "exact",
        max_abs_diff=max((output.max_abs_diff for output in compared), default=None),
        cosine=min((output.cosine for output in compared), default=None),
        samples=samples,
        reference=reference,
        reason=reason,
        verdict=verdict,
        differing=differing,
        max_steps=max((output.steps for output in compared if output.steps is not None), default=None),
        same_class=min(classes, default=None),
        kernels=kernels,
    )


def _compare_one(
    right_raw: Sequence[bytes], found_raw: Sequence[bytes], spec: TensorSpec, *, float_kernels: bool, same_kernels: bool
) -> _Output:
    import numpy

    dtype = numpy.dtype(spec.dtype).newbyteorder("<")
    rights, founds = ([numpy.frombuffer(raw, dtype).astype(numpy.float64) for raw in s] for s in (right_raw, found_raw))
    right, found = numpy.concatenate(rights), numpy.concatenate(founds)
    exact = list(right_raw) == list(found_raw)
    if not numpy.isfinite(found).all():
        where = "there and in the reference" if not numpy.isfinite(right).all() else "on the board"
        text = f"NaN or infinity {where}"
        count = int((right != found).sum())
        return _Output(
            name=spec.name,
            values=right.size,
            differing=count,
            max_abs_diff=0.0,
            cosine=0.0,
            verdict="broken",
            found=text,
        )
    difference = float(numpy.abs(right - found).max(initial=0.0))
    zero, scale = spec.zero_point or 0, spec.scale or 1.0
    cosine = _cosine((right - zero) * scale, (found - zero) * scale)
    differing = int((right != found).sum())
    share = differing / right.size if right.size else 0.0
    same_class = _same_class(rights, founds)
    steps = None
    if dtype.kind == "f":
        verdict, text = _judge_float(right, difference, cosine, float_kernels=float_kernels)
    elif spec.scale is not None:
        steps = round(difference)
        limits = numpy.iinfo(dtype)
        part = difference / (limits.max - limits.min)
        verdict = _judge_steps(steps, part, cosine, same_kernels=same_kernels)
        text = f"{share:.1%} of the values differ by at most {steps} step{'s' * (steps != 1)} of quantization"
    else:
        verdict = "exact" if exact else "close" if 1 - share >= _EQUAL_SHARE else "broken"
        text = f"only {1 - share:.0%} of the values are equal"
    if verdict in ("close", "broken"):
        text += f", cosine {cosine:.3f}"
        text += f", the same class for {same_class:.0%}" if same_class is not None else ""
    return _Output(
        name=spec.name,
        values=right.size,
        differing=differing,
        max_abs_diff=difference * scale,
        cosine=cosine,
        verdict="exact" if exact else verdict,
        steps=steps,
        same_class=same_class,
        found=text,
    )


def _judge_float(
    right: numpy.ndarray[Any, Any], difference: float, cosine: float, *, float_kernels: bool
) -> tuple[Verdict, str]:
    import numpy

    share = difference / max(float(numpy.abs(right).max(initial=0.0)), 1e-6)
    text = f"differs by {share:.2g} of its largest value"
    if share <= _FLOAT_ROUNDING:
        return "rounding", text
    limit = _FLOAT_ROUNDING if float_kernels else _FLOAT_OTHER
    return ("broken" if share > limit or cosine < _COSINE else "close"), text


def _judge_steps(steps: int, part: float, cosine: float, *, same_kernels: bool) -> Verdict:
    if steps <= _ROUNDING_STEPS:
        return "rounding"
    if same_kernels:
        return "close" if steps <= _SAME_KERNELS_STEPS else "broken"
    return "broken" if part > _OTHER_KERNELS or (part > _FEW_STEPS and cosine < _COSINE) else "close"


def _same_class(rights: Sequence[numpy.ndarray[Any, Any]], founds: Sequence[numpy.ndarray[Any, Any]]) -> float | None:
    """The share of samples whose largest value is at the same place; ties count as the same."""
    if not rights or any(right.size < 2 for right in rights):
        return None
    same = [bool(right[found.argmax()] == right.max()) for right, found in zip(rights, founds)]
    return sum(same) / len(same)


def _cosine(left: numpy.ndarray[Any, Any], right: numpy.ndarray[Any, Any]) -> float:
    import numpy

    norms = float(numpy.linalg.norm(left) * numpy.linalg.norm(right))
    if norms == 0.0:
        return 1.0 if not left.any() and not right.any() else 0.0
    return float(numpy.dot(left, right)) / norms
