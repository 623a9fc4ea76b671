"""A result as one line of JSON, with its raw samples, that stands alone; and back, trusting nothing in it."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any, NoReturn

from edgekit.core.decode import to_json
from edgekit.core.errors import StoreError
from edgekit.results import figures, rows
from edgekit.results.record import KINDS, StoredResult, storable

SCHEMA = "edgekit.result/1"
MOST_LINE_BYTES = 256 << 20
_MOST_SAMPLES_BYTES = 128 << 20
_HERE = ("samples_file", "lab")  # what is another thing in every store
_SHAPES = {
    "id": r"[0-9a-f]{12}",
    "edgekit": r"[ -~]{1,32}",
    "model_sha256": r"[0-9a-f]{64}",
    "verdict": r"[a-z-]{1,16}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A result on its way into a store.

    Attributes:
        row, details: what is inserted; ``details`` are the columns of its kind.
        samples: base64 of gzip; None: it has none.
        fingerprint: of everything that must be the same in every store; the samples are not in it.
        source: where it came from, for messages: ``lab.jsonl, line 3``.
    """

    row: dict[str, Any]
    details: dict[str, Any]
    samples: str | None
    fingerprint: str
    source: str


def to_line(result: StoredResult, samples: bytes | None) -> str:
    """One line of JSON, without its end.

    Args:
        result: to be written.
        samples: its raw samples as gzip; None: it has none, or they are lost.
    """
    document = {name: value for name, value in result.document.items() if name != "samples_file"}
    body = {
        "result": {**to_json(result), "document": document},
        "samples_gzip_base64": None if samples is None else base64.b64encode(samples).decode(),
    }
    head = {"schema": SCHEMA, "sha256": _digest(body)}
    return json.dumps({**head, **body}, allow_nan=False, separators=(",", ":"))


def from_line(line: bytes, *, source: str, lab: str) -> Entry:
    """What :func:`to_line` wrote.

    Args:
        line: with or without its end.
        source: where it came from, for messages.
        lab: whose results they are, where the line does not say.

    Raises:
        StoreError: cut short, changed, of a newer edgekit, or not a result at all.
    """
    try:
        value = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"not a line of JSON ({str(error)[:100]})") from error
    if not isinstance(value, dict) or not isinstance(value.get("result"), dict):
        raise StoreError("no result in it")
    if value.get("schema") != SCHEMA:
        raise StoreError(f"of schema {str(value.get('schema'))[:40]!r}, not {SCHEMA}")
    samples = value.get("samples_gzip_base64")
    if _digest({"result": value["result"], "samples_gzip_base64": samples}) != value.get("sha256"):
        raise StoreError("changed or damaged since it was written: its SHA-256 is another one")
    return entry_of(value["result"], samples, source=source, lab=lab)


def entry_of(result: Mapping[str, Any], samples: Any, *, source: str, lab: str) -> Entry:
    """A result's JSON values and its samples (base64 of gzip), checked.

    Raises:
        StoreError: it is none.
    """
    for name, shape in _SHAPES.items():
        value = result.get(name)
        if not (value is None and name == "verdict") and not (isinstance(value, str) and re.fullmatch(shape, value)):
            raise StoreError(f"its {name} makes no sense: {str(value)[:40]!r}")
    kind, model, device, document = (result.get(name) for name in ("kind", "model", "device", "document"))
    if kind not in KINDS:
        raise StoreError(f"its kind {str(kind)[:40]!r} is unknown here; a newer edgekit may know it")
    if not isinstance(model, str) or not (device is None or isinstance(device, str)) or not isinstance(document, dict):
        raise StoreError("its model, device or document makes no sense")
    document = storable({**document, "samples_file": None} if kind == "measurement" else document)
    try:
        created = datetime.fromisoformat(str(result.get("created"))).astimezone(timezone.utc)
        details = figures.OF_KIND[kind](document) if kind in figures.OF_KIND else {}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StoreError(f"a {kind} without what every {kind} has ({type(error).__name__}: {error})") from error
    if not all(map(_fits, details.values())):
        raise StoreError("figures that are none")
    own = result.get("lab")
    row = {
        **{name: rows.text(result.get(name)) for name in ("id", "kind", "edgekit", "model_sha256", "verdict")},
        "created": created.isoformat(timespec="microseconds"),
        "device": rows.text(device),
        "model": rows.text(model),
        "document": json.dumps(document, allow_nan=False),
        "lab": rows.text(own if isinstance(own, str) and own else lab),
    }
    if samples is not None:
        check_samples(samples)
    return Entry(
        row=row,
        details={name: rows.text(value) for name, value in details.items()},
        samples=samples,
        fingerprint=fingerprint({**row, "document": document}),
        source=source,
    )


def fingerprint(result: Mapping[str, Any]) -> str:
    """A hash of what must be the same in every store."""
    document = {name: value for name, value in result["document"].items() if name not in _HERE}
    return _digest({**{name: value for name, value in result.items() if name not in _HERE}, "document": document})


def check_samples(text: Any) -> None:
    """Whether samples can be unpacked, within bounds.

    Raises:
        StoreError: they are damaged, or a bomb.
    """
    try:
        unpacker = zlib.decompressobj(wbits=31)
        content = unpacker.decompress(base64.b64decode(text, validate=True), _MOST_SAMPLES_BYTES)
        if not unpacker.eof:
            raise StoreError("samples that are cut short, or larger than any")
        value = json.loads(content)
    except (TypeError, ValueError, binascii.Error, zlib.error, RecursionError) as error:
        raise StoreError(f"damaged samples ({error})") from error
    if not isinstance(value, dict) or not isinstance(value.get("samples"), dict):
        raise StoreError("samples that are none")


def _digest(value: Any) -> str:
    """SHA-256 over values, however their JSON is written: 2.0 is 2, and the order of keys does not matter."""
    return sha256(json.dumps(_plain(value), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _fits(value: Any) -> bool:
    """Whether a database can take it as a column."""
    if isinstance(value, int):
        return abs(value) < 2**63
    return value is None or isinstance(value, float) or (isinstance(value, str) and len(value) <= 4096)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
