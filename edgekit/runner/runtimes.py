"""The LiteRT libraries that there are for boards: taken from the ai-edge-litert wheel, checked, cached."""

from __future__ import annotations

import json
import platform
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgekit.core import decode, files, places
from edgekit.core.errors import DependencyError, EdgekitError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.hashing import sha256_file
from edgekit.runner.elf import read_elf
from edgekit.runner.runtimes_pip import download_wheel, held_wheel

PACKAGE = "ai-edge-litert"

#: newest first; between them nothing loads on an older system than the next one here
RELEASES = ("2.3.0", "2.1.0", "1.4.0")

#: glibc that these wheels were found to need, whatever their tags say. Only saves downloads that cannot help: what is
#: chosen is decided by the ELF file itself
_KNOWN_GLIBC = {
    ("aarch64", "2.3.0"): "2.34",
    ("aarch64", "2.1.0"): "2.30",
    ("aarch64", "1.4.0"): "2.30",
    ("x86_64", "2.3.0"): "2.27",
    ("x86_64", "2.1.0"): "2.27",
    ("x86_64", "1.4.0"): "2.16",
}
_ABIS = ("aarch64", "x86_64")
_MEMBERS = ("ai_edge_litert/libLiteRt.so", "ai_edge_litert/libLiteRtRuntimeCApi.so")
_PLATFORMS = ("manylinux_2_27", "manylinux_2_17", "manylinux2014")
_LARGEST_BYTES = 200_000_000
_ABOUT_BYTES = 8_000_000  # 6 to 9 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """One LiteRT library for one ABI.

    Attributes:
        path: of the file on this machine.
        version: of the ai-edge-litert release it came from.
        abi: ``aarch64`` or ``x86_64``.
        glibc_needed: lowest glibc that it loads on, from its symbols; None where it needs none.
        glibcxx_needed: the same of libstdc++ (``3.4.30`` comes with GCC 12).
        needed: libraries that the board's loader must find.
        source: the wheel's file name, or ``installed`` for this machine's own package.
    """

    path: Path
    version: str
    abi: str
    sha256: str
    size_bytes: int
    glibc_needed: str | None
    glibcxx_needed: str | None
    needed: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A release of the library that a board could get: what is known of it before it is fetched.

    Attributes:
        version: of the ai-edge-litert release.
        glibc_needed: read from the file where it is here; else what the published one was found to need.
        size_bytes: of the file; where it is not here, about.
        sha256: None: it is not here yet.
        held: where it comes from.
    """

    version: str
    glibc_needed: str | None
    size_bytes: int
    sha256: str | None
    held: Literal["installed", "cache", "download"]


def library_offers(abi: str) -> tuple[Offer, ...]:
    """The releases that there are for an ABI, in the order in which they should be tried. Nothing is fetched.

    Raises:
        DependencyError: this machine's own package is not whole.
    """
    offers = []
    for version in _candidates(abi) if abi in _ABIS else ():
        own = abi == platform.machine() and version == _installed_version()
        library = _installed() if own else _cached(_folder(abi, version))
        known = _KNOWN_GLIBC.get((abi, version))
        offers.append(
            Offer(
                version=version,
                glibc_needed=library.glibc_needed if library else known,
                size_bytes=library.size_bytes if library else _ABOUT_BYTES,
                sha256=library.sha256 if library else None,
                held="download" if library is None else "installed" if own else "cache",
            )
        )
    return tuple(offers)


def _folder(abi: str, version: str) -> Path:
    return places.cache_dir() / "runtimes" / abi / version


def fetch_library(version: str, abi: str, *, on_event: EventSink = ignore) -> Library:
    """The library of one release: this machine's own package, the cache, or a download by pip.

    Raises:
        DependencyError: it cannot be downloaded, or the download is not what it should be.
    """
    if abi == platform.machine() and version == _installed_version():
        return _installed()
    folder = _folder(abi, version)
    if (cached := _cached(folder)) is not None:
        return cached
    alone = files.alone(folder / ".lock", error=DependencyError)
    with task(f"fetch LiteRT {version} for {abi}", on_event), alone:
        if (cached := _cached(folder)) is not None:  # for another board, which was quicker
            return cached
        wheel = _wheel(version, abi, folder)
        library = _extract(wheel, version, abi, folder)
        wheel.unlink(missing_ok=True)
    return library


