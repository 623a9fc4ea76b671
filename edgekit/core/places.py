"""Where configuration, cache and store live: the platform's places, or all under ``EDGEKIT_HOME``."""

from __future__ import annotations

import os
from pathlib import Path


def _place(kind: str) -> Path:
    home = os.environ.get("EDGEKIT_HOME")
    if home:
        return Path(home).expanduser().absolute() / kind
    import platformdirs

    found = {
        "config": platformdirs.user_config_path,
        "cache": platformdirs.user_cache_path,
        "data": platformdirs.user_data_path,
    }[kind]("edgekit", appauthor=False)
    return Path(found)


def config_dir() -> Path:
    """Inventory, pinned host keys, the user's own profiles. Not created by asking."""
    return _place("config")


def cache_dir() -> Path:
    """Steps, runtimes: everything in here can be made again. Not created by asking."""
    return _place("cache")


def data_dir() -> Path:
    """The store of record and the samples it points to. Not created by asking."""
    return _place("data")
