"""Compiles the native runner for a board with zig's C compiler.

Standard library only, no import of edgekit: the build of the wheel loads this file before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

#: (ABI, libc) → zig's name for it. glibc 2.17 is of 2012: older than every system that LiteRT loads on
TARGETS = {
    ("x86_64", "glibc"): "x86_64-linux-gnu.2.17",
    ("aarch64", "glibc"): "aarch64-linux-gnu.2.17",
    ("armv7l", "glibc"): "arm-linux-gnueabihf.2.17",
    ("x86_64", "bionic"): "x86_64-linux-android",
    ("aarch64", "bionic"): "aarch64-linux-android",
}

COMPILER = "ziglang>=0.17.1,<0.18"  # the package; a build is the same to the byte with the same version

_TIME_LIMIT_S = 600.0
_ANDROID_START, _ANDROID_STUBS = "android_start.c", "android_stubs.c"
# No headers of a C library (system.h declares what is used), nothing of the machine it was built on, no symbols. What
# is timed is the library's code: the runner's own is made small (-Os: a fifth less to push)
_COMPILE = ("-Os", "-std=gnu11", "-Wall", "-Wextra", "-ffreestanding", "-nostdlibinc", "-fPIC", "-fno-sanitize=all")
_SMALL = ("-fno-stack-protector", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-s", "-Wl,--build-id=none")
_PROGRAM = ("-pie", "-Wl,-z,relro", "-Wl,-z,now")
# Android: phones with pages of 16 KiB; what is linked against are stubs with the names of its own libraries
_ANDROID = ("-nostdlib", "-Wl,-z,max-page-size=16384", "-Wl,--dynamic-linker=/system/bin/linker64")


class BuildError(Exception):
    """The compiler is missing or failed; says what it printed."""


def source_sha256(sources: Path) -> str:
    """The SHA-256 of what a runner is made of: the C files, and the options and targets of this file."""
    digest = hashlib.sha256(repr((TARGETS, _COMPILE, _SMALL, _PROGRAM, _ANDROID)).encode())
    for path in source_files(sources):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def source_files(sources: Path) -> list[Path]:
    """The C files and headers of a folder, in the order of their names."""
    return sorted(path for path in sources.iterdir() if path.suffix in (".c", ".h"))


def has_compiler() -> bool:
    """Whether the package ``ziglang`` is installed for this Python."""
    return find_spec("ziglang") is not None


def compile_runner(sources: Path, abi: str, libc: str, output: Path, *, compiler_cache: Path | None = None) -> None:
    """Compiles the runner for one target.

    Args:
        sources: folder of the C files.
        abi, libc: a key of :data:`TARGETS`.
        output: the program; it appears where the compiler succeeds.
        compiler_cache: where the compiler keeps its own parts of a target, which take it some seconds; None: nowhere.

    Raises:
        BuildError: the compiler is missing, failed, or did not end.
    """
    target = TARGETS[abi, libc]
    names = [path.name for path in source_files(sources) if path.suffix == ".c"]
    program = [name for name in names if not name.startswith("android_")]
    with tempfile.TemporaryDirectory(prefix="edgekit-native-") as name:
        folder = Path(name)
        cache = (compiler_cache or folder / "parts", folder / "objects")
        if libc == "bionic":
            stubs = _android_stubs(sources, target, folder, cache)
            options = [*_COMPILE, *_SMALL, *_PROGRAM, *_ANDROID]
            arguments = [*options, "-o", str(output), *program, _ANDROID_START, *map(str, stubs)]
        else:
            arguments = [*_COMPILE, *_SMALL, *_PROGRAM, "-o", str(output), *program, "-ldl", "-lpthread"]
        _compile(sources, target, arguments, cache)


def _android_stubs(sources: Path, target: str, folder: Path, cache: tuple[Path, Path]) -> list[Path]:
    stubs = []
    for name, define in (("libc.so", "-DSTUB_LIBC"), ("libdl.so", "-DSTUB_LIBDL")):
        stubs.append(folder / name)
        options = [*_COMPILE, *_SMALL, "-nostdlib", "-shared", "-w", define, f"-Wl,-soname,{name}"]
        _compile(sources, target, [*options, "-o", str(stubs[-1]), _ANDROID_STUBS], cache)
    return stubs


def _compile(sources: Path, target: str, arguments: list[str], cache: tuple[Path, Path]) -> None:
    """One call of the compiler in the folder of the sources, so that only their names can get into what it makes."""
    if not has_compiler():
        raise BuildError("zig's C compiler is not installed")
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, *arguments]
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache[0]), "ZIG_LOCAL_CACHE_DIR": str(cache[1])}
    try:
        done = subprocess.run(
            command,
            cwd=sources,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIME_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"the compiler did not end well: {error}") from error
    if done.returncode != 0:
        raise BuildError((done.stderr + done.stdout).decode("utf-8", "replace").strip()[-4000:])
