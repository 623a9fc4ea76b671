"""Notices: what the user should know and can act on, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A warning as a value.

    Attributes:
        code: stable name for scripts, e.g. ``few-representative-samples``.
        message: one sentence.
        hint: the option or the edit that helps; empty where nothing does.
    """

    code: str
    message: str
    hint: str = ""
