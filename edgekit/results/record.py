"""One kept result, whatever it is of."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal["measurement", "artifact", "deployment", "comparison", "gate", "profile", "selftest"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: of measurements, of comparisons, of gates and self-tests
VERDICTS = ("valid", "unstable", "invalid", "faster", "slower", "equivalent", "inconclusive", "passed", "failed")

_SECRET_NAME = re.compile(r"pass(word|phrase|wd)|secret|token|private_?key|credential", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(\w://[^/\s:@]*):[^@/\s]+@")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """A row of the store.

    Attributes:
        id: 12 hexadecimal digits; any unambiguous beginning finds it.
        kind: one of ``KINDS``.
        created: ISO 8601 in UTC.
        edgekit: version that made it.
        device: board's name, with ``(emulated)`` where it is none; None for artifacts.
        model: for people.
        model_sha256: of the .tflite.
        verdict: of a measurement, comparison, gate or self-test.
        document: the whole result as JSON values.
        lab: whose store it was made in; None: this one.
    """

    id: str
    kind: Kind
    created: str
    edgekit: str
    device: str | None
    model: str
    model_sha256: str
    verdict: str | None
    document: dict[str, Any]
    lab: str | None = None


def is_selftest(document: Mapping[str, Any]) -> bool:
    """Whether a measurement's processes are those of a self-test, which says nothing of the user's models."""
    return (document.get("plan") or {}).get("name") == "selftest"


def storable(value: Any) -> Any:
    """JSON values with everything masked that is named or looks like a secret, and null for NaN and infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {
            key: "***" if item and isinstance(item, str) and _SECRET_NAME.search(key) else storable(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value]
    if isinstance(value, str):
        return _PRIVATE_KEY.sub("***", _URL_PASSWORD.sub(r"\1:***@", value))
    return value
