"""The board's image: kernel, initial RAM disk, root file system and keys, made from Debian's packages."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
import time
from pathlib import Path

import boot
import rootfs
from host import cache_folder, locked, run, say
from packages import PrivateApt, unpack
from variant import KERNEL, KERNEL_ARCHITECTURE, Variant

DISK_SIZE = "2G"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Image:
    """Files of one image; ``snapshots`` is where the machine keeps booted states of it."""

    folder: Path
    variant: Variant

    @property
    def kernel(self) -> Path:
        """What QEMU boots."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The initial RAM disk."""
        return self.folder / "initrd"

    @property
    def disk(self) -> Path:
        """The raw ext4 root file system; never written by a machine."""
        return self.folder / "root.ext4"

    @property
    def user_key(self) -> Path:
        """The private key that logs in as ``pi`` and as root."""
        return self.folder / "id_ed25519"

    @property
    def host_key(self) -> tuple[str, str]:
        """Type and base64 blob of the board's public host key."""
        kind, blob = (self.folder / "host_ed25519.pub").read_text().split()[:2]
        return kind, blob

    @property
    def snapshots(self) -> Path:
        """Folder of booted states; removed together with the image."""
        return self.folder / "snapshots"


def ensure_image(variant: Variant, *, fresh: bool = False, mirror: str | None = None) -> tuple[Image, bool]:
    """The image of this variant, and whether it was there already. ``fresh`` makes it again, with today's packages.

    It is found by what it is made of: the variant, and every line of the modules that make it.
    """
    source = [(Path(__file__).with_name(name)).read_text() for name in ("boot.py", "image.py", "rootfs.py")]
    recipe = repr((dataclasses.astuple(variant), variant.packages, KERNEL, source))
    words = "-".join([variant.suite, *(word for word in variant.words if word != variant.suite)])
    folder = cache_folder() / f"image-{words}-{hashlib.sha256(recipe.encode()).hexdigest()[:10]}"
    image = Image(folder=folder, variant=variant)
    with locked(cache_folder() / "image.lock"):
        if folder.exists() and not fresh:
            return image, True
        for rest in cache_folder().glob("building-*"):  # of a build that was interrupted: the lock is ours
            shutil.rmtree(rest)
        build = Path(tempfile.mkdtemp(prefix="building-", dir=cache_folder()))
        try:
            (build / "image").mkdir(mode=0o700)  # the board's keys
            _build(build, variant, mirror)
            if folder.exists():
                shutil.rmtree(folder)
            (build / "image").rename(folder)
        finally:
            shutil.rmtree(build, ignore_errors=True)
    return image, False


def _build(build: Path, variant: Variant, mirror: str | None) -> None:
    begin = time.monotonic()
    image, root = build / "image", build / "root"
    say(f"making the image (once; about a minute): {variant.text}")
    apt = PrivateApt(build / "apt", suite=variant.suite, architecture=variant.architecture, mirror=mirror)
    kernels = apt
    if variant.architecture != KERNEL_ARCHITECTURE:
        kernels = PrivateApt(build / "kapt", suite=variant.suite, architecture=KERNEL_ARCHITECTURE, mirror=mirror)
    kernel = kernels.fetch_dependency(KERNEL, "linux-image", build / "kernel-deb")
    files = apt.fetch(variant.packages, build / "debs")
    size = sum(file.stat().st_size for file in (kernel, *files))
    say(f"{len(files) + 1} packages, {size / 1e6:.0f} MB after {_since(begin)}")
    _take_kernel(kernel, build / "kernel", image)
    rootfs.skeleton(root)
    for file in files:
        unpack(file, root)
    modules = boot.ordered_modules(build / "kernel" / "lib" / "modules")
    (image / "initrd").write_bytes(boot.initrd((root / "usr/bin/busybox").read_bytes(), modules))
    rootfs.configure(root)
    _keys(image, root)
    rootfs.compile_python(root)
    say(f"unpacked after {_since(begin)}")
    disk = image / "root.ext4"
    run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-E", "root_owner=0:0", "-d", str(root), str(disk), DISK_SIZE])
    rootfs.own(root, disk)
    say(f"image of {disk.stat().st_blocks * 512 / 1e6:.0f} MB made in {_since(begin)}")


def _take_kernel(package: Path, folder: Path, image: Path) -> None:
    folder.mkdir()
    (folder / "usr" / "lib").mkdir(parents=True)
    (folder / "lib").symlink_to("usr/lib")  # newer packages have /usr/lib/modules
    unpack(package, folder)
    (vmlinuz,) = (folder / "boot").glob("vmlinuz-*")
    shutil.copy(vmlinuz, image / "vmlinuz")


def _keys(image: Path, root: Path) -> None:
    for name in ("host_ed25519", "id_ed25519"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "emulated-board", "-f", str(image / name)])
    shutil.copy(image / "host_ed25519", root / "etc/ssh/ssh_host_ed25519_key")
    (image / "host_ed25519").unlink()
    for home in ("root", "home/pi"):
        folder = root / home / ".ssh"
        folder.mkdir(mode=0o700)
        shutil.copy(image / "id_ed25519.pub", folder / "authorized_keys")


def _since(begin: float) -> str:
    return f"{time.monotonic() - begin:.0f} s"
