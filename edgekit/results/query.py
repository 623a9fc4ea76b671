"""Which results are meant: kind, board, model, time, verdict and lab, as a condition of SQL and its parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from edgekit.core.errors import UsageError
from edgekit.core.suggest import unknown
from edgekit.results.record import KINDS, VERDICTS

_UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for; None: everything.

    Attributes:
        kind: one of ``KINDS``.
        device: a board; results of an emulated one are kept apart, as of ``pi4 (emulated)``.
        model: a name, or the beginning of a SHA-256.
        since, until: made at or after, and before, these moments.
        verdict: a measurement's, comparison's, gate's or self-test's.
        lab: whose store it was made in.
    """

    kind: str | None = None
    device: str | None = None
    model: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    verdict: str | None = None
    lab: str | None = None

    def condition(self) -> tuple[str, dict[str, str]]:
        """Text of ours for WHERE, and the values of its parameters.

        Raises:
            UsageError: no such kind or verdict.
        """
        if self.verdict is not None and self.verdict not in VERDICTS:
            message, hint = unknown("verdict", self.verdict, VERDICTS)
            raise UsageError(message, hint=hint)
        if self.kind is not None and self.kind not in KINDS:
            message, hint = unknown("kind of result", self.kind, KINDS)
            raise UsageError(message, hint=hint)
        filters: dict[str, tuple[str | None, dict[str, str]]] = {
            "kind = :kind": (self.kind, {}),
            "device = :device": (self.device, {}),
            "(model = :model OR model = :file OR model_sha256 LIKE :sha ESCAPE '!')": (
                self.model,
                {"file": f"{self.model}.tflite", "sha": prefix(str(self.model).lower())},
            ),
            "created >= :since": (_stored(self.since), {}),
            "created < :until": (_stored(self.until), {}),
            "verdict = :verdict": (self.verdict, {}),
            "lab = :lab": (self.lab, {}),
        }
        sql = ["1 = 1"]
        given: dict[str, str] = {}
        for text, (value, more) in filters.items():
            if value:
                sql.append(text)
                given |= {re.findall(r":(\w+)", text)[0]: value, **more}
        return " AND ".join(sql), given


def prefix(text: str) -> str:
    """A LIKE pattern for "begins with"."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"


def moment(text: str, *, option: str, end: bool = False) -> datetime:
    """``2026-11-01`` or ``2026-11-01T12:30`` in UTC, as results are listed; ``+01:00`` behind it says otherwise.

    Args:
        text: what the user wrote.
        option: for the message.
        end: a day alone means the end of it.

    Raises:
        UsageError: not a date.
    """
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is not a date", hint=f"{option} 2026-11-01, or {option} 2026-11-01T12:30 (UTC)"
        ) from None
    if end and re.fullmatch(r"\d{4}-?\d\d-?\d\d", text.strip()):
        found += timedelta(days=1)
    return found.astimezone(timezone.utc) if found.tzinfo else found.replace(tzinfo=timezone.utc)


def before_now(text: str, *, option: str, now: Callable[[], datetime] | None = None) -> datetime:
    """``7d`` → seven days ago; ``30min``, ``12h`` and ``2w`` are understood too.

    Raises:
        UsageError: not a length of time.
    """
    match = re.fullmatch(r"(\d{1,5})\s*(min|h|d|w)", text.strip())
    if match is None:
        raise UsageError(f"{option} {text!r} is not a length of time", hint=f"{option} 7d, 12h, 30min or 2w")
    present = now() if now else datetime.now(timezone.utc)
    try:
        return present - timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        return datetime.min.replace(tzinfo=timezone.utc)


def _stored(when: datetime | None) -> str | None:
    """As ``created`` is stored: such texts sort as their moments do."""
    return None if when is None else when.astimezone(timezone.utc).isoformat(timespec="microseconds")
