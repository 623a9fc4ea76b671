"""This process's memory, and how to take out of it what is not the model's."""

from __future__ import annotations

import ctypes
import os

from .files import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from .kinds import Record


class Memory:
    """This process's memory by phase, from ``/proc/self/status``; the peak starts anew with each phase."""

    def __init__(self) -> None:
        self.phases: List[Record] = []
        self.resets = True

    def end_phase(self, phase: str) -> None:
        """Notes the memory at the end of ``phase`` and resets the kernel's peak for the next one."""
        values = {}
        for line in (read_text("/proc/self/status") or "").splitlines():
            key, _, value = line.partition(":")
            if key in ("VmRSS", "VmHWM", "RssAnon", "RssFile", "VmSwap"):
                values[key] = int(value.split()[0]) * 1024
        self.phases.append(
            {
                "phase": phase,
                "rss_bytes": values.get("VmRSS"),
                "peak_rss_bytes": values.get("VmHWM"),
                "anon_bytes": values.get("RssAnon"),
                "file_bytes": values.get("RssFile"),
                "swap_bytes": values.get("VmSwap"),
            }
        )
        self.reset_peak()

    def reset_peak(self) -> None:
        """Sets the peak to the present size (``man 5 proc``, clear_refs)."""
        try:
            descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
            try:
                os.write(descriptor, b"5")
            finally:
                os.close(descriptor)
        except OSError:
            self.resets = False


def give_back() -> None:
    """Returns freed memory to the kernel: else the library would live in what compiling these files has left behind."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def forget_system_libraries() -> None:
    """Takes the pages of the C and the maths library out of this process, as far as nobody has written to them.

    Python has touched many of them. The runtime touches them too, and in a program without Python they are part of
    what a model costs: up to 3 % of it with small models. Whoever needs a page again finds it in the kernel's cache.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "madvise"):
        return
    found: List[List[Any]] = []  # address, bytes, whether some pages are its own
    try:
        with open("/proc/self/smaps", buffering=4096, encoding="utf-8", errors="replace") as stream:
            inside = False  # line by line: a large buffer would change how the library's own memory is laid out
            for line in stream:
                words = line.split()
                if "-" in words[0] and len(words) > 4:
                    name = os.path.basename(words[-1])
                    inside = name.startswith(("libc.", "libc-", "libm.", "libm-")) and "w" not in words[1]
                    if inside:
                        begin, _, end = words[0].partition("-")
                        found.append([int(begin, 16), int(end, 16) - int(begin, 16), False])
                elif inside and words[0] in ("Anonymous:", "Swap:") and words[1] != "0":
                    found[-1][2] = True
    except OSError:
        return
    for address, length, own in found:
        if not own:
            libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), 4)  # MADV_DONTNEED


def proportional_memory() -> Record:
    """PSS and USS in bytes; an empty dict where the kernel does not tell. Slow: once, at the end."""
    values = {}
    for line in (read_text("/proc/self/smaps_rollup") or "").splitlines():
        key, _, value = line.partition(":")
        if key in ("Pss", "Private_Clean", "Private_Dirty"):
            values[key] = int(value.split()[0]) * 1024
    if "Pss" not in values:
        return {}
    return {"pss_bytes": values["Pss"], "uss_bytes": values.get("Private_Clean", 0) + values.get("Private_Dirty", 0)}
