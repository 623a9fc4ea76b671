"""One finding about samples: its name, what it weighs, and a phrase with the figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Weight = Literal["invalid", "unstable", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One finding about samples.

    Attributes:
        code: stable name for scripts, e.g. ``contended``.
        weight: ``invalid`` and ``unstable`` decide the verdict; ``note`` is only to be known.
        message: one phrase with the figure and its limit.
    """

    code: str
    weight: Weight
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def invalid(code: str, message: str) -> Reason:
    """It must not be used."""
    return Reason(code=code, weight="invalid", message=message)


def unstable(code: str, message: str) -> Reason:
    """It is shown, but not to be built on."""
    return Reason(code=code, weight="unstable", message=message)


def note(code: str, message: str) -> Reason:
    """It is only to be known."""
    return Reason(code=code, weight="note", message=message)
