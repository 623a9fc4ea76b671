"""What a step does to latency and memory, by rules about ops, processors and runtimes.

The ranges come from measurements of these runtimes on x86-64 (MobileNetV2, ResNet50 and small networks) and from
published ones on ARM boards (XNNPACK's end-to-end benchmarks on Raspberry Pi; Elsen et al. 2019 for sparse kernels).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.optimize.forecast.records import Effect
from edgekit.optimize.sparse.rules import ENOUGH_ZEROS, SparseFit

_FIXED = 200_000  # multiply-accumulates below which an op's fixed cost hides what the arithmetic gains
_MUCH_DEPTHWISE = 0.03
_X86 = ("x86_64", "amd64", "i686", "x86")
_ARM64 = ("aarch64", "arm64", "arm64-v8a")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the model will run.

    Attributes:
        abi: of its processor: ``aarch64``, ``armv7l``, ``x86_64``; None: no target was named.
        runtime: ``ai-edge-litert`` or ``tflite-runtime``; None: the newest LiteRT.
        version: of the runtime.
        device: its name, for sentences.
    """

    abi: str | None = None
    runtime: str | None = None
    version: str | None = None
    device: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any] | None) -> Target:
        """From JSON values; None: no target."""
        given = values or {}
        return cls(**{key: given.get(key) for key in ("abi", "runtime", "version", "device")})

    @property
    def is_x86(self) -> bool:
        """A PC's processor."""
        return (self.abi or "").lower() in _X86

    @property
    def is_arm64(self) -> bool:
        """64-bit ARM."""
        return (self.abi or "").lower() in _ARM64

    @property
    def is_old(self) -> bool:
        """The runtime is tflite-runtime, which ended with 2.14."""
        if self.runtime:
            return "tflite" in self.runtime
        parts = (self.version or "").split(".")
        return len(parts) > 1 and parts[0] == "2" and parts[1].isdigit() and int(parts[1]) >= 5

    @property
    def called(self) -> str:
        """``pi4 (aarch64)``."""
        return f"{self.device} ({self.abi})" if self.device else str(self.abi)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What a model computes.

    Attributes:
        macs: multiply-accumulates.
        depthwise: fraction of them in depthwise convolutions.
        dense: fraction in FULLY_CONNECTED and BATCH_MATMUL.
        recurrent: it has ops or loops with state.
    """

    macs: int
    depthwise: float
    dense: float
    recurrent: bool


_NO_TARGET = Effect(kind="unknown", because="no device was named; say --device NAME for a forecast of its latency")


def quantized(mode: str, shares: Shares, target: Target) -> Effect:
    """Latency of a numeric mode against float32."""
    if mode == "float32":
        return Effect(kind="none", because="a plain conversion")
    if mode == "float16":
        return Effect(kind="none", because="CPU kernels expand float16 weights to float32 when the model is loaded")
    if target.abi is None:
        return _NO_TARGET
    if mode == "dynamic":
        return _dynamic(shares, target)
    if mode == "int16x8":
        return Effect(
            kind="ratio",
            low=1.5,
            high=60.0,
            because="XNNPACK has no int16 kernels, so the runtime's plain ones do all the work",
        )
    if shares.recurrent:
        return Effect(
            kind="ratio",
            low=0.3,
            high=8.0,
            because="loops over time are not delegated to XNNPACK; an integer LSTM can be far slower than a float one",
        )
    if target.is_old and target.is_x86:
        return Effect(
            kind="ratio",
            low=1.0,
            high=12.0,
            because="tflite-runtime 2.14 does not delegate int8 to XNNPACK, and its own kernels are slow on x86",
        )
    if shares.macs < _FIXED:
        return Effect(
            kind="ratio",
            low=0.25,
            high=1.6,
            because=f"with {shares.macs:,} multiply-accumulates the fixed cost of an op hides what int8 gains",
        )
    if target.is_x86:
        high = 0.95 if shares.depthwise > _MUCH_DEPTHWISE else 0.75
        return Effect(kind="ratio", low=0.2, high=high, because="XNNPACK's int8 kernels use VNNI or AVX2")
    if target.is_arm64:
        return Effect(
            kind="ratio",
            low=0.25,
            high=0.85,
            because="XNNPACK's int8 kernels; they gain most where there are dot-product instructions",
        )
    return Effect(kind="ratio", low=0.3, high=1.1, because="32-bit ARM has int8 kernels without dot products")


def _dynamic(shares: Shares, target: Target) -> Effect:
    if target.is_old:
        return Effect(
            kind="unknown",
            because="tflite-runtime 2.14 may not load it: FULLY_CONNECTED with scales per channel is version 12",
        )
    if shares.depthwise > _MUCH_DEPTHWISE:
        return Effect(
            kind="ratio",
            low=0.8 if shares.macs < _FIXED else 1.0,
            high=4.0,
            because=f"depthwise convolutions ({shares.depthwise:.0%} of the multiply-accumulates) with int8 weights "
            "and float activations are not delegated to XNNPACK: slower than float",
        )
    if shares.recurrent or shares.macs < _FIXED:
        return Effect(kind="ratio", low=0.3, high=1.5, because="the fixed cost of an op, or a loop over time, hides it")
    return Effect(
        kind="ratio", low=0.25, high=0.9, because="dense and standard convolutions run on int8 kernels of XNNPACK"
    )


def pruned(fit: SparseFit, pattern: str, sparsity: float) -> Effect:
    """Latency of zeros that are stored dense, which is what pruning alone makes."""
    if not fit.fits:
        why = f"XNNPACK has no sparse kernels for this model: {fit.reasons[0]}"
    elif pattern == "2:4" or sparsity <= ENOUGH_ZEROS:
        zeros = 0.5 if pattern == "2:4" else sparsity
        why = f"XNNPACK takes sparse kernels above two thirds of zeros, and this is {zeros:.0%}"
    else:
        why = "the zeros are stored dense; the recipe xnnpack-sparse stores them so that XNNPACK skips them"
    return Effect(kind="none", because=f"the kernels multiply by the zeros too; {why}")


def sparse(fit: SparseFit, mode: str, target: Target) -> Effect:
    """Latency of a file in the sparse encoding against the same model stored dense."""
    if not fit.fits:
        return Effect(kind="none", because=f"XNNPACK has no sparse kernels for this form: {fit.reasons[0]}")
    if fit.zeros <= ENOUGH_ZEROS:
        return Effect(kind="none", because=f"{fit.zeros:.0%} of its weights are zero, and XNNPACK wants two thirds")
    if mode not in ("float32", "float16"):
        return Effect(kind="none", because="XNNPACK has sparse kernels for floats only")
    if target.abi is None:
        return _NO_TARGET
    if target.is_x86:
        return Effect(kind="none", because="on x86 XNNPACK runs the dense kernels: none was measured to be faster")
    if target.is_old:
        return Effect(kind="none", because="tflite-runtime does not take the sparse kernels; LiteRT 1.2 and later does")
    if not target.is_arm64:
        return Effect(kind="unknown", because="sparse kernels on 32-bit ARM were never measured")
    best = 1 - fit.macs_share * fit.zeros
    return Effect(
        kind="ratio",
        low=round(best * 0.7, 2),
        high=round(min(0.95, (1 - fit.macs_share) + fit.macs_share * (1 - fit.zeros) * 3.0), 2),
        because=f"{fit.macs_share:.0%} of the multiply-accumulates are in 1×1 convolutions with {fit.zeros:.0%} zeros, "
        "which XNNPACK skips on arm64",
    )


def smaller(ratio: float, shares: Shares, target: Target) -> Effect:
    """Latency after fewer multiply-accumulates: every runtime gains, though less than the arithmetic says."""
    if target.abi is None:
        return _NO_TARGET
    high = 1.15 if shares.macs < _FIXED else min(1.05, ratio + 0.45)
    return Effect(
        kind="ratio",
        low=round(ratio * 0.6, 2),
        high=round(high, 2),
        because=f"{1 - ratio:.0%} fewer multiply-accumulates, on every runtime",
    )


def memory(mode: str) -> Effect:
    """Peak memory that the interpreter adds, in a numeric mode against float32."""
    if mode in ("int8", "int8-float-io"):
        return Effect(kind="ratio", low=0.2, high=1.0, because="weights and activations of one byte instead of four")
    if mode == "int16x8":
        return Effect(kind="ratio", low=0.25, high=1.0, because="weights of one byte, activations of two")
    if mode == "dynamic":
        return Effect(kind="ratio", low=0.25, high=1.1, because="weights of one byte; activations stay float")
    if mode == "float16":
        return Effect(kind="ratio", low=0.7, high=1.15, because="float16 weights are expanded when the model is loaded")
    return Effect(kind="none", because="the weights are stored as they were")
