"""Typed decoding: JSON and TOML values into frozen dataclasses, and back.

Every error names the place in the document ("cores[1].max_mhz"), what was expected and what stood there; an
unknown key gets the nearest known one.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from edgekit.core.errors import EdgekitError, UsageError
from edgekit.core.schema import violation
from edgekit.core.suggest import nearest

T = TypeVar("T")


def from_json(
    kind: type[T],
    value: Any,
    *,
    source: str,
    error: type[EdgekitError] = UsageError,
    lenient: bool = False,
    line_of: Callable[[str], int | None] | None = None,
) -> T:
    """A record of class ``kind`` from a decoded JSON or TOML value.

    Args:
        kind: a dataclass, or any type that its fields may have (list, dict, tuple, Literal, optional, scalar).
        value: what ``json.loads`` or ``tomllib.loads`` gave.
        source: what the value came from, for the message ("edgekit.toml").
        error: the class of the error to raise.
        lenient: ignore unknown keys (documents that a newer edgekit wrote).
        line_of: the line of a place in the document, for the message ("edgekit.toml:3").

    Raises:
        EdgekitError: of class ``error``; the value does not fit.
    """
    try:
        return typing.cast(T, _decode(kind, value, "", lenient))
    except _Mismatch as mismatch:
        line = line_of(mismatch.place) if line_of and mismatch.place else None
        source = f"{source}:{line}" if line else source
        place = f" at {_plain(mismatch.place)}" if mismatch.place else ""
        raise error(f"{source}{place}: {mismatch.message}", hint=mismatch.hint) from None


def to_json(value: Any) -> Any:
    """JSON values from records, tuples, mappings and scalars."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [to_json(item) for item in value]
    if hasattr(value, "__fspath__"):
        return str(value)
    if hasattr(value, "item"):  # a numpy scalar
        return value.item()
    raise TypeError(f"no JSON form for {type(value).__name__}")


class _Mismatch(Exception):
    def __init__(self, place: str, message: str, hint: str | None = None) -> None:
        self.place, self.message, self.hint = place, message, hint


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, value: Any, place: str, lenient: bool) -> Any:
    origin = typing.get_origin(kind)
    if kind is Any or kind is object:
        return value
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, place, lenient)
    if origin in (typing.Union, types.UnionType):
        return _union(typing.get_args(kind), value, place, lenient)
    if origin is typing.Literal:
        return _literal(typing.get_args(kind), value, place)
    if origin in (list, tuple, Sequence):
        return _sequence(kind, origin, value, place, lenient)
    if origin in (dict, Mapping):
        return _mapping(kind, value, place, lenient)
    return _scalar(kind, value, place)


def _record(kind: Any, value: Any, place: str, lenient: bool) -> Any:
    if not isinstance(value, Mapping):
        raise _Mismatch(place, f"expected a table, found {_shown(value)}")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for key in value:
        if key not in fields and not lenient:
            wanted = [name for name, field in fields.items() if not field.metadata.get("given")]  # by a document
            guess = nearest(str(key), wanted)
            raise _Mismatch(
                _join(place, str(key)),
                f"unknown key {key!r}",
                f"did you mean {guess!r}?" if guess else f"known keys: {', '.join(wanted)}",
            )
    given = {}
    for name, field in fields.items():
        if name in value:
            given[name] = _decode(_hints(kind)[name], value[name], _join(place, name), lenient)
            _check(given[name], field.metadata, _join(place, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _Mismatch(place, f"the key {name!r} is missing")
    return kind(**given)


def _check(value: Any, metadata: Mapping[str, Any], place: str) -> None:
    """Values that have the right type and still make no sense; see ``edgekit.core.schema.limits``."""
    found = violation(value, metadata["schema"]) if "schema" in metadata else None
    if found:
        where, what, expected = found
        expected = metadata["means"] or expected
        raise _Mismatch(f"{place}{where}", f"{_shown(what)} makes no sense here; expected {expected}", None)


def _union(choices: tuple[Any, ...], value: Any, place: str, lenient: bool) -> Any:
    if value is None and type(None) in choices:
        return None
    failures = []
    for choice in (c for c in choices if c is not type(None)):
        try:
            return _decode(choice, value, place, lenient)
        except _Mismatch as mismatch:
            failures.append(mismatch)
    deepest = max(failures, key=lambda failure: len(failure.place))
    raise deepest


def _literal(choices: tuple[Any, ...], value: Any, place: str) -> Any:
    for choice in choices:
        if value == choice and type(value) is type(choice):
            return choice
    guess = nearest(str(value), [str(choice) for choice in choices])
    raise _Mismatch(
        place,
        f"expected one of {', '.join(map(str, choices))}; found {_shown(value)}",
        f"did you mean {guess!r}?" if guess else None,
    )


def _sequence(kind: Any, origin: Any, value: Any, place: str, lenient: bool) -> Any:
    if not isinstance(value, (list, tuple)):
        raise _Mismatch(place, f"expected a list, found {_shown(value)}")
    inner = typing.get_args(kind)
    if origin is tuple and not (len(inner) == 2 and inner[1] is Ellipsis):
        if len(inner) != len(value):
            raise _Mismatch(place, f"expected {len(inner)} values, found {len(value)}")
        return tuple(_decode(k, v, f"{place}[{i}]", lenient) for i, (k, v) in enumerate(zip(inner, value)))
    items = [_decode(inner[0], item, f"{place}[{i}]", lenient) for i, item in enumerate(value)]
    return items if origin is list else tuple(items)


def _mapping(kind: Any, value: Any, place: str, lenient: bool) -> Any:
    if not isinstance(value, Mapping):
        raise _Mismatch(place, f"expected a table, found {_shown(value)}")
    inner = typing.get_args(kind)[1]
    return {str(key): _decode(inner, item, _join(place, str(key)), lenient) for key, item in value.items()}


def _scalar(kind: Any, value: Any, place: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (int, float, str, bool):
        if type(value) is kind or (kind is str and isinstance(value, str)):
            return value
        words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        raise _Mismatch(place, f"expected {words[kind]}, found {_shown(value)}")
    if hasattr(kind, "__fspath__") and isinstance(value, str):
        return kind(value)
    if isinstance(value, kind):
        return value
    raise _Mismatch(place, f"expected {kind.__name__}, found {_shown(value)}")


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _plain(place: str) -> str:
    """A place whose keys may be anybody's, without characters that would steer a terminal."""
    return place if place.isprintable() else repr(place)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
