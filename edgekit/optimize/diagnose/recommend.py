"""What to do with a model, in plain words: rules over what a diagnosis found, each with its reason and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgekit.core import units
from edgekit.optimize.diagnose.evidence import (
    LITTLE_PP,
    WORTH_BYTES,
    Evidence,
    deepest,
    int8_hurts,
    is_convolution,
    is_untrained,
    like_random,
    noisy_in_int8,
    prefers_dynamic,
    sensitive_to_cuts,
)
from edgekit.optimize.diagnose.wording import NAMED, alphas, by_kind, counted, heaviest, listed, them

_LARGE_PART, _NOTABLE_PART = 0.5, 0.1  # of the work or the bytes
_TOO_QUICK_NS = 50_000.0  # below this a run is mostly calls and copies


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One recommendation.

    Attributes:
        code: stable name for scripts.
        text: what to do, or what not to.
        reason: why, with the figures.
    """

    code: str
    text: str
    reason: str


def recommend(found: Evidence) -> tuple[Point, ...]:
    """Every rule that has something to say, the one that buys most first."""
    rules: tuple[Callable[[Evidence], Iterator[Point]], ...] = (
        _untrained,
        _tiny,
        _convolutions,
        _dense,
        _cuts,
        _quantization,
        _depthwise,
        _pointwise,
        _recurrent,
        _slack,
        _not_delegated,
        _small_ops,
        _folding,
    )
    return tuple(point for rule in rules for point in rule(found))


def _untrained(found: Evidence) -> Iterator[Point]:
    if is_untrained(found):
        fitted = [item for item in found.spectra if item.law is not None]
        yield Point(
            code="untrained",
            text="Train the model first: its weights look random. The recipe leaves out what would be fine-tuned.",
            reason=f"none of the {len(fitted)} weight matrices has an eigenvalue that a random one would not have",
        )


def _convolutions(found: Evidence) -> Iterator[Point]:
    part = found.part(is_convolution)
    if part < _LARGE_PART or found.integer or not found.library:
        return
    kinds = by_kind(found, is_convolution)
    kind, shares = kinds[0]
    of_kind = found.part(lambda share: share.kind == kind)
    rest = f", {part:.0%} in all convolutions" if len(kinds) > 1 else ""
    yield Point(
        code="filters",
        text="Remove filters: what goes makes every run shorter, in every runtime.",
        reason=f"{of_kind:.0%} {found.lies_in} {counted(shares, kind)} ({heaviest(found, shares)}){rest}",
    )


def _dense(found: Evidence) -> Iterator[Point]:
    shares = [share for share in found.shares if share.kind == "dense"]
    part = found.bytes_part(lambda share: share.kind == "dense")
    if part < _LARGE_PART or found.integer or sum(share.bytes for share in shares) < WORTH_BYTES:
        return
    largest = max(shares, key=lambda share: share.bytes)
    work = found.part(lambda share: share.kind == "dense")
    place = next((i for i, share in enumerate(found.shares) if share is largest), 0)
    flattened = any(share.type == "Flatten" for share in found.shares[max(0, place - 3) : place])
    text = "For the size, look at the dense layers: int8 quarters them, clustering or pruning shrinks the download."
    if flattened:
        text += f" With GlobalAveragePooling2D in place of Flatten, {largest.name} would nearly vanish (train again)."
    yield Point(
        code="dense-bytes",
        text=text,
        reason=f"{part:.0%} of the bytes ({units.size(sum(share.bytes for share in shares))}), but {work:.0%} of the "
        f"{found.basis}, are in {counted(shares, 'dense')}; the largest is {largest.name} with "
        f"{largest.parameters:,} parameters",
    )


def _cuts(found: Evidence) -> Iterator[Point]:
    tender = sensitive_to_cuts(found)
    if tender:
        worst = max((cut for cut in found.cuts if cut.layer in tender), key=lambda cut: cut.drops[0])
        yield Point(
            code="sensitive-to-cuts",
            text=f"Leave {listed(tender)} alone when filters are removed: the recipe skips {them(tender)}.",
            reason=f"{worst.layer} alone costs {worst.drops[0]:.1f} pp with {worst.ratios[0]:.0%} of its filters gone "
            "and no fine-tuning",
        )
    robust = [cut for cut in found.cuts if deepest(cut) is not None]
    if robust:
        yield Point(
            code="robust-to-cuts",
            text=f"Cut deepest in {listed([cut.layer for cut in robust])}.",
            reason=", ".join(f"{cut.layer} alone bears {deepest(cut):.0%}" for cut in robust[:NAMED])
            + f" for no more than {LITTLE_PP:.0f} pp, before any fine-tuning",
        )


