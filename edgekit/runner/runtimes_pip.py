"""Wheels for boards, from the cache or downloaded by pip: the one door to it."""

from __future__ import annotations

import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from edgekit.core import units
from edgekit.core.errors import DependencyError

_TIME_LIMIT_S = 900.0

#: tags of wheels that are asked for, from the newest glibc to the oldest
_MANYLINUX = ((2, 39), (2, 38), (2, 36), (2, 35), (2, 34), (2, 31), (2, 28), (2, 27), (2, 24), (2, 17))


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelName:
    """What the name of a wheel promises: ``numpy-1.26.4-cp311-cp311-linux_armv7l.whl``."""

    package: str
    version: str
    python: str
    platforms: tuple[str, ...]

    def fits(self, abi: str, python: tuple[int, ...]) -> bool:
        """Whether it is meant for this ABI and this Python."""
        ours = (f"cp{python[0]}{python[1]}", f"py{python[0]}")
        ends = any(platform.endswith(f"_{abi}") or platform == "any" for platform in self.platforms)
        return ends and any(tag in ours for tag in self.python.split("."))


def wheel_name(path: Path) -> WheelName | None:
    """The parts of a wheel's file name; None where it has not the five of them."""
    parts = path.name.removesuffix(".whl").split("-")
    if len(parts) not in (5, 6):
        return None
    return WheelName(package=parts[0], version=parts[1], python=parts[-3], platforms=tuple(parts[-1].split(".")))


def held_wheel(folder: Path, package: str, accepts: Callable[[WheelName], bool] = lambda _: True) -> Path | None:
    """The wheel of ``package`` in ``folder`` that is whole; one that is no zip file is removed."""
    for path in sorted(folder.glob(f"{package.replace('-', '_')}-*.whl"), reverse=True):
        name = wheel_name(path)
        if not zipfile.is_zipfile(path):
            path.unlink()
        elif name is None or accepts(name):
            return path
    return None


def platform_tags(abi: str, libc_version: str | None, also: Collection[str] = ()) -> list[str]:
    """The platform tags of wheels that may run on a glibc; ``also``: those of packages whose tags say too much."""
    limit = tuple(int(n) for n in (libc_version or "2.99").split(".")[:2] if n.isdigit()) or (2, 99)
    names = [f"manylinux_{major}_{minor}" for major, minor in _MANYLINUX if (major, minor) <= limit]
    return [f"{name}_{abi}" for name in dict.fromkeys([*also, *names, "manylinux2014", "linux"])]


def download_wheel(
    requirement: str, *, folder: Path, abi: str, python: tuple[int, ...] = (3, 11), platforms: Collection[str]
) -> Path:
    """The wheel of one requirement (``numpy<2``), without what it needs itself, in ``folder``.

    Raises:
        DependencyError: there is none for this ABI and Python, no network, no pip; the hint is the command.
    """
    package = requirement.partition("=")[0].partition("<")[0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DependencyError(f"cannot write {folder}: {error.strerror}", hint="set EDGEKIT_HOME") from error
    command = _command(requirement, folder, python, platforms)
    hint = f"run this where there is a network, then copy the wheel into {folder}: `{shlex.join(command)}`"
    message = f"cannot download {requirement} for {abi}"
    before = set(folder.glob("*.whl"))
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DependencyError(f"{message}: no end within {units.seconds(error.timeout)}", hint=hint) from error
    except OSError as error:
        raise DependencyError(f"{message}: {error.strerror or error}", hint=hint) from error
    output = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
    if "No module named pip" in output:
        raise DependencyError(f"{message}: this Python has no pip", hint=f"`{sys.executable} -m ensurepip`")
    new = sorted(set(folder.glob("*.whl")) - before)
    ready = new[0] if new else held_wheel(folder, package)
    if done.returncode != 0 or ready is None:
        lines = [line for line in output.splitlines() if line.strip()]
        why = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "pip says nothing")
        raise DependencyError(f"{message}: {why[:300]}", hint=hint, details={"pip": output[-2000:]})
    return ready


def _command(requirement: str, folder: Path, python: tuple[int, ...], platforms: Collection[str]) -> list[str]:
    options = ["--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={python[0]}.{python[1]}"]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "download"]
    return [*pip, *quiet, *options, *(f"--platform={name}" for name in platforms), f"--dest={folder}", requirement]
