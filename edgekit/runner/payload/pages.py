"""The page cache: which pages of a file are in it, and how they are dropped."""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional


_PROT_READ, _MAP_SHARED, _MAP_FAILED = 1, 1, ctypes.c_void_p(-1).value


def forget_pages(path: str) -> None:
    """Asks the kernel to drop the cached pages of a file; what was not written yet is written first."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        try:  # noqa: SIM105 - contextlib would show in the memory figures
            os.fsync(descriptor)
        except OSError:  # what is read-only has nothing to be written
            pass
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except (OSError, AttributeError):  # it is left in memory, which is seen afterwards
        pass
    finally:
        os.close(descriptor)


def cached_bytes(path: str) -> Optional[int]:
    """How much of a file lies in the page cache: mincore(2). The kernel says "all" of a file of somebody else's.

    None: it does not tell.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return 0
    try:
        size = os.fstat(descriptor).st_size
        if not size:
            return 0
        address = libc.mmap(None, ctypes.c_size_t(size), _PROT_READ, _MAP_SHARED, descriptor, ctypes.c_long(0))
        if address in (None, _MAP_FAILED):
            return None
        pages = (ctypes.c_ubyte * ((size + page - 1) // page))()
        failed = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), pages)
        libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))
        return None if failed else min(size, page * sum(flags & 1 for flags in pages))
    finally:
        os.close(descriptor)


def file_system(path: str) -> str:
    """The kind of file system that a file lies on; empty where that is hidden."""
    try:
        device = os.stat(path).st_dev
    except OSError:
        return ""
    wanted = "%d:%d" % (os.major(device), os.minor(device))
    descriptor = -1
    try:
        descriptor = os.open("/proc/self/mountinfo", os.O_RDONLY)
        text = b"".join(iter(lambda: os.read(descriptor, 65536), b"")).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    for line in text.splitlines():
        mount, _, kind = line.partition(" - ")
        if mount.split()[2:3] == [wanted]:
            return kind.split(" ")[0]
    return ""
