"""The kernel's way to the root file system: its modules in order, and a small initial RAM disk."""

from __future__ import annotations

import gzip
import lzma
import re
import stat
from pathlib import Path

#: reach the disk and the network; modules that these name come along
MODULES = ("virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng", "crc32c_generic", "ext4")

INIT = b"""#!/bin/sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sysfs /sys; $B mount -t devtmpfs dev /dev
for m in /m/*.ko; do $B insmod $m; done
i=0; while [ ! -b /dev/vda ] && [ $i -lt 100 ]; do $B sleep 0.1; i=$((i+1)); done
$B mount -t ext4 /dev/vda /r || exec $B sh
$B umount /proc; $B umount /sys; $B mount --move /dev /r/dev
exec $B switch_root /r /sbin/init
"""


def ordered_modules(tree: Path) -> list[bytes]:
    """The contents of MODULES and what they depend on, in the order of loading; built-in ones are absent."""
    files = {path.name.split(".ko")[0].replace("-", "_"): path for path in sorted(tree.rglob("*.ko*"))}
    contents: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in contents or name not in files:
            return
        raw = files[name].read_bytes()
        data = lzma.decompress(raw) if files[name].suffix == ".xz" else raw
        found = re.search(rb"\0depends=([^\0]*)\0", data)
        for dependency in found[1].decode().split(",") if found else ():
            add(dependency.replace("-", "_"))
        contents[name] = data

    for name in MODULES:
        add(name)
    return list(contents.values())


def initrd(busybox: bytes, modules: list[bytes]) -> bytes:
    """A gzip-compressed cpio archive (newc): busybox, the modules, and the script that mounts the disk."""
    archive = bytearray()
    for folder in ("bin", "m", "proc", "sys", "dev", "r"):
        archive += _entry(folder, stat.S_IFDIR | 0o755, b"")
    archive += _entry("bin/busybox", stat.S_IFREG | 0o755, busybox)
    archive += _entry("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    for index, module in enumerate(modules):
        archive += _entry(f"m/{index:02d}.ko", stat.S_IFREG | 0o644, module)
    archive += _entry("init", stat.S_IFREG | 0o755, INIT)
    archive += _entry("TRAILER!!!", 0, b"")
    return gzip.compress(bytes(archive), 6)


def _entry(name: str, mode: int, data: bytes) -> bytes:
    """One file of a newc archive; one link, so the inode number does not matter; times and owners are 0."""
    path = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
