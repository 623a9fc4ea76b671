"""A phone with Termux for tests: a real OpenSSH server in a file tree of Termux's layout (:mod:`android_tree`).

There is no /tmp, /bin or /usr; programs are in $PREFIX/bin (GNU's, bash, dash) and /system/bin (mksh, toybox); there is
one user without rights; /proc/stat and /proc/loadavg may not be read; no Python. Not there: bionic itself, SELinux.
sshd wants its chroot below folders that only root may write, so it sees the tree at /mnt.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import android_tree
import pytest
from processes import descendants, signal_all, wait_until
from sshd_board import _CONFIG, _SSHD, ROOT, _run, _start, emptied, free_port

FILES = "/data/data/com.termux/files"
HOME, PREFIX = f"{FILES}/home", f"{FILES}/usr"
USER, UID = "u0_a123", android_tree.USERS["u0_a123"]
#: of coreutils, findutils, grep, sed, util-linux, procps: what Termux's first installation has
_PROGRAMS = """
    bash dash cat chmod chown cp cut dd df du env expr find flock grep head id ln ls mkdir mkfifo mktemp mv nproc od
    printf ps pwd readlink realpath rm rmdir sed seq setsid sha256sum sleep sort stat sync tail tar taskset tee test
    timeout touch tr true uniq wc
""".split()  # noqa: SIM905 - a list of forty quoted words is no easier to read

_ENTER = """\
set -e
mount --make-rprivate /
for f in passwd group shadow; do mount --bind {folder}/$f /etc/$f; done
mkdir -p /run/sshd; mount -t tmpfs -o size=1m,mode=755 tmpfs /run/sshd
cp {folder}/user.pub /run/sshd/  # pytest's own folder is closed to others whenever another pytest starts
cd {root}
mount -t proc -o hidepid=2 proc proc
for f in stat loadavg vmstat; do mount --bind {folder}/denied proc/$f; done
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o size=64m,mode=700,uid={uid},gid={uid} tmpfs {home}
mount -t tmpfs -o size=1m,mode=700,uid={uid},gid={uid} tmpfs {tmp}
mount --rbind {root} /mnt
exec {server}
"""


@dataclass
class TermuxBoard:
    """A running server; ``config`` is an ssh configuration with its host ``termux``."""

    folder: Path
    config: Path
    process: subprocess.Popen[bytes]
    alias = "termux"

    def path(self, there: str) -> Path:
        """A path on the phone, as this process reaches it."""
        return Path(f"/proc/{self.process.pid}/root/mnt") / there.lstrip("/")

    def stop(self) -> None:
        signal_all([*descendants(self.process.pid), self.process.pid])
        self.process.wait()


def start_termux(folder: Path) -> TermuxBoard:
    """Starts a phone; skips the test where it cannot be."""
    if _SSHD is None:
        pytest.skip("no OpenSSH server here: apt-get install openssh-server")
    if not ROOT:
        pytest.skip("needs root that may mount: sshd enters Termux's file tree with chroot")
    android_tree.require()
    for part in folder.parents:
        if part.stat().st_mode & 0o5 != 0o5 and part.stat().st_uid == os.getuid():
            part.chmod(0o755)
    folder.chmod(0o755)
    root = folder / "root"
    root.mkdir(mode=0o755)
    _build(root)
    for name in ("user", "host"):
        _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)])
    (folder / "denied").touch(mode=0o000)
    (folder / "passwd").write_text(
        f"root:x:0:0::/root:/bin/sh\n{USER}:x:{UID}:{UID}::{HOME}:{PREFIX}/bin/bash\n"
        "sshd:x:101:65534::/run/sshd:/bin/false\n"
    )
    (folder / "group").write_text(f"root:x:0:\n{USER}:x:{UID}:\nnogroup:x:65534:\n")
    (folder / "shadow").write_text(f"root:*:19000::::::\n{USER}:*:19000::::::\nsshd:!:19000::::::\n")
    port = free_port()
    text = _CONFIG.format(port=port, keys="/run/sshd/user.pub", max_sessions=10, passwords="no")
    environment = {
        "PATH": f"{PREFIX}/bin:/system/bin",
        "PREFIX": PREFIX,
        "TMPDIR": f"{PREFIX}/tmp",
        "ANDROID_ROOT": "/system",
        "ANDROID_DATA": "/data",
        "LANG": "en_US.UTF-8",
    }
    text += f"HostKey {folder}/host\nChrootDirectory /mnt\nSubsystem sftp internal-sftp\n"
    text += f"SetEnv {' '.join(f'{key}={value}' for key, value in environment.items())}\n"
    (folder / "sshd_config").write_text(text)
    server = shlex.join([str(_SSHD), "-D", "-e", "-f", str(folder / "sshd_config")])
    script = _ENTER.format(
        folder=shlex.quote(str(folder)),
        root=shlex.quote(str(root)),
        home=HOME.lstrip("/"),
        tmp=f"{PREFIX}/tmp".lstrip("/"),
        uid=UID,
        server=server,
    )
    process = _start(folder, ["unshare", "-m", "sh", "-c", script])
    assert process is not None, (folder / "log").read_text()
    key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")
    (folder / "ssh_config").write_text(
        f"Host termux\n  HostName 127.0.0.1\n  Port {port}\n  User {USER}\n  IdentityFile {folder}/user\n"
        f"  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {folder}/known_hosts\n"
        "  GlobalKnownHostsFile /dev/null\n"
    )
    return TermuxBoard(folder=folder, config=folder / "ssh_config", process=process)


def _build(root: Path) -> None:
    android_tree.build(root)
    for part in (HOME, f"{PREFIX}/bin", f"{PREFIX}/tmp", f"{PREFIX}/etc", f"{PREFIX}/var"):
        (root / part.lstrip("/")).mkdir(parents=True)
    programs = root / f"{PREFIX}/bin".lstrip("/")
    for program in _PROGRAMS:
        android_tree.install(root, program, programs / program)
    (programs / "sh").symlink_to("dash")
    (root / "system/bin/dumpsys").unlink()  # an application may not ask the system's services
    android_tree.finish(root)


@pytest.fixture(scope="session")
def _shared_termux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TermuxBoard]:
    board = start_termux(tmp_path_factory.mktemp("termux"))
    yield board
    board.stop()


@pytest.fixture
def termux_board(_shared_termux: TermuxBoard, monkeypatch: pytest.MonkeyPatch) -> TermuxBoard:
    """A phone with an empty home folder, the host ``termux`` of ``EDGEKIT_SSH_CONFIG``."""
    wait_until(lambda: emptied(_shared_termux.path(HOME)), limit_s=20)
    monkeypatch.setenv("EDGEKIT_SSH_CONFIG", str(_shared_termux.config))
    return _shared_termux
