"""Results that the database could not take just now: files that wait until it can. And the raw samples' files."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from edgekit.core import files
from edgekit.core.errors import StoreError, UsageError
from edgekit.core.places import data_dir


def samples_path(result_id: str) -> Path:
    """Where the raw samples of a measurement are kept."""
    return data_dir() / "samples" / f"{result_id}.json.gz"


def waiting_paths() -> list[Path]:
    """The results that wait, oldest first."""
    return sorted((data_dir() / "pending").glob("*.json.gz"))


def waiting_path(result_id: str) -> Path:
    """Where a result waits."""
    return data_dir() / "pending" / f"{result_id}.json.gz"


def packed(value: Any) -> bytes:
    """JSON values as gzip, the same bytes for the same values."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return gzip.compress(text.encode(), mtime=0)


def unpacked(content: bytes, source: str) -> Any:
    """What :func:`packed` packed.

    Raises:
        StoreError: cut short or damaged.
    """
    try:
        return json.loads(gzip.decompress(content))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise StoreError(f"{source} is damaged: {error}", hint="restore it from a back-up, or delete it") from error


def keep(path: Path, content: bytes) -> None:
    """Writes a file whole.

    Raises:
        StoreError: the folder cannot be written to, or the disk is full.
    """
    try:
        files.write_bytes(path, content)
    except UsageError as error:
        raise StoreError(error.message, hint="make room or set EDGEKIT_HOME to another folder") from error
