"""A selective quantization in sentences: what is kept, why, what it costs, and what could not be done."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.core.notice import Notice
from edgekit.optimize.selective.islands import Islands
from edgekit.optimize.selective.rows import Figures

_NAMED = 6
_MUCH = 0.25
_CHEAPER = 'equalize = true or ranges = "percentile" may mend the same layers and cost nothing later'


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What there is to say; see :class:`edgekit.optimize.selective.quantize.Selective`."""

    kept: tuple[tuple[str, str], ...]
    keep_as: str
    metric: str
    rows: int
    own_rows: bool
    mixed: bool
    max_drop: float
    unit: str
    met: bool | None
    all_kept: Figures | None
    plain: Figures
    result: Figures
    islands: Islands
    layers: int
    switched: bool
    cured: bool

    def notes(self) -> tuple[str, ...]:
        """Sentences for people."""
        found = [self._outcome()]
        if self.kept:
            found += [f"{name} is kept in {self.keep_as}: {why}" for name, why in self.kept[:_NAMED]]
            if len(self.kept) > _NAMED:
                found.append(f"and {len(self.kept) - _NAMED} layers more, see the details")
            found.append(
                f"they cost {self.islands.conversions} conversions more, {self.islands.macs_share:.1%} of the "
                f"multiply-accumulates outside of int8 and {self.islands.bytes_more:+,} bytes"
            )
        if self.switched:
            found.append("ai-edge-quantizer made it: TensorFlow's quantizer cannot mix 16-bit layers with int8")
        where = "training" if self.own_rows else "calibration"
        did = "compared" if self.met is None else "decided"
        found.append(f"{did} on {self.rows} {where} rows by {self.metric}; the evaluation rows had no part in it")
        return tuple(found)

    def notices(self) -> tuple[Notice, ...]:
        """What a person should act on."""
        allowed = amount(self.max_drop, self.unit)
        found = []
        if self.met is False:
            found.append(self._missed(allowed))
        step = 100 / self.rows
        counted = self.metric == "agreement" or self.metric.startswith("top-")
        if counted and self.met is not None and self.max_drop < step:
            found.append(
                Notice(
                    code="few-search-rows",
                    message=f"one of the {self.rows} search rows is {amount(step, self.unit)}: a drop of {allowed} "
                    "cannot be seen on them",
                    hint="give more training rows, or allow a larger --max-drop",
                )
            )
        if self.mixed and self.met is not None:
            found.append(
                Notice(
                    code="search-on-calibration-rows",
                    message="the layers were chosen on the rows that calibrated: the drop is flattered a little",
                    hint="give rows for training beside those for calibration",
                )
            )
        if self.kept and self.islands.macs_share > _MUCH:
            found.append(
                Notice(
                    code="much-out-of-int8",
                    message=f"{self.islands.macs_share:.0%} of the multiply-accumulates are not done in int8",
                    hint="" if self.cured else _CHEAPER,
                )
            )
        return tuple(found)

    def _missed(self, allowed: str) -> Notice:
        if self.all_kept is None or self.all_kept.within(self.max_drop):  # then a pass after the search broke it
            return Notice(
                code="max-drop-missed",
                message=f"{lost(self.result, self.unit)} are lost after bias correction, and {allowed} are allowed",
                hint="leave bias_correction out",
            )
        best = lost(self.all_kept, self.unit)
        return Notice(
            code="max-drop-missed",
            message=f"with every layer in {self.keep_as} {best} are lost, and {allowed} are allowed",
            hint='keep_as = "float32" is more exact'
            if self.keep_as == "int16"
            else "the loss is in the integer inputs and outputs: use --mode int8-float-io, or allow more",
        )

    def _outcome(self) -> str:
        allowed = amount(self.max_drop, self.unit)
        if self.met is None:
            return f"{len(self.kept)} of {self.layers} layers kept in {self.keep_as} as asked: {self._moved()}"
        if not self.kept and self.met:
            return f"no layer has to stay out of int8: {lost(self.plain, self.unit)} are lost, {allowed} are allowed"
        if not self.met and not self.kept:
            return f"no layer kept in {self.keep_as} makes it better: {lost(self.plain, self.unit)} are lost"
        missed = "" if self.met else f", which misses the {allowed} that are allowed"
        return f"{len(self.kept)} of {self.layers} layers kept in {self.keep_as}: {self._moved()}{missed}"

    def _moved(self) -> str:
        return f"{lost(self.plain, self.unit)} are lost in plain int8, {lost(self.result, self.unit)} now"


def reason(drop: float | None, snr_db: float | None, unit: str) -> str:
    """Why a layer is kept."""
    parts = []
    if drop is not None:
        parts.append(f"with it in int8 too {amount(drop, unit)} are lost")
    if snr_db is not None:
        parts.append(f"alone in int8 it leaves {snr_db:.0f} dB of signal to noise at the output")
    return "; ".join(parts) or "the model does not run with it in int8"


def lost(figures: Figures, unit: str) -> str:
    """The drop of a candidate; one that does not run has none."""
    return "all (it does not run)" if figures.drop is None else amount(figures.drop, unit)


def amount(value: float, unit: str) -> str:
    """``0.50 pp``; a gain is no loss."""
    return f"{max(value, 0.0) + 0.0:.2f} {unit}"