def _quantization(found: Evidence) -> Iterator[Point]:
    if found.integer:
        yield Point(
            code="quantized-already",
            text="Nothing more to quantize; start from the float model for anything else.",
            reason="tensors between its ops are integers already",
        )
        return
    if prefers_dynamic(found):
        return
    if int8_hurts(found):
        assert found.int8 is not None
        lost = "no numbers" if found.int8.drop is None else f"{found.int8.drop:.1f} {found.int8.unit} less"
        suspects = noisy_in_int8(found)
        yield Point(
            code="sensitive-to-int8",
            text="Quantize to int8, but keep the layers out of it that cannot bear it: the recipe has `selective = "
            f"true`, which looks for them. Suspects: {listed(suspects)}.",
            reason=f"plain int8 gives {lost} on {found.int8.rows:,} rows ({found.int8.metric}); the noise is loudest "
            f"from {suspects[0]}" + _decibel(found, suspects[0]),
        )
        return
    reason = "XNNPACK has int8 kernels for what this model is made of; its accuracy was not looked at"
    if found.int8 is not None and found.int8.drop is not None:
        reason = f"plain int8 loses {max(found.int8.drop, 0.0):.1f} {found.int8.unit} on {found.int8.rows:,} rows "
        reason += f"({found.int8.metric})"
    yield Point(
        code="int8",
        text="Quantize to int8: a quarter of the size, and on ARM boards mostly two to four times the speed.",
        reason=reason,
    )


def _decibel(found: Evidence, layer: str) -> str:
    known = next((item.snr_db for item in found.quantization if item.layer == layer), None)
    return "" if known is None else f" ({known:.0f} dB alone)"


def _depthwise(found: Evidence) -> Iterator[Point]:
    part = found.part(lambda share: "depthwise" in share.kind)
    shares = [share for share in found.shares if "depthwise" in share.kind]
    if shares and not found.integer:
        yield Point(
            code="not-dynamic",
            text="Do not use `dynamic`: it would be slower than float here. int8 is not.",
            reason=f"XNNPACK has no dynamic-range kernel for depthwise convolutions: {len(shares)} of them, "
            f"{part:.0%} of the {found.basis} in float",
        )


def _pointwise(found: Evidence) -> Iterator[Point]:
    part = found.part(lambda share: share.kind.startswith("1×1 convolution"))
    if part >= 0.7 and not found.integer and found.library:
        yield Point(
            code="xnnpack-sparse",
            text="For a float model on 64-bit ARM, try the recipe `xnnpack-sparse` too.",
            reason=f"{part:.0%} {found.lies_in} 1×1 convolutions, for which XNNPACK has sparse kernels; "
            "there are none for int8 or x86",
        )


def _recurrent(found: Evidence) -> Iterator[Point]:
    names = [share.name for share in found.shares if share.kind == "recurrent"]
    if names and not found.integer and prefers_dynamic(found):
        reason = f"{listed(names)} would carry int8's error from step to step, and only LSTM has an integer op"
        if found.int8 is not None and found.int8.drop is not None:
            reason += f"; plain int8 loses {found.int8.drop:.1f} {found.int8.unit}"
        yield Point(
            code="recurrent",
            text="Take `dynamic`: int8 weights, and the recurrent layers compute in float.",
            reason=reason,
        )


def _slack(found: Evidence) -> Iterator[Point]:
    if is_untrained(found):
        return
    loose = like_random(found)
    loose += tuple(i.layer for i in found.spectra if i.verdict == "under-trained" and i.layer not in loose)
    if loose:
        yield Point(
            code="slack",
            text=f"There is little to lose in {listed(loose)}: cut there first, or make {them(loose)} smaller and "
            "train again.",
            reason="by the spectrum of its weights: " + alphas(found, loose),
        )
    over = tuple(item.layer for item in found.spectra if item.verdict == "over-trained")
    if over:
        yield Point(
            code="over-trained",
            text=f"Look at how {listed(over)} {'was' if len(over) == 1 else 'were'} trained: more regularisation may "
            "help before anything is cut.",
            reason="by the spectrum of its weights: " + alphas(found, over),
        )


def _not_delegated(found: Evidence) -> Iterator[Point]:
    left = [share for share in found.shares if share.delegated is False]
    part = found.part(lambda share: share.delegated is False)
    if found.timed and left and part >= 0.05:
        kinds = dict.fromkeys(op for share in left for op in share.ops)
        yield Point(
            code="not-delegated",
            text="Replace the layers that XNNPACK does not take, or accept the runtime's own kernels for them.",
            reason=f"{part:.0%} of the {found.basis} is in {heaviest(found, left)} ({', '.join(list(kinds)[:NAMED])})",
        )


def _small_ops(found: Evidence) -> Iterator[Point]:
    if not found.timed:
        return
    light = [share for share in found.shares if not share.macs and share.ops]
    part = found.part(lambda share: not share.macs)
    if part >= _NOTABLE_PART:
        yield Point(
            code="without-macs",
            text="No pruning makes these ops faster; smaller feature maps do.",
            reason=f"{part:.0%} of the {found.basis} is in layers that multiply nothing: {heaviest(found, light)}",
        )


def _folding(found: Evidence) -> Iterator[Point]:
    for finding in found.fusion.findings:
        places = listed(finding.where)
        ops = f"{finding.ops} ops" if finding.ops > 1 else "1 op"
        advice = finding.advice[0].upper() + finding.advice[1:]
        yield Point(code=finding.code, text=f"{places}: {advice}.", reason=f"{finding.message} ({ops})")


def _tiny(found: Evidence) -> Iterator[Point]:
    if found.whole_ns is not None and not found.emulated and found.whole_ns < _TOO_QUICK_NS:
        ops = sum(share.elapsed_ns or 0.0 for share in found.shares)
        yield Point(
            code="tiny",
            text="Expect little time to be won: a run is this short already. Size and memory can be.",
            reason=f"one run takes {units.duration(found.whole_ns)}, and {units.duration(found.whole_ns - ops)} of it "
            "lies between the ops",
        )
