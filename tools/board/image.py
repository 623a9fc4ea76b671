"""The board's image: kernel, initial RAM disk, root file system and keys, made from Debian's packages."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boot
from host import BoardError, cache_folder, find_program, locked, program, run, say
from packages import PrivateApt, unpack

SUITE = "bookworm"
KERNEL = "linux-image-cloud-arm64"
#: of a Debian that is worth the name, and the libraries that runtimes and numpy's wheels load
PACKAGES = (
    "base-files base-passwd bash busybox-static coreutils dash debianutils diffutils findutils grep gzip hostname "
    "iproute2 libc-bin libgomp1 libstdc++6 login mawk mount netbase openssh-server openssh-sftp-server passwd procps "
    "python3 sed tar util-linux"
)
DISK_SIZE = "2G"

HOSTNAME = "emulated"
SSHD_CONFIG = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
PrintMotd no
Subsystem sftp /usr/lib/openssh/sftp-server
"""
INITTAB = """\
::sysinit:/etc/rc.board
::respawn:/usr/sbin/sshd -D -e
::ctrlaltdel:/bin/busybox reboot
"""
#: the first process that the board's init runs; the network is QEMU's user-mode one
RC = """\
#!/bin/sh
exec >/dev/console 2>&1
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/sshd; mkdir -m 1777 -p /run/lock
mount -t cgroup2 cgroup2 /sys/fs/cgroup
hostname -F /etc/hostname
ip link set lo up
i=0; while [ ! -e /sys/class/net/eth0 ] && [ $i -lt 60 ]; do sleep 0.25; i=$((i+1)); done
ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Image:
    """Files of one image; ``snapshots`` is where the machine keeps booted states of it."""

    folder: Path

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


def ensure_image(*, fresh: bool = False, mirror: str | None = None) -> tuple[Image, bool]:
    """The image of this tool's version, and whether it was there already. ``fresh`` makes it again."""
    recipe = (SUITE, KERNEL, PACKAGES, DISK_SIZE, SSHD_CONFIG, INITTAB, RC, boot.MODULES, boot.INIT)
    folder = cache_folder() / f"image-{SUITE}-arm64-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:10]}"
    with locked(cache_folder() / "image.lock"):
        if folder.exists() and not fresh:
            return Image(folder=folder), True
        for rest in cache_folder().glob("building-*"):  # of a build that was interrupted: the lock is ours
            shutil.rmtree(rest)
        build = Path(tempfile.mkdtemp(prefix="building-", dir=cache_folder()))
        try:
            (build / "image").mkdir(mode=0o700)  # the board's keys
            _build(build, mirror)
            if folder.exists():
                shutil.rmtree(folder)
            (build / "image").rename(folder)
        finally:
            shutil.rmtree(build, ignore_errors=True)
    return Image(folder=folder), False


def _build(build: Path, mirror: str | None) -> None:
    begin = time.monotonic()
    image, root = build / "image", build / "root"
    say(f"making the image (once; about a minute): Debian {SUITE} for arm64")
    apt = PrivateApt(build / "apt", suite=SUITE, architecture="arm64", mirror=mirror)
    kernel_package = apt.dependency(KERNEL, "linux-image")
    wanted = [*apt.closure(PACKAGES.split()), kernel_package]
    files = apt.download(wanted, build / "debs")
    say(f"{len(files)} packages, {sum(f.stat().st_size for f in files) / 1e6:.0f} MB after {_since(begin)}")
    (kernel,) = (file for file in files if file.name.startswith("linux-image-"))
    _take_kernel(kernel, build / "kernel", image)
    _skeleton(root)
    for file in files:
        if file != kernel:
            unpack(file, root)
    modules = boot.ordered_modules(build / "kernel" / "lib" / "modules")
    (image / "initrd").write_bytes(boot.initrd((root / "usr/bin/busybox").read_bytes(), modules))
    _configure(root)
    _keys(image, root)
    _compile(root)
    say(f"unpacked after {_since(begin)}")
    disk = image / "root.ext4"
    run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-E", "root_owner=0:0", "-d", str(root), str(disk), DISK_SIZE])
    _own(root, disk)
    say(f"image of {disk.stat().st_blocks * 512 / 1e6:.0f} MB made in {_since(begin)}")


