"""What a dataset is and what is done to its values: records that travel between processes as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgekit.core.errors import DataError, UsageError
from edgekit.core.notice import Notice

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
KINDS = ".npz, .npy, .csv, .csv.gz, a folder of images, or module:function"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """What happens to the raw values: ``function`` first, then ``x * scale``, then ``(x - mean) / std``.

    Attributes:
        scale: multiplier, e.g. 1/255.
        mean: subtracted; one value, or one per channel.
        std: divided by; one value, or one per channel.
        function: ``module:function`` of the user's; takes one sample (an array; of a model with several inputs a
            dict of arrays) and returns the same kind.
    """

    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    function: str | None = None

    @property
    def arithmetic(self) -> bool:
        """Whether values are scaled or shifted."""
        return self.scale is not None or self.mean is not None or self.std is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """Where samples come from and what is done to them.

    Attributes:
        source: ``file.npz``, ``file.npy``, a folder of images, ``file.csv`` (``.gz`` too) or ``module:function``.
        preprocessing: see there.
        rows: the rows to use, by position in the source; None: all.
        part: ``train``, ``test`` or ``val`` of a source that has parts (``x_train`` and ``x_test`` of one .npz,
            ``train/`` and ``test/`` of a folder); None: its test part where it has one.
        image_size: (height, width) that images are resized to where no model says it.
        channels: 1, 3 or 4, likewise.
    """

    source: str
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    rows: tuple[int, ...] | None = None
    part: str | None = None
    image_size: tuple[int, int] | None = None
    channels: int | None = None

    def kind(self) -> Literal["path", "function"]:
        """Whether the source is a file or folder that is there, or a function of the user's.

        Raises:
            DataError: neither.
        """
        if Path(self.source).expanduser().exists():
            return "path"
        if _FUNCTION.fullmatch(self.source):
            return "function"
        raise DataError(f"no such file, folder or function: {self.source}", hint=f"a dataset is one of {KINDS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChoice:
    """What a user gave: one dataset for all roles, or one for some of them; all with the same preprocessing."""

    data: DataSpec | None = None
    representative: DataSpec | None = None
    evaluation: DataSpec | None = None
    training: DataSpec | None = None

    @property
    def preprocessing(self) -> Preprocessing | None:
        """None where nothing was given."""
        given = self.data or self.evaluation or self.representative or self.training
        return given.preprocessing if given else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """The rows of each role.

    Attributes:
        training: fine-tunes; None where nothing trains.
        representative: calibrates; None where nothing does.
        evaluation: scores; None where there is nothing to score with.
        notices: how the rows were chosen, and overlaps.
    """

    training: DataSpec | None = None
    representative: DataSpec | None = None
    evaluation: DataSpec | None = None
    notices: tuple[Notice, ...] = ()


def data_spec(
    source: str,
    *,
    scale: str | float | None = None,
    mean: str | float | Sequence[float] | None = None,
    std: str | float | Sequence[float] | None = None,
) -> DataSpec:
    """A spec from what a user writes: ``data_spec("x.npz", scale="1/255", mean="0.485,0.456,0.406")``.

    Raises:
        UsageError: an option that is no number.
    """
    return DataSpec(
        source=str(source),
        preprocessing=Preprocessing(
            scale=None if scale is None else parse_scale(str(scale)),
            mean=parse_numbers(mean, option="--mean"),
            std=parse_numbers(std, option="--std"),
        ),
    )


def parse_scale(text: str) -> float:
    """``"0.5"`` → 0.5; ``"1/255"`` → 0.00392….

    Raises:
        UsageError: no number, zero, or not finite.
    """
    top, slash, bottom = text.partition("/")
    try:
        value = float(top) / float(bottom) if slash else float(top)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value) or value == 0:
        raise UsageError(f"--scale {text!r} is not a number", hint="write a multiplier: --scale 1/255 or --scale 0.5")
    return value


def parse_numbers(value: str | float | Sequence[float] | None, *, option: str) -> tuple[float, ...] | None:
    """``"0.485,0.456,0.406"`` → three floats; a number or a sequence is taken as it is; None stays None.

    Raises:
        UsageError: not numbers; a zero in ``--std``.
    """
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else [value] if isinstance(value, (int, float)) else value
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not all(math.isfinite(n) for n in numbers):
        raise UsageError(
            f"{option} {value!r} is not a number", hint=f"one value, or one per channel: {option} 0.5,0.5,0.5"
        )
    if option == "--std" and 0 in numbers:
        raise UsageError("--std must not be 0: values are divided by it", hint="leave --std out, or use 1")
    return numbers
