"""The payload with one place of it changed, for boards that are to misbehave."""

from __future__ import annotations

from edgekit.runner.payload_file import pack, payload_sources


def changed_payload(module: str, place: str, change: str) -> bytes:
    """The pushed file, in which ``place`` of a module reads otherwise; it is there exactly once."""
    sources = payload_sources()
    text = sources[module].decode()
    assert text.count(place) == 1, f"{module} has changed"
    return pack({**sources, module: text.replace(place, change).encode()})
