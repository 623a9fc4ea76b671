"""The native runner for a board without Python: shipped with edgekit, taken from the cache, or built now."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core import files, places
from edgekit.core.errors import DependencyError, RuntimeMissingError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.hashing import sha256_file
from edgekit.runner.native_build import COMPILER, TARGETS, BuildError, compile_runner, has_compiler, source_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeRunner:
    """A program that does on a board what the payload does, without Python there.

    Attributes:
        path: of the program on this machine; on the board it must be executable.
        abi: ``aarch64``, ``armv7l`` or ``x86_64``.
        libc: ``glibc`` (2.17 or later) or ``bionic``.
    """

    path: Path
    sha256: str
    abi: str
    libc: str


def native_runner(abi: str, libc: str, *, on_event: EventSink = ignore) -> NativeRunner:
    """The native runner for an ABI and a C library.

    Raises:
        RuntimeMissingError: there is none for such a board.
        DependencyError: it must be built, and the compiler is missing or fails.
    """
    if (abi, libc) not in TARGETS:
        known = ", ".join(f"{name} with {library}" for name, library in sorted(TARGETS))
        raise RuntimeMissingError(
            f"there is no native runner for {abi} with {libc}",
            hint=f"it exists for {known}",
            details={"abi": abi, "libc": libc},
        )
    sources = sources_folder()
    name = f"runner-{abi}-{libc}"
    built = places.cache_dir() / "native" / source_sha256(sources)[:16]
    for folder in (sources, built):
        sha256 = _whole(folder, name)
        if sha256:
            return NativeRunner(path=folder / name, sha256=sha256, abi=abi, libc=libc)
    alone = files.alone(built / ".lock", error=DependencyError)
    with task(f"build the native runner for {abi} with {libc}", on_event), alone:
        if sha256 := _whole(built, name):  # for another board, which was quicker
            return NativeRunner(path=built / name, sha256=sha256, abi=abi, libc=libc)
        _build(sources, abi, libc, built / name)
    return NativeRunner(path=built / name, sha256=sha256_file(built / name), abi=abi, libc=libc)


def sources_folder() -> Path:
    """``tools/runner`` of the source tree, or its copy (beside the built programs) in the installed package."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_native"
    return installed if installed.is_dir() else package.parent / "tools" / "runner"


def _whole(folder: Path, name: str) -> str | None:
    """The SHA-256 of a program in ``folder``; None where it is missing or not what was built."""
    try:
        record: Any = json.loads((folder / f"{name}.json").read_bytes())
        sha256 = sha256_file(folder / name)
    except (OSError, ValueError):
        return None
    return sha256 if isinstance(record, dict) and record.get("sha256") == sha256 else None


def _build(sources: Path, abi: str, libc: str, path: Path) -> None:
    what = f"cannot build the native runner for {abi} with {libc}"
    if not sources.is_dir():
        raise DependencyError(
            f"{what}: its sources are not in {sources}",
            hint=f"`{sys.executable} -m pip install --force-reinstall edgekit`",
        )
    if not has_compiler():
        raise DependencyError(
            f"{what}: zig's C compiler is not installed", hint=f"`{sys.executable} -m pip install '{COMPILER}'`"
        )
    compiler_cache = places.cache_dir() / "zig"
    try:
        with files.appearing(path) as temporary:
            compile_runner(sources, abi, libc, temporary, compiler_cache=compiler_cache)
    except BuildError as error:
        shutil.rmtree(compiler_cache, ignore_errors=True)  # what a killed build left there must not stop the next one
        raise DependencyError(
            f"{what}: {_first_error(str(error))}",
            hint=f"try again; if it stays so: `{sys.executable} -m pip install --force-reinstall '{COMPILER}'`",
            details={"compiler": str(error)},
        ) from error
    record = {"abi": abi, "libc": libc, "sha256": sha256_file(path)}
    files.write_bytes(path.with_name(f"{path.name}.json"), (json.dumps(record) + "\n").encode())


def _first_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[-1] if lines else "the compiler says nothing")[:300]
