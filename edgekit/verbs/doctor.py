"""doctor: what is installed here, what is missing, and the command that adds it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib import metadata

from edgekit.core import install


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that edgekit uses.

    Attributes:
        name: of the package or program.
        found: its version or path; None where it is missing.
        needed_for: what does not work without it.
        fix: the command that adds it; empty where nothing is missing.
        required: edgekit does nothing useful without it.
    """

    name: str
    found: str | None
    needed_for: str
    fix: str
    required: bool


_PACKAGES = (
    ("ai-edge-litert", "scoring, auditing and benchmarking .tflite files", "pip install edgekit", True),
    ("paramiko", "boards over SSH", "pip install edgekit", True),
    ("sqlalchemy", "the store of results", "pip install edgekit", True),
    ("tensorflow", "converting, pruning and quantizing Keras models and SavedModels", install.OPTIMIZE, False),
    ("keras", "models saved by Keras 3", install.OPTIMIZE, False),
    ("tf-keras", "models saved by Keras 2 (tf_keras), and pruning", install.OPTIMIZE, False),
    ("tensorflow-model-optimization", "pruning", install.OPTIMIZE, False),
    ("h5py", "models in .h5 files", install.OPTIMIZE, False),
    ("adbutils", "Android devices over adb", install.ANDROID, False),
    ("ziglang", "building the runner for boards without Python", install.NATIVE, False),
    ("ai-edge-quantizer", "quantizing a float .tflite without TensorFlow", install.QUANTIZE, False),
)
_PROGRAMS = (
    ("ssh", "reading ssh_config exactly as OpenSSH does", "apt-get install openssh-client"),
    ("adb", "Android devices over adb (adbutils brings one for x86-64)", "apt-get install adb"),
)


def doctor() -> tuple[Finding, ...]:
    """Everything that edgekit uses on this machine. Imports none of it."""
    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 10) <= sys.version_info[:2] <= (3, 13)
    findings = [
        Finding(
            name="python",
            found=version if supported else None,
            needed_for="edgekit (3.10 to 3.13; optimizing needs 3.11)",
            fix="" if supported else f"this is {version}: install Python 3.11, 3.12 or 3.13",
            required=True,
        )
    ]
    for package, purpose, fix, required in _PACKAGES:
        found = _version(package)
        findings.append(
            Finding(name=package, found=found, needed_for=purpose, fix="" if found else fix, required=required)
        )
    for program, purpose, fix in _PROGRAMS:
        path = shutil.which(program)
        findings.append(Finding(name=program, found=path, needed_for=purpose, fix="" if path else fix, required=False))
    return tuple(findings)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
