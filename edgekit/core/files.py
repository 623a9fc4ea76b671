"""Files that appear whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.core.errors import EdgekitError, UsageError

_ELSEWHERE = "free some space, or choose another place with -o/--output"


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside ``path``; renames it into place when the block ends without an error.

    Raises:
        UsageError: the folder cannot be made or written to, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.", dir=path.parent))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}", hint=_ELSEWHERE) from error
    try:
        temporary = folder / path.name
        yield temporary
        try:
            temporary.replace(path)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror or error}", hint=_ELSEWHERE) from error
    except OSError as error:
        names = (error.filename, error.filename2)  # who copies a file has its target in the second
        if error.errno is not None and any(str(name).startswith(str(folder)) for name in names):
            raise UsageError(f"cannot write {path}: {error.strerror}", hint=_ELSEWHERE) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(path: Path, *, error: type[EdgekitError] = UsageError) -> Iterator[None]:
    """One at a time: whoever else has the block for this lock file, in a thread or another process, is waited for.

    The kernel lets go of it when a process ends, however it ends; the file stays.

    Args:
        path: of the lock file.
        error: what to raise.

    Raises:
        UsageError: or ``error``; the folder cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as why:
        raise error(f"cannot write {path}: {why.strerror or why}", hint="set EDGEKIT_HOME") from why
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # of this open file, so threads exclude each other too
        yield
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole: temporary name, fsync, rename.

    Raises:
        UsageError: the folder cannot be written to, or the disk is full.
    """
    with appearing(path) as temporary:
        fill(temporary, content, path)


def fill(temporary: Path, content: bytes, path: Path) -> None:
    """Writes the temporary file that will appear as ``path``, down to the disk.

    Raises:
        UsageError: the disk is full.
    """
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}", hint=_ELSEWHERE) from error


def check_writable(path: Path) -> None:
    """Finds out before the work starts whether ``path`` can be written.

    Raises:
        UsageError: it cannot.
    """
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder", hint="name a file")
    with appearing(path.parent / f"{path.name}.check") as temporary:
        temporary.write_bytes(b"")
    (path.parent / f"{path.name}.check").unlink()


def gzip_size(path: Path) -> int:
    """Bytes of the file after gzip -6: what a download weighs."""
    import zlib

    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    total = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            total += len(packer.compress(block))
    return total + len(packer.flush())
