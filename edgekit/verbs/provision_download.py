"""provision --download-only: fills the cache with what a kind of board needs, for a machine without a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.core import places
from edgekit.core.errors import UsageError
from edgekit.core.events import EventSink, ignore
from edgekit.core.notice import Notice
from edgekit.device.provision_stock import native_offer
from edgekit.runner.elf import as_numbers, loads
from edgekit.runner.runtimes import cached_library, library_offers
from edgekit.runner.runtimes_releases import MODULE_RELEASES, ModuleRelease, numpy_is_published
from edgekit.runner.runtimes_wheels import fetch_module
from edgekit.verbs.boards import Reach
from edgekit.verbs.runtimes import check_runtime

ABIS = ("aarch64", "armv7l", "x86_64")
_MODULES = ("ai_edge_litert", "tflite_runtime", "onnxruntime")
#: the Python that comes with a glibc: Debian 10 to 13, Ubuntu 20.04 (3.8) to 24.04
_PYTHON_OF_GLIBC = {"2.28": 7, "2.31": 9, "2.35": 10, "2.36": 11, "2.39": 12, "2.41": 13}
_USUAL_PYTHON = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One thing that is in the cache now.

    Attributes:
        path: of the file.
        what: in words.
        glibc_needed: by the board; None: any.
    """

    path: Path
    what: str
    size_bytes: int
    glibc_needed: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """What another machine needs.

    Attributes:
        cache: the folder of edgekit's cache here.
        folders: below it, to be copied there, to the same place below its own cache.
        command: to run there.
    """

    abi: str
    cache: Path
    folders: tuple[str, ...]
    files: tuple[Fetched, ...]
    command: str
    notices: tuple[Notice, ...]


def download_runtimes(
    device: str | None = None,
    *,
    runtime: str = "auto",
    abi: str | None = None,
    libc_version: str | None = None,
    python: str | None = None,
    reach: Reach | None = None,
    on_event: EventSink = ignore,
) -> Downloaded:
    """Downloads what a board may need, without reaching it.

    Args:
        device: name of a board: its profile says the ABI. None: ``abi`` does.
        runtime: ``auto``: the library, for 32-bit ARM the module; or a module's name.
        abi: instead of the profile's.
        libc_version: of the board's glibc: only what loads there; None: for every glibc.
        python: of the board, ``3.11``; only modules depend on it. None: the one that comes with ``libc_version``.
        reach: how the board's name is resolved; it is not connected to.
        on_event: gets the progress.

    Raises:
        UsageError: unknown board, no ABI is known, a version that is none.
        DependencyError: something cannot be downloaded.
    """
    wanted = check_runtime(runtime, onnx=True)
    reach = reach or Reach()
    abi = abi or (reach.target(device).profile.abi if device else None)
    if abi not in ABIS:
        raise UsageError(
            f"{abi!r} is not an ABI" if abi else "the board's profile does not say its ABI",
            hint=f"--abi {' or '.join(ABIS)}",
        )
    if libc_version is not None and len(as_numbers(libc_version)) < 2:
        raise UsageError(f"{libc_version!r} is not a version of glibc", hint="as `ldd --version` states it: 2.36")
    files: list[Fetched] = []
    notices: list[Notice] = []
    if wanted in _MODULES or abi == "armv7l":
        module = wanted if wanted in _MODULES else "tflite_runtime"
        files += _modules(module, abi, libc_version, python, notices, on_event)
    if wanted not in _MODULES:
        files += _libraries(abi, libc_version, on_event)
        files += _native(abi, notices)
    if not files:
        raise UsageError(
            f"there is nothing to download for {abi} with glibc {libc_version}",
            hint="the oldest glibc that LiteRT's libraries load on is 2.30 on ARM, 2.16 on x86-64",
        )
    cache = places.cache_dir()
    return Downloaded(
        abi=abi,
        cache=cache,
        folders=tuple(sorted({file.path.relative_to(cache).parts[0] for file in files})),
        files=tuple(files),
        command=f"edgekit devices provision {device or 'NAME'}" + ("" if wanted == "auto" else f" --runtime {wanted}"),
        notices=tuple(notices),
    )


