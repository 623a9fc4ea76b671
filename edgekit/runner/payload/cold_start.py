"""A start from storage: the files that it reads are dropped from the page cache before."""

from __future__ import annotations

import os
import resource

from .files import counters
from .pages import cached_bytes, file_system, forget_pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Sequence, Tuple

    from .kinds import Record


def drop_pages(paths: Sequence[str]) -> Record:
    """Drops the cached pages of exactly these files, and looks whether they are gone: fields of ``protocol.Cold``.

    Only where a whole file stays and this is root are all clean pages of the system dropped, once; pages that another
    process has mapped would stay all the same.
    """
    sizes = {path: os.stat(path).st_size for path in paths if os.path.exists(path)}
    for path in sizes:
        forget_pages(path)
    left, untold = pages_left(sizes)
    in_memory = [path for path in left if file_system(path) in ("tmpfs", "ramfs")]
    whole = [path for path in left if path not in (*in_memory, *untold) and left[path] == sizes[path]]
    everything = False
    if whole and os.geteuid() == 0:
        os.sync()
        try:
            descriptor = os.open("/proc/sys/vm/drop_caches", os.O_WRONLY)
        except OSError:  # a container
            pass
        else:
            try:
                os.write(descriptor, b"1")
                everything = True
            except OSError:
                pass
            finally:
                os.close(descriptor)
        left, untold = pages_left(sizes)
    total, kept = sum(sizes.values()), sum(left.values())
    return {
        "dropped": "yes" if not kept else "no" if 10 * kept >= 9 * total else "partly",
        "reason": why_kept(left, in_memory, untold),
        "files": len(sizes),
        "bytes": total,
        "left_bytes": kept,
        "everything": everything,
    }


def pages_left(sizes: Dict[str, int]) -> Tuple[Dict[str, int], List[str]]:
    """What of files is in memory, all of it where the kernel does not tell; and of which files it does not."""
    found = {path: cached_bytes(path) for path in sizes}
    untold = [path for path, cached in found.items() if cached is None]
    left = {path: sizes[path] if cached is None else cached for path, cached in found.items() if cached != 0}
    return left, untold


def why_kept(left: Dict[str, int], in_memory: Sequence[str], untold: Sequence[str]) -> str:
    """Why pages of files are still in memory; empty where none are."""
    if not left:
        return ""
    path = max(left, key=lambda name: left[name])
    name = os.path.basename(path)
    if path in in_memory:
        return "%s lies on a file system in memory (%s), which keeps its pages" % (name, file_system(path))
    if path in untold:
        return "the kernel does not tell whether the pages of %s are gone" % name
    if os.geteuid() not in (0, os.stat(path).st_uid) and not os.access(path, os.W_OK):
        return "%s belongs to somebody else: the kernel does not tell whether its pages are gone" % name
    return "the kernel keeps pages of %s: another process may use it" % name


class ColdStart:
    """What a start from storage took besides time."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.record = drop_pages(paths)
        self.faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        self.read = counters("/proc/self/io").get("read_bytes")

    def end(self) -> Record:
        """The first run has ended: the fields of ``protocol.Cold``."""
        read = counters("/proc/self/io").get("read_bytes")
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt - self.faults
        came = None if read is None or self.read is None else read - self.read
        return dict(self.record, major_faults=faults, read_bytes=came)