def cached_library(version: str, abi: str, *, on_event: EventSink = ignore) -> Library:
    """As :func:`fetch_library`, but always a file in the cache, which can be copied to another machine.

    Raises:
        DependencyError: see there; the cache cannot be written.
    """
    library = fetch_library(version, abi, on_event=on_event)
    folder = _folder(abi, version)
    if library.path.parent == folder:
        return library
    if (cached := _cached(folder)) is not None:
        return cached
    path = folder / library.path.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_bytes(path, library.path.read_bytes())
    except OSError as error:
        raise DependencyError(f"cannot write {folder}: {error.strerror}", hint="set EDGEKIT_HOME") from error
    return _remembered(replace(library, path=path))


def _remembered(library: Library) -> Library:
    """Writes what a cached library is beside it; without its folder, so that the cache can be moved."""
    record = decode.to_json(replace(library, path=Path(library.path.name)))
    files.write_bytes(library.path.parent / "library.json", (json.dumps(record, indent=1) + "\n").encode())
    return library


def _candidates(abi: str) -> Iterator[str]:
    """Releases from the newest; this machine's own first, so that host and board compute with the same kernels."""
    installed = _installed_version() if abi == platform.machine() else None
    if installed:
        yield installed
    yield from (release for release in RELEASES if release != installed)


def _installed_version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    if sys.platform != "linux":
        return None
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def _installed() -> Library:
    """The library inside this machine's own ai-edge-litert; the package is found, not imported."""
    from importlib.util import find_spec

    spec = find_spec("ai_edge_litert")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    path = folder / "libLiteRt.so"
    if not path.is_file():
        raise DependencyError(
            f"the installed {PACKAGE} has no libLiteRt.so in {folder}",
            hint=f"`{sys.executable} -m pip install --force-reinstall '{PACKAGE}>=2.3,<2.4'`",
        )
    return _describe(path, version=str(_installed_version()), abi=platform.machine(), source="installed")


def _describe(path: Path, *, version: str, abi: str, source: str) -> Library:
    elf = read_elf(path)
    if elf.machine != abi:
        raise DependencyError(f"{path} is built for {elf.machine}, not for {abi}", hint=f"delete it: `rm {path}`")
    return Library(
        path=path,
        version=version,
        abi=abi,
        sha256=sha256_file(path),
        size_bytes=path.stat().st_size,
        glibc_needed=elf.versions.get("GLIBC"),
        glibcxx_needed=elf.versions.get("GLIBCXX"),
        needed=elf.needed,
        source=source,
    )


def _cached(folder: Path) -> Library | None:
    """What an earlier fetch left in ``folder``, if it is still whole."""
    try:
        value: Any = json.loads((folder / "library.json").read_bytes())
        library = decode.from_json(Library, value, source=str(folder), error=DependencyError)
        library = replace(library, path=folder / library.path.name)  # the cache may have come from another machine
        whole = sha256_file(library.path) == library.sha256
    except (OSError, ValueError, EdgekitError):
        return None
    return library if whole else None


def _wheel(version: str, abi: str, folder: Path) -> Path:
    """The wheel in ``folder``: put there by hand, or downloaded now."""
    if ready := held_wheel(folder, PACKAGE):
        return ready
    # the library is the same file in the wheels for every Python; for 3.11 all releases have one
    platforms = [f"{name}_{abi}" for name in _PLATFORMS]
    return download_wheel(f"{PACKAGE}=={version}", folder=folder, abi=abi, platforms=platforms)


def _extract(wheel: Path, version: str, abi: str, folder: Path) -> Library:
    """Takes the library out of the wheel, checks it, and writes what it is beside it."""
    hint = f"delete {wheel} and try again"
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
            member = next((name for name in _MEMBERS if name in names), None)
            if member is None:
                raise DependencyError(f"{wheel.name} has no LiteRT library in it", hint=hint)
            if archive.getinfo(member).file_size > _LARGEST_BYTES:
                raise DependencyError(f"{member} in {wheel.name} is implausibly large", hint=hint)
            content = archive.read(member)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DependencyError(f"{wheel.name} is damaged: {error}", hint=hint) from error
    path = folder / Path(member).name
    files.write_bytes(path, content)
    return _remembered(_describe(path, version=version, abi=abi, source=wheel.name))
