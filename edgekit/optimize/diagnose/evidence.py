"""All that a diagnosis found, as one value: what the recommendations are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgekit.optimize.diagnose.fusion import FusionCheck
from edgekit.optimize.diagnose.layers import LayerShare
from edgekit.optimize.diagnose.spectrum import LayerSpectrum

LITTLE_PP = 1.0  # percentage points that are next to nothing before fine-tuning
_MUCH_PP = 10.0  # that fine-tuning may not bring back
_NOISY_DB = 20.0  # below this the noise of int8 is more than a hundredth of a signal's power
_SUSPECTS = 3
_MUCH_WORK = 0.3
WORTH_BYTES = 10_000  # below this nobody downloads or stores anything faster
USUAL_RATIO, _DEEPEST = 0.3, 0.6  # of the filters of a layer


@dataclass(frozen=True, slots=True, kw_only=True)
class CutSensitivity:
    """What removing filters of one layer alone costs, without fine-tuning.

    Attributes:
        layer: name; a recipe's ``skip`` and ``ratios`` know it by this.
        layers: all whose filters go together with it, as a residual connection wants it; itself among them.
        ratios: fractions of its filters that were removed, rising.
        drops: of the score at each of them, in percentage points (percent for errors); negative is a gain.
    """

    layer: str
    layers: tuple[str, ...]
    ratios: tuple[float, ...]
    drops: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationSensitivity:
    """What int8 does to one layer.

    Attributes:
        layer: name.
        snr_db: signal to noise at the model's output with only this layer in int8, dB; None where there is no noise.
    """

    layer: str
    snr_db: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Loss:
    """What int8 throughout does to the model.

    Attributes:
        drop: of the score, in ``unit``; None where the quantized model gives no numbers.
        unit: ``pp``, or ``%`` of the float score.
        metric: of the score.
        rows: that it was found on.
        snr_db: signal to noise of the outputs.
    """

    drop: float | None
    unit: str
    metric: str
    rows: int
    snr_db: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found out about a model.

    Attributes:
        model: name of its file.
        library: ``keras``, ``tf_keras``, ``tensorflow``; empty for a .tflite.
        size_bytes: of the float32 .tflite.
        shares: by layer.
        fusion: what was folded.
        spectra: of the weights; empty where there is no Keras model.
        cuts: sensitivity to removing filters; empty where no data were given.
        quantization: sensitivity to int8, most sensitive first; likewise.
        int8: what int8 throughout loses; None likewise.
        whole_ns: of one run on the device; None without one.
        emulated: the device is: its times are named so.
        labels: the data have labels; None: no data were given.
        integer: the model is quantized already.
    """

    model: str
    library: str
    size_bytes: int
    shares: tuple[LayerShare, ...]
    fusion: FusionCheck
    spectra: tuple[LayerSpectrum, ...] = ()
    cuts: tuple[CutSensitivity, ...] = ()
    quantization: tuple[QuantizationSensitivity, ...] = ()
    int8: Int8Loss | None = None
    whole_ns: float | None = None
    emulated: bool = False
    labels: bool | None = None
    integer: bool = False

    @property
    def timed(self) -> bool:
        """Whether a device was asked."""
        return self.whole_ns is not None

    @property
    def basis(self) -> str:
        """What shares of work are measured by, in words."""
        if not self.timed:
            return "multiply-accumulates"
        return "emulated time" if self.emulated else "time"

    @property
    def lies_in(self) -> str:
        """``of the time is in``: what goes between a fraction of the work and the layers that have it."""
        return f"of the {self.basis} {'is' if self.timed else 'are'} in"

    def work(self, share: LayerShare) -> float:
        """A layer's time where a device was asked, else its multiply-accumulates."""
        return (share.elapsed_ns or 0.0) if self.timed else float(share.macs or 0)

    def part(self, chosen: Callable[[LayerShare], bool]) -> float:
        """Fraction of the work in some of the layers, 0 to 1."""
        return _part([(self.work(share), chosen(share)) for share in self.shares])

    def bytes_part(self, chosen: Callable[[LayerShare], bool]) -> float:
        """Fraction of the bytes in some of the layers, 0 to 1."""
        return _part([(float(share.bytes), chosen(share)) for share in self.shares])


def _part(rows: list[tuple[float, bool]]) -> float:
    total = sum(value for value, _ in rows)
    return sum(value for value, chosen in rows if chosen) / total if total else 0.0


def is_convolution(share: LayerShare) -> bool:
    """One whose filters can be removed: not depthwise, which follows the layer before it."""
    return "convolution" in share.kind and "depthwise" not in share.kind


def sensitive_to_cuts(found: Evidence) -> tuple[str, ...]:
    """Layers that lose more than fine-tuning may bring back at the smallest ratio that was tried."""
    return tuple(cut.layer for cut in found.cuts if cut.drops and cut.drops[0] > _MUCH_PP)


def deepest(cut: CutSensitivity) -> float | None:
    """The largest ratio up to which one layer alone loses next to nothing; None where even the usual one costs more."""
    cheap = 0.0
    for ratio, drop in zip(cut.ratios, cut.drops):
        if drop > LITTLE_PP or ratio > _DEEPEST:
            break
        cheap = ratio
    return cheap if cheap > USUAL_RATIO else None


def int8_hurts(found: Evidence) -> bool:
    """Whether int8 throughout costs more than can be shrugged off."""
    return found.int8 is not None and (found.int8.drop is None or found.int8.drop > LITTLE_PP / 2)


def prefers_dynamic(found: Evidence) -> bool:
    """Whether recurrent layers are much of the model and int8 was not seen to be good for it."""
    recurrent = [share for share in found.shares if share.kind == "recurrent"]
    much = found.part(lambda share: share.kind == "recurrent") >= _MUCH_WORK or any(s.macs is None for s in recurrent)
    return bool(recurrent) and much and (found.int8 is None or int8_hurts(found))


def noisy_in_int8(found: Evidence) -> tuple[str, ...]:
    """Layers that int8 makes the loudest noise in, where it hurts the model; the loudest first."""
    if not int8_hurts(found):
        return ()
    noisy = [item.layer for item in found.quantization if item.snr_db is not None and item.snr_db < _NOISY_DB]
    return tuple(noisy or [item.layer for item in found.quantization[:_SUSPECTS]])


def like_random(found: Evidence) -> tuple[str, ...]:
    """Layers in whose spectrum nothing shows that was learnt."""
    return tuple(dict.fromkeys(item.layer for item in found.spectra if item.verdict == "like random"))


def is_untrained(found: Evidence) -> bool:
    """Whether all layers with a spectrum look like random ones."""
    fitted = [item for item in found.spectra if item.law is not None]
    return len(fitted) > 1 and all(item.verdict == "like random" for item in fitted)