def _take_kernel(package: Path, folder: Path, image: Path) -> None:
    folder.mkdir()
    (folder / "usr" / "lib").mkdir(parents=True)
    (folder / "lib").symlink_to("usr/lib")  # newer packages have /usr/lib/modules
    unpack(package, folder)
    (vmlinuz,) = (folder / "boot").glob("vmlinuz-*")
    shutil.copy(vmlinuz, image / "vmlinuz")


def _skeleton(root: Path) -> None:
    """Debian's merged /usr: the links must be there before the first package."""
    for name in ("bin", "sbin", "lib"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")


def _configure(root: Path) -> None:
    """What the maintainer scripts would have written."""
    masters, etc = root / "usr/share/base-passwd", root / "etc"
    accounts = [line.split(":") for line in (masters / "passwd.master").read_text().splitlines()]
    accounts = [[name, "x", *rest] for name, _, *rest in accounts]
    accounts += [["sshd", "x", "105", "65534", "", "/run/sshd", "/usr/sbin/nologin"]]
    accounts += [["pi", "x", "1000", "1000", ",,,", "/home/pi", "/bin/bash"]]
    (etc / "passwd").write_text("".join(":".join(account) + "\n" for account in accounts))
    (etc / "shadow").write_text("".join(f"{account[0]}:*:19000:0:99999:7:::\n" for account in accounts))
    (etc / "shadow").chmod(0o640)
    (etc / "group").write_text((masters / "group.master").read_text() + "pi:x:1000:\n")
    for name, text in {
        "hostname": f"{HOSTNAME}\n",
        "hosts": f"127.0.0.1 localhost {HOSTNAME}\n",
        "fstab": "/dev/vda / ext4 defaults 0 1\n",
        "inittab": INITTAB,
        "rc.board": RC,
        "ssh/sshd_config": SSHD_CONFIG,
    }.items():
        (etc / name).parent.mkdir(exist_ok=True)
        (etc / name).write_text(text)
    (etc / "rc.board").chmod(0o755)
    for source in ("base-files/profile", "libc-bin/nsswitch.conf"):
        shutil.copy(root / "usr/share" / source, etc)
    for name in ("proc", "sys", "dev", "run", "mnt", "root", "home/pi"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(0o1777)
    for name in (".bashrc", ".profile"):
        shutil.copy(etc / "skel" / name, root / "home/pi" / name)
    links = dict.fromkeys(("sbin/init", "sbin/reboot", "sbin/poweroff"), "/bin/busybox")
    for name, target in {**links, "bin/awk": "mawk", "bin/sh": "dash", "bin/which": "which.debianutils"}.items():
        if not (root / "usr" / name).is_symlink():
            (root / "usr" / name).symlink_to(target)


def _keys(image: Path, root: Path) -> None:
    for name in ("host_ed25519", "id_ed25519"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "emulated-board", "-f", str(image / name)])
    shutil.copy(image / "host_ed25519", root / "etc/ssh/ssh_host_ed25519_key")
    (image / "host_ed25519").unlink()
    for home in ("root", "home/pi"):
        folder = root / home / ".ssh"
        folder.mkdir(mode=0o700)
        shutil.copy(image / "id_ed25519.pub", folder / "authorized_keys")


def _compile(root: Path) -> None:
    """Byte code, where this machine has the same Python: the emulated one takes seconds for what takes none here."""
    (library,) = (root / "usr/lib").glob("python3.*")
    same = f"python{sys.version_info[0]}.{sys.version_info[1]}" == library.name
    python = sys.executable if same else find_program(library.name)
    if python:
        folders = [str(library), str(root / "usr/lib/python3/dist-packages")]
        compiler = [python, "-m", "compileall", "-q", "-j", "2", "-s", str(root), "-p", "/", *folders]
        subprocess.run(compiler, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _own(root: Path, disk: Path) -> None:
    """Gives the files to root and to pi, whoever made the image."""
    lines = []
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = (Path(folder) / name).relative_to(root)
            owner = 1000 if path.is_relative_to("home/pi") else 0
            lines += [f'sif "/{path}" uid {owner}', f'sif "/{path}" gid {owner}']
    done = subprocess.run(
        [program("debugfs"), "-w", "-f", "-", str(disk)], input="\n".join(lines), capture_output=True, text=True
    )
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("debugfs ")]
    if done.returncode != 0 or complaints:
        raise BoardError(f"cannot set the owners in {disk}: {' '.join(complaints[:3])}")


def _since(begin: float) -> str:
    return f"{time.monotonic() - begin:.0f} s"