def _libraries(abi: str, libc_version: str | None, on_event: EventSink) -> list[Fetched]:
    """The newest that loads on this glibc; where none is named, one for each."""
    found = []
    for offer in library_offers(abi):
        if not loads(offer.glibc_needed, libc_version):
            continue
        library = cached_library(offer.version, abi, on_event=on_event)
        found.append(
            Fetched(
                path=library.path,
                what=f"LiteRT {library.version} for {abi}",
                size_bytes=library.size_bytes,
                glibc_needed=library.glibc_needed,
            )
        )
        if libc_version is not None and loads(library.glibc_needed, libc_version):
            break
    return found


def _native(abi: str, notices: list[Notice]) -> list[Fetched]:
    """The native runner, for boards without Python."""
    offer = native_offer(abi, "glibc")
    if offer.path is None:
        notices.append(
            Notice(
                code="no-native-runner",
                message=f"without the native runner a board must have Python: {offer.problem}",
                hint=offer.hint or "",
            )
        )
        return []
    if not offer.path.is_relative_to(places.cache_dir()):
        return []  # it is a part of edgekit, and so on the other machine too
    return [
        Fetched(path=offer.path, what=f"native runner for {abi}", size_bytes=offer.size_bytes or 0, glibc_needed=None)
    ]


def _modules(
    module: str, abi: str, libc_version: str | None, python: str | None, notices: list[Notice], on_event: EventSink
) -> list[Fetched]:
    releases = [r for r in MODULE_RELEASES if r.module == module and abi in r.glibc]
    releases = [release for release in releases if loads(release.glibc[abi], libc_version)]
    if not releases:
        raise UsageError(
            f"there are no wheels of {module} for {abi}" + (f" with glibc {libc_version}" if libc_version else ""),
            hint="ai_edge_litert and onnxruntime have wheels for aarch64 and x86_64, tflite_runtime for armv7l too",
        )
    found = []
    for minor in _minors(python, libc_version, releases[0], abi):
        release = next((r for r in releases if r.pythons[0] <= minor <= r.pythons[1]), None)
        if release is None:
            newest = max(r.pythons[1] for r in releases)
            raise UsageError(
                f"{module} has no wheel for {abi} with Python 3.{minor}", hint=f"the newest is for Python 3.{newest}"
            )
        numpy = numpy_is_published(abi)
        archive = fetch_module(
            release, abi=abi, python=(3, minor), libc_version=libc_version, with_numpy=numpy, on_event=on_event
        )
        with_numpy = f" and numpy {archive.numpy}" if archive.numpy else ""
        found.append(
            Fetched(
                path=archive.path,
                what=f"{module} {archive.version}{with_numpy} for {abi}, Python 3.{minor}",
                size_bytes=archive.size_bytes,
                glibc_needed=archive.glibc_needed,
            )
        )
    if not numpy_is_published(abi):
        notices.append(
            Notice(
                code="numpy-not-published",
                message=f"numpy is not published for {abi}: the board must have its own, older than 2",
                hint="on the board: `sudo apt-get install python3-numpy`",
            )
        )
    return found


def _minors(python: str | None, libc_version: str | None, release: ModuleRelease, abi: str) -> tuple[int, ...]:
    if python is not None:
        version = as_numbers(python)
        if len(version) < 2 or version[0] != 3:
            raise UsageError(f"{python!r} is not a version of Python 3", hint="for example --python 3.11")
        return (version[1],)
    if libc_version in _PYTHON_OF_GLIBC:
        return (_PYTHON_OF_GLIBC[libc_version],)
    if not numpy_is_published(abi):  # then a wheel is small: one for every Python
        return tuple(range(release.pythons[0], release.pythons[1] + 1))
    return (_USUAL_PYTHON,)
