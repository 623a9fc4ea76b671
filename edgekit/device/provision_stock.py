"""What this machine has for a board, or could fetch or build: the material that a plan is made from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgekit.core.errors import DependencyError, RuntimeMissingError
from edgekit.core.hashing import sha256_file
from edgekit.device.facts import Facts
from edgekit.runner.elf import Elf, read_elf
from edgekit.runner.runtimes import Offer, library_offers
from edgekit.runner.runtimes_archive import held_archive
from edgekit.runner.runtimes_releases import MODULE_RELEASES, ModuleRelease, numpy_is_published
from edgekit.runner.runtimes_wheels import held_module, held_numpy

OLDEST_PYTHON = (3, 7)
#: ABIs that LiteRT's library is published for
PUBLISHED = ("aarch64", "x86_64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplied:
    """A file that the user supplies for a board.

    Attributes:
        version: as its name states it (``libLiteRt-2.1.0.so``); else ``supplied``.
    """

    path: Path
    elf: Elf
    size_bytes: int
    sha256: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeOffer:
    """The native runner for a board: where it is, or why there is none.

    Attributes:
        path: of the program on this machine; None: it cannot be had now.
        problem: why; ``hint``: the command that helps.
    """

    path: Path | None
    size_bytes: int | None = None
    sha256: str | None = None
    problem: str = ""
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleOffer:
    """A release of a Python module that could be pushed as wheels, for one ABI and Python.

    Attributes:
        numpy_held: file name of a numpy wheel in the cache that fits.
        numpy_published: one can be downloaded.
        held: the module's wheel is in the cache.
        bytes_alone, bytes_with_numpy: of the archive; exact where it was made before.
        digests: of the archives that were made before, without and with numpy.
    """

    release: ModuleRelease
    numpy_held: str | None
    numpy_published: bool
    held: bool
    bytes_alone: int
    bytes_with_numpy: int
    digests: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """Everything that could go on one board.

    Attributes:
        libraries: published ones for its ABI, in the order to try.
        native: None: nobody asked, the board has a Python.
        modules: those with wheels for its ABI and Python.
        library, benchmark_model: what the user supplies.
    """

    libraries: tuple[Offer, ...] = ()
    native: NativeOffer | None = None
    modules: tuple[ModuleOffer, ...] = ()
    library: Supplied | None = None
    benchmark_model: Supplied | None = None


def take_stock(
    facts: Facts,
    *,
    library: Path | None = None,
    benchmark_model: Path | None = None,
    native: bool = False,
    modules: bool = True,
) -> Stock:
    """Looks at the cache, this machine's packages and the user's files. Downloads nothing.

    Args:
        facts: of the board.
        library, benchmark_model: files that the user supplies for it.
        native: ask for the native runner even where the board has a Python.
        modules: look for wheels too.

    Raises:
        DependencyError: a supplied file is no ELF file.
    """
    needs_native = native or python_problem(facts) is not None
    return Stock(
        libraries=library_offers(facts.abi or ""),
        native=native_offer(facts.abi, facts.libc) if needs_native else None,
        modules=_modules(facts) if modules else (),
        library=read_supplied(library, "library") if library else None,
        benchmark_model=read_supplied(benchmark_model, "benchmark_model") if benchmark_model else None,
    )


def python_problem(facts: Facts) -> str | None:
    """Why the board's Python cannot start the payload; None: it can."""
    if facts.python is None:
        return "there is no Python 3 on the board"
    if facts.python.version[:2] < OLDEST_PYTHON:
        return f"Python {'.'.join(map(str, facts.python.version))} is too old: 3.7 is the oldest that works"
    return None


def read_supplied(path: Path, kind: Literal["library", "benchmark_model"]) -> Supplied:
    """A file that the user supplies, as far as it can be judged here.

    Raises:
        DependencyError: not readable, no ELF file.
    """
    try:
        elf = read_elf(path)
    except DependencyError as error:
        option = "--library" if kind == "library" else "--benchmark-model"
        what = "a shared library (libLiteRt.so)" if kind == "library" else "a program (benchmark_model)"
        raise DependencyError(error.message, hint=f"{option} wants {what} that was built for the board") from error
    found = re.search(r"(\d+\.\d+(?:\.\d+)?)", path.name)
    return Supplied(
        path=path,
        elf=elf,
        size_bytes=path.stat().st_size,
        sha256=sha256_file(path),
        version=found[1] if found else "supplied",
    )


def native_offer(abi: str | None, libc: str | None) -> NativeOffer:
    """The native runner for an ABI and a C library; it may have to be built, which takes some seconds."""
    from edgekit.runner.native import native_runner

    try:
        found = native_runner(abi or "unknown", libc or "glibc")
    except (DependencyError, RuntimeMissingError) as error:
        return NativeOffer(path=None, problem=error.message, hint=error.hint)
    return NativeOffer(path=found.path, size_bytes=found.path.stat().st_size, sha256=found.sha256)


def _modules(facts: Facts) -> tuple[ModuleOffer, ...]:
    """Module releases with a wheel for this ABI and Python, whatever their libraries need."""
    if facts.python is None or facts.abi is None or facts.libc not in (None, "glibc"):
        return ()
    python = facts.python.version
    found = []
    for release in MODULE_RELEASES:
        oldest, newest = release.pythons
        if facts.abi not in release.glibc or python[0] != 3 or not oldest <= python[1] <= newest:
            continue
        wheel, numpy = held_module(release, facts.abi, python), held_numpy(facts.abi, python, release)
        alone = held_archive(wheel.parent, [wheel]) if wheel else None
        both = held_archive(wheel.parent, [wheel, numpy]) if wheel and numpy else None
        found.append(
            ModuleOffer(
                release=release,
                numpy_held=numpy.name if numpy else None,
                numpy_published=numpy_is_published(facts.abi),
                held=wheel is not None,
                bytes_alone=alone.size_bytes if alone else release.archive_bytes[0],
                bytes_with_numpy=both.size_bytes if both else release.archive_bytes[1],
                digests=(alone.sha256 if alone else None, both.sha256 if both else None),
            )
        )
    return tuple(found)
