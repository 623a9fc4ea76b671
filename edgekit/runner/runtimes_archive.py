"""Puts wheels together, checked, into the one archive that a board unpacks: no pip and no network there."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from edgekit.core import decode, files
from edgekit.core.errors import DependencyError, EdgekitError
from edgekit.core.hashing import sha256_file
from edgekit.runner.elf import Elf, as_numbers, read_elf
from edgekit.runner.runtimes_pip import WheelName
from edgekit.runner.runtimes_releases import ModuleRelease

_LARGEST_BYTES = 400_000_000
_ARCHIVE_VERSION = 1
#: where a module keeps its libraries, and those that are loaded by their names; else the module's own folder
_LAYOUT = {"onnxruntime": ("onnxruntime/capi", ("onnxruntime_pybind11_state", "onnxruntime_providers_shared"))}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleArchive:
    """A module, and numpy where it is in there too, as one ``.tar.gz`` whose folders belong on Python's path.

    Attributes:
        path: of the file on this machine.
        numpy: the version that is inside; None: the board's own is used.
        glibc_needed: lowest glibc that all of its libraries load on; glibcxx_needed: the same of libstdc++.
        unpacked_bytes: what it takes on the board.
        wheels: the files it was made of.
    """

    path: Path
    module: str
    version: str
    numpy: str | None
    abi: str
    sha256: str
    size_bytes: int
    unpacked_bytes: int
    glibc_needed: str | None
    glibcxx_needed: str | None
    wheels: tuple[str, ...]


def read_wheel(wheel: Path, wanted: Iterable[str] | None = None) -> dict[str, bytes]:
    """The files of a wheel, each as its RECORD says.

    Raises:
        DependencyError: not a wheel, damaged, a name that leaves the folder, a file that RECORD does not know.
    """
    hint = f"delete {wheel} and try again"
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            if sum(info.file_size for info in archive.infolist()) > _LARGEST_BYTES:
                raise DependencyError(f"{wheel.name} is implausibly large", hint=hint)
            record = next((name for name in names if re.fullmatch(r"[^/]+\.dist-info/RECORD", name)), None)
            if record is None:
                raise DependencyError(f"{wheel.name} is not a wheel: it has no RECORD", hint=hint)
            hashes = {row[0]: row[1] for row in csv.reader(io.StringIO(archive.read(record).decode())) if len(row) > 1}
            for name in names if wanted is None else wanted:
                if name == record or name.startswith(f"{record.partition('/')[0]}/RECORD."):
                    continue
                parts = PurePosixPath(name).parts
                if name.startswith("/") or ".." in parts or "\\" in name:
                    raise DependencyError(f"{wheel.name} has a file that leaves its folder: {name[:100]!r}", hint=hint)
                content = archive.read(name)
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                if hashes.get(name) != f"sha256={digest}":
                    raise DependencyError(f"{name} in {wheel.name} is not what its RECORD says", hint=hint)
                found[name] = content
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, NotImplementedError) as error:
        raise DependencyError(f"{wheel.name} is damaged: {error}", hint=hint) from error
    return found


def make_archive(folder: Path, wheels: list[Path], release: ModuleRelease, abi: str) -> ModuleArchive:
    """Puts the wheels together; what a board never uses stays out."""
    content: dict[str, bytes] = {}
    needs: list[Elf] = []
    for wheel in wheels:
        name = wheel_package(wheel)
        inside = read_wheel(wheel)
        chosen = _numpy_files(inside) if name == "numpy" else _interpreter_files(inside, release.module)
        for member, data in chosen.items():
            if ".so" in PurePosixPath(member).suffixes and data[:4] == b"\x7fELF":
                needs.append(_elf(data, abi, f"{member} in {wheel.name}"))
        content |= chosen
    packed = _tar_gz(content)
    digest = hashlib.sha256(packed).hexdigest()
    path = folder / f"{release.module}-{digest[:12]}.tar.gz"
    files.write_bytes(path, packed)
    numpy = next((name.version for name in map(_named, wheels) if name.package == "numpy"), None)
    archive = ModuleArchive(
        path=path,
        module=release.module,
        version=release.version,
        numpy=numpy,
        abi=abi,
        sha256=digest,
        size_bytes=len(packed),
        unpacked_bytes=sum(map(len, content.values())),
        glibc_needed=_highest(needs, "GLIBC"),
        glibcxx_needed=_highest(needs, "GLIBCXX"),
        wheels=tuple(wheel.name for wheel in wheels),
    )
    record = {**decode.to_json(replace(archive, path=Path(path.name))), "made": _ARCHIVE_VERSION}
    files.write_bytes(_record(folder, wheels), (json.dumps(record, indent=1) + "\n").encode())
    return archive


def _record(folder: Path, wheels: list[Path]) -> Path:
    return folder / ("+".join(f"{name.package}-{name.version}" for name in map(_named, wheels)) + ".json")


def held_archive(folder: Path, wheels: list[Path]) -> ModuleArchive | None:
    """What was made of these wheels before, as its record says; the file itself is not read."""
    try:
        value: Any = json.loads(_record(folder, wheels).read_bytes())
        if value.pop("made", None) != _ARCHIVE_VERSION:
            return None
        archive = decode.from_json(ModuleArchive, value, source=str(folder), error=DependencyError)
    except (OSError, ValueError, AttributeError, EdgekitError):
        return None
    return replace(archive, path=folder / archive.path.name)  # the cache may have come from another machine


def whole_archive(folder: Path, wheels: list[Path]) -> ModuleArchive | None:
    """What was made of these wheels before, if its file is still what its record says."""
    archive = held_archive(folder, wheels)
    try:
        whole = archive is not None and sha256_file(archive.path) == archive.sha256
    except OSError:
        return None
    return archive if whole else None


def wheel_package(wheel: Path) -> str:
    """``numpy`` for ``numpy-1.26.4-….whl``."""
    return _named(wheel).package


def _named(wheel: Path) -> WheelName:
    parts = wheel.name.removesuffix(".whl").split("-")
    return WheelName(package=parts[0], version=parts[1] if len(parts) > 1 else "", python="", platforms=())


def _interpreter_files(inside: dict[str, bytes], module: str) -> dict[str, bytes]:
    """What runs models: the module's own Python files, its library, and what that library needs.

    Converters, accelerators for phones and compilers for other chips are two thirds of a wheel and stay out.
    """
    folder, loaded = _LAYOUT.get(module, (module, ("interpreter_wrapper",)))
    libraries = {
        PurePosixPath(name).name: name
        for name in inside
        if PurePosixPath(name).parent == PurePosixPath(folder) and ".so" in PurePosixPath(name).suffixes
    }
    waiting = [name for name in libraries if any(word in name for word in loaded)]
    if not waiting:
        raise DependencyError(f"the wheel of {module} has no interpreter in it", hint="delete it and try again")
    own = {module, folder}
    taken: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in taken:
            continue
        taken.add(name)
        waiting += [needed for needed in _parsed(inside[libraries[name]]).needed if needed in libraries]
    keep = {libraries[name] for name in taken}
    keep |= {name for name in inside if name.endswith(".py") and str(PurePosixPath(name).parent) in own}
    keep |= {name for name in inside if re.fullmatch(rf"{module}-[^/]+\.dist-info/METADATA|{module}/LICENSE", name)}
    return {name: inside[name] for name in sorted(keep)}


def _numpy_files(inside: dict[str, bytes]) -> dict[str, bytes]:
    """numpy without its tests and what only compilers read."""
    out = re.compile(r"(^|/)tests/|\.(pyi|h|a|lib|pxd|txt)$|^numpy/(f2py|distutils|doc|core/include|_core/include)/")
    return {name: data for name, data in sorted(inside.items()) if not out.search(name)}


def _parsed(data: bytes) -> Elf:
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        path = Path(folder) / "library.so"
        path.write_bytes(data)
        return read_elf(path)


def _elf(data: bytes, abi: str, source: str) -> Elf:
    elf = _parsed(data)
    if elf.abi != abi:
        raise DependencyError(f"{source} is built for {elf.abi}, not for {abi}", hint="delete the wheel and try again")
    return elf


def _highest(needs: list[Elf], name: str) -> str | None:
    return max((elf.versions[name] for elf in needs if name in elf.versions), key=as_numbers, default=None)


def _tar_gz(content: Mapping[str, bytes]) -> bytes:
    """The same bytes for the same files: no times, no owners."""
    stream = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=6, mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, data in sorted(content.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o755 if data[:4] == b"\x7fELF" else 0o644
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()
