"""What a check of a dataset finds: records without any dependency."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgekit.core.notice import Notice

Role = Literal["training", "representative", "evaluation"]
LabelKind = Literal["classes", "one-hot", "values"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLayers:
    """What the model does to its input first.

    Attributes:
        has_rescaling: it scales by itself (a Rescaling layer), so it expects raw values, mostly 0..255.
        has_normalization: it normalizes by itself (Normalization), so any range may be right.
    """

    has_rescaling: bool
    has_normalization: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRange:
    """Values of one input over all rows, after preprocessing."""

    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What one pass over a dataset found.

    Attributes:
        role: what the rows are for.
        count: rows read.
        distinct: different rows among the first 200,000.
        minimum, maximum: over all inputs that take real values; 0 where there is none.
        ranges: the same per input.
        saturated: per quantized input, which fraction of its values lies outside of what it can represent.
        label_kind: None without labels.
        classes: class → rows; empty where labels are values.
        notices: what the user should know.
    """

    role: Role
    count: int
    distinct: int
    minimum: float
    maximum: float
    ranges: dict[str, ValueRange] = field(default_factory=dict)
    saturated: dict[str, float] = field(default_factory=dict)
    label_kind: LabelKind | None = None
    classes: dict[str, int] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
