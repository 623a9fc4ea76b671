"""A native runner's process on this machine, as a board would start it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from payload_process import Ended

from edgekit.runner.native import sources_folder
from edgekit.runner.native_build import compile_runner

Start = Callable[..., Ended]


def start_native(program: Sequence[str | Path], request: Any, **options: Any) -> Ended:
    """Runs the native runner as a board would."""
    text = request if isinstance(request, bytes) else json.dumps(request).encode()
    done = subprocess.run(list(program), input=text + b"\n", capture_output=True, timeout=60, **options)
    return Ended(done.returncode, done.stdout, done.stderr)


def compile_checked(output: Path, *more: Path, without: tuple[str, ...] = ()) -> Path:
    """Compiles the runner's C files by gcc with the address and the undefined-behaviour checkers; warnings fail."""
    names = sorted(path for path in sources_folder().glob("*.c") if not path.name.startswith("android_"))
    sources = [path for path in names if path.name not in without]
    options = ["-g", "-O1", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all"]
    checks = ["-fsanitize=address,undefined", f"-I{sources_folder()}"]
    command = ["gcc", *options, *checks, "-o", str(output), *map(str, [*sources, *more]), "-ldl", "-lpthread"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return output


def program_around(main: Path, abi: str, libc: str, output: Path) -> Path:
    """A program of the runner's C files for a board, with another ``main``."""
    with tempfile.TemporaryDirectory(prefix="edgekit-test-") as folder:
        for path in (*sources_folder().glob("*.c"), *sources_folder().glob("*.h")):
            shutil.copy(path, folder)
        shutil.copy(main, Path(folder) / "main.c")
        compile_runner(Path(folder), abi, libc, output)
    return output
