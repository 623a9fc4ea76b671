"""Builds the native runner for every board that it exists for, as the wheel ships it.

    python tools/runner/build.py FOLDER [ABI-LIBC ...]      (aarch64-glibc, aarch64-bionic, armv7l-glibc, …)

Prints size and SHA-256 of each. Needs the package ziglang (``pip install 'edgekit[native]'``); edgekit itself builds
what it needs without being asked.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from edgekit.core.hashing import sha256_file
from edgekit.runner.native_build import TARGETS, BuildError, compile_runner


def main(arguments: list[str]) -> None:
    """Parses the command line and builds."""
    names = {f"{abi}-{libc}": (abi, libc) for abi, libc in TARGETS}
    if not arguments or not set(arguments[1:]) <= set(names):
        sys.exit(f"{__doc__}\nTargets: {', '.join(names)}")
    folder = Path(arguments[0]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edgekit-zig-") as cache:
        for name in arguments[1:] or names:
            path = folder / f"runner-{name}"
            try:
                compile_runner(Path(__file__).parent, *names[name], path, compiler_cache=Path(cache))
            except BuildError as error:
                sys.exit(str(error))
            print(f"{sha256_file(path)}  {path.stat().st_size:>6}  {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
