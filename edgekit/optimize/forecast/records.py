"""What is expected of a step, and whether it came true: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A size that is expected.

    Attributes:
        value: bytes.
        error: how far off it may be, as a fraction of the value (0.05: 5 %).
    """

    value: int
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A count before and after a step.

    Attributes:
        before: of what the step starts from.
        after: of what it makes.
        error: how far off ``after`` may be, as a fraction.
    """

    before: int
    after: int
    error: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a step does to latency or memory.

    Attributes:
        kind: ``ratio``: after divided by before lies from ``low`` to ``high``; ``none``: it stays as it is;
            ``unknown``.
        low: of the ratio; None where there is none.
        high: likewise.
        because: the reason in one sentence.
    """

    kind: Literal["ratio", "none", "unknown"]
    low: float | None = None
    high: float | None = None
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What one step of a recipe will buy.

    Attributes:
        name: of the step.
        parameters: of the step.
        size_bytes: of the .tflite after it.
        gzip_bytes: of that after gzip -6: what a download weighs.
        macs: multiply-accumulates of one inference.
        parameters_count: values in the weights.
        latency: against the file before the step.
        memory: peak memory that the interpreter adds, against the file before the step.
        notes: what a person should read.
    """

    name: str
    parameters: dict[str, Any]
    size_bytes: Figure
    gzip_bytes: Figure
    macs: Change
    parameters_count: Change
    latency: Effect
    memory: Effect
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One figure of a forecast beside what was measured.

    Attributes:
        figure: ``size_bytes``, ``gzip_bytes``, ``macs``, ``parameters_count``, ``latency_ratio`` or ``memory_ratio``.
        expected: the value, or the range of ratios; None where the forecast was "unknown".
        measured: what came out.
        off: how far from the expected value, or from the nearer end of the range, as a fraction; 0 within the range.
        agrees: within the stated error or range; None where nothing was forecast.
    """

    figure: str
    expected: tuple[float, ...] | None
    measured: float
    off: float
    agrees: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A forecast and what was measured.

    Attributes:
        name: of the step.
        agrees: every figure that was forecast and measured does.
        verdicts: by figure.
        notes: a sentence for each figure that does not.
    """

    name: str
    agrees: bool
    verdicts: tuple[Verdict, ...] = field(default=())
    notes: tuple[str, ...] = ()
