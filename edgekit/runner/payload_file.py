"""The payload as the one file that boards get: its modules in a zip that Python starts; the same bytes everywhere."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

#: its name on a board
PAYLOAD_NAME = "payload.pyz"

_START = b"from payload.main import main\n\nmain()\n"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # a zip knows no earlier time


def payload_sources() -> dict[str, bytes]:
    """The modules of :mod:`edgekit.runner.payload`: file name → content."""
    return {path.name: path.read_bytes() for path in sorted((Path(__file__).parent / "payload").glob("*.py"))}


def pack(sources: Mapping[str, bytes]) -> bytes:
    """Modules as one file that ``python3 FILE`` starts: not compressed, since a board's Python may lack zlib."""
    content = {"__main__.py": _START, **{f"payload/{name}": source for name, source in sources.items()}}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, date_time=_LONG_AGO)
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content[name])
    return packed.getvalue()


@cache
def payload_content() -> bytes:
    """What is pushed to a board as :data:`PAYLOAD_NAME`."""
    return pack(payload_sources())


def write_payload(folder: Path) -> Path:
    """Puts the payload into a folder of this machine and returns where it is."""
    path = folder / PAYLOAD_NAME
    path.write_bytes(payload_content())
    return path
