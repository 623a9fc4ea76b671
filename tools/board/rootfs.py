"""The board's root file system: what the packages' maintainer scripts would have written, without running them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from host import BoardError, find_program, program

HOSTNAME = "emulated"
SSHD_CONFIG = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 100
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


def skeleton(root: Path) -> None:
    """Debian's merged /usr: the links must be there before the first package."""
    for name in ("bin", "sbin", "lib"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")


def configure(root: Path) -> None:
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
    shutil.copy(root / "usr/share/base-files/profile", etc)
    for package in ("libc-bin", "base-files"):  # the second one until bullseye
        if (root / "usr/share" / package / "nsswitch.conf").exists():
            shutil.copy(root / "usr/share" / package / "nsswitch.conf", etc)
    for name in ("proc", "sys", "dev", "run", "mnt", "root", "home/pi"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(0o1777)
    for name in (".bashrc", ".profile"):
        shutil.copy(etc / "skel" / name, root / "home/pi" / name)
    links = dict.fromkeys(("sbin/init", "sbin/reboot", "sbin/poweroff"), "/bin/busybox")
    for name, target in {**links, "bin/awk": "mawk", "bin/sh": "dash", "bin/which": "which.debianutils"}.items():
        if not os.path.lexists(root / "usr" / name):
            (root / "usr" / name).symlink_to(target)
    for library in sorted((root / "usr/lib").glob("*/*/lib*.so.3")):  # what Debian's alternatives choose for numpy
        if library.parent.name in ("blas", "lapack"):
            (library.parents[1] / library.name).symlink_to(f"{library.parent.name}/{library.name}")


def compile_python(root: Path) -> None:
    """Byte code, where this machine has the same Python: the emulated one takes seconds for what takes none here."""
    library = next((root / "usr/lib").glob("python3.*"), None)
    if library is None:
        return
    same = f"python{sys.version_info[0]}.{sys.version_info[1]}" == library.name
    python = sys.executable if same else find_program(library.name)
    if python:
        folders = [str(library), str(root / "usr/lib/python3/dist-packages")]
        compiler = [python, "-m", "compileall", "-q", "-j", "2", "-s", str(root), "-p", "/", *folders]
        subprocess.run(compiler, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def own(root: Path, disk: Path) -> None:
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
