"""What a value may be beyond its type, said once per field: checked when it is read, exported as JSON Schema."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

DIALECT = "http://json-schema.org/draft-07/schema#"  # the newest that editors' TOML plug-ins all read

# no control characters, no line ends, nothing that turns the direction of writing: such text steers a terminal or a
# reader's eye. Written so that Python and ECMAScript read it alike.
TEXT = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+"


def limits(*, means: str = "", **keywords: Any) -> dict[str, Any]:
    """Metadata of a dataclass field: JSON Schema's own keywords, and what they mean in words.

    Understood: minimum, maximum, pattern (of the whole text), maxLength, minItems, uniqueItems, and items (keywords for
    each item).
    """
    return {"schema": keywords, "means": means}


def violation(value: Any, keywords: Mapping[str, Any]) -> tuple[str, Any, str] | None:
    """Where in ``value`` (``[2]``, or empty), what stands there, and what was expected; None: it is as it should be."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            found = violation(item, keywords.get("items", {}))
            if found:
                return f"[{number}]{found[0]}", *found[1:]
        if len(value) < keywords.get("minItems", 0):
            return "", value, f"at least {keywords['minItems']}"
        if keywords.get("uniqueItems") and len(set(value)) != len(value):
            return "", value, "each only once"
    elif isinstance(value, str):
        if "pattern" in keywords and not re.fullmatch(keywords["pattern"], value):
            return "", value, ""
        if len(value) > keywords.get("maxLength", len(value)):
            return "", value, f"at most {keywords['maxLength']} characters"
    elif isinstance(value, (int, float)):
        low, high = keywords.get("minimum", value), keywords.get("maximum", value)
        if not low <= value <= high:  # false for NaN too
            return "", value, f"at least {low}" if value < low else f"at most {high}"
    return None


def json_schema(kind: type[Any], *, title: str, without: Sequence[str] = ()) -> dict[str, Any]:
    """JSON Schema of a dataclass, for documents that :func:`edgekit.core.decode.from_json` reads.

    Descriptions come from the ``Attributes:`` of the docstrings. ``without``: fields that the document does not have.
    """
    definitions: dict[str, Any] = {}
    top = _record(kind, definitions, without)
    head = {"$schema": DIALECT, "title": title}
    return {**head, **top, **({"definitions": definitions} if definitions else {})}


def _record(kind: type[Any], definitions: dict[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    told = _descriptions(kind)
    properties, required = {}, []
    for field in dataclasses.fields(kind):
        if field.name in without or not field.init:
            continue
        keywords = _exported(field.metadata.get("schema", {}))
        shape = _merged(_shape(hints[field.name], definitions), keywords)
        if field.name in told:
            shape = {"description": told[field.name], **shape}
        if isinstance(field.default, (str, int, float)):
            shape["default"] = field.default
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
        properties[field.name] = shape
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        found["required"] = required
    summary = (kind.__doc__ or "").strip().splitlines()
    return {"description": summary[0], **found} if summary else found


def _shape(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = {}
            definitions[kind.__name__] = _record(kind, definitions)
        return {"allOf": [{"$ref": f"#/definitions/{kind.__name__}"}]}  # draft 7 ignores what stands beside a $ref
    if origin in (typing.Union, types.UnionType):
        choices = [
            choice for choice in inner if choice is not type(None)
        ]  # TOML has no null: an optional key is left out
        shapes = [_shape(choice, definitions) for choice in choices]
        return shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    if origin is typing.Literal:
        return {"enum": list(inner)}
    if origin in (tuple, list):
        return {"type": "array", "items": _shape(inner[0], definitions)}
    names = {str: "string", int: "integer", float: "number", bool: "boolean"}
    if kind not in names:
        raise TypeError(f"no JSON Schema for {kind!r}")
    return {"type": names[kind]}


def _exported(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords as JSON Schema has them: its patterns match anywhere unless anchored."""
    found = {}
    for key, value in keywords.items():
        if key == "pattern":
            value = f"^(?:{value})$"
        elif key == "items":
            value = _exported(value)
        found[key] = value
    return found


def _merged(shape: dict[str, Any], keywords: dict[str, Any]) -> dict[str, Any]:
    items = keywords.pop("items", None)
    found = {**shape, **keywords}
    return {**found, "items": {**shape["items"], **items}} if items else found


def _descriptions(kind: type[Any]) -> dict[str, str]:
    """``Attributes:`` of a docstring, one text each; ``a, b: …`` is said of both."""
    text = (kind.__doc__ or "").partition("Attributes:")[2]
    found = {}
    for names, told in re.findall(r"^\s*([a-z_]+(?:, [a-z_]+)*): (.+(?:\n {8,}\s+.+)*)", text, flags=re.MULTILINE):
        for name in names.split(", "):
            found[name] = " ".join(told.split())
    return found
