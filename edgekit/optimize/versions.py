"""Versions of everything that a result depends on, from the installed packages' records; imports none of them."""

from __future__ import annotations

import platform
from importlib import metadata

from edgekit.core.version import VERSION

_PACKAGES = (
    "ai-edge-litert",
    "ai-edge-quantizer",
    "keras",
    "numpy",
    "tensorflow",
    "tensorflow-model-optimization",
    "tf-keras",
)


def versions() -> dict[str, str]:
    """Package name → version; packages that are not installed are left out."""
    found = {"edgekit": VERSION, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
