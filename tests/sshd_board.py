"""Boards for tests: a real OpenSSH server on loopback, and a network that breaks on demand.

As root, where the machine allows it, the server lives in mount and UTS namespaces of its own, with a user ``pi`` (not
root, so permissions and full disks are real), a small disk for ``/home``, and a read-only one at ``/home/readonly``.
Nothing of the host changes. Otherwise it is a plain server for whoever runs the tests, and tests that need more skip.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


def _may_have_namespaces() -> bool:
    """Root in a container often may not mount."""
    trial = ["unshare", "-m", "-u", "sh", "-c", "mount --make-rprivate / && mount -t tmpfs tmpfs /home && hostname x"]
    return os.getuid() == 0 and subprocess.run(trial, capture_output=True, check=False).returncode == 0


#: the server has a user, a disk and a host name of its own
ROOT = _may_have_namespaces()
_SSHD = shutil.which("sshd") or shutil.which("/usr/sbin/sshd")

_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
AuthorizedKeysFile {keys}
StrictModes no
PidFile none
PermitRootLogin yes
UsePAM no
PasswordAuthentication {passwords}
KbdInteractiveAuthentication no
UseDNS no
PrintMotd no
PrintLastLog no
MaxSessions {max_sessions}
MaxStartups 50
LogLevel VERBOSE
"""

_ENTER = """\
set -e
mount --make-rprivate /
for f in passwd group shadow; do mount --bind {folder}/$f /etc/$f; done
mount -t tmpfs -o size={disk_mb}m,mode=755 tmpfs /home
mkdir /home/pi /home/readonly; chown 1000:1000 /home/pi
mount -t tmpfs -o ro,size=1m tmpfs /home/readonly
mkdir -p /run/sshd; mount -t tmpfs -o size=1m,mode=755 tmpfs /run/sshd
cp {folder}/authorized_keys /run/sshd/  # pytest's own folder is closed to pi
hostname raspberrypi
exec {sshd} -D -e -f {folder}/sshd_config
"""


@dataclass
class Sshd:
    """A running server.

    Attributes:
        alias: the ``Host`` of its ssh configuration.
        config: ssh configuration with that host; ``known_hosts`` and ``key`` belong to it.
        home: home folder of the user, as the board sees it.
    """

    folder: Path
    alias: str
    port: int
    user: str
    home: str
    key: Path
    known_hosts: Path
    config: Path
    password: str
    process: subprocess.Popen[bytes]
    host = "127.0.0.1"

    def path(self, there: str) -> Path:
        """A path on the board, as this process reaches it."""
        return Path(f"/proc/{self.process.pid}/root") / there.lstrip("/") if ROOT else Path(there)

    def sessions(self) -> list[int]:
        """Process ids of everything that the server has started."""
        return _descendants(self.process.pid)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The connected sessions do not run; the kernel still acknowledges what it gets."""
        stopped = self.sessions()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def write_config(self, name: str, *lines: str, port: int | None = None) -> Path:
        """A further ssh configuration for this board; ``lines`` come first, so they win.

        With another ``port`` (a :class:`FaultyNetwork`'s) the host key is looked up under the board's own name.
        """
        path = self.folder / name
        alias = f"  HostKeyAlias [{self.host}]:{self.port}\n" if port else ""
        first = "".join(f"  {line}\n" for line in lines)
        path.write_text(
            f"Host {self.alias}\n{first}{alias}  HostName {self.host}\n  Port {port or self.port}\n  User {self.user}\n"
            f"  IdentityFile {self.key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
        )
        return path

    def public_key(self, kind: str = "ed25519") -> str:
        """``TYPE BASE64`` of a host key."""
        return " ".join((self.folder / f"host_{kind}.pub").read_text().split()[:2])

    def clean(self) -> None:
        """Empties the home folder."""
        for item in self.path(self.home).iterdir():
            shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()

    def stop(self) -> None:
        """Ends the server and its sessions."""
        for pid in [*self.sessions(), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def start_sshd(
    folder: Path,
    *,
    alias: str = "pi4",
    disk_mb: int = 64,
    max_sessions: int = 10,
    sftp: bool = True,
    host_keys: tuple[str, ...] = ("ed25519",),
    bashrc: str = "",
    password: str = "",
    extra: str = "",
) -> Sshd:
    """Starts a server; skips the test where there is none.

    Args:
        host_keys: kinds, in the order in which sshd reads them.
        bashrc: what the user's shell runs before every command.
        password: of the user; none: passwords are not accepted.
        extra: further lines of ``sshd_config``.
    """
    if _SSHD is None:
        pytest.skip("no OpenSSH server here: apt-get install openssh-server")
    if not ROOT and (bashrc or password or disk_mb < 64):
        pytest.skip("needs root, for a user and a disk of its own")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name, kind in (("user", "ed25519"), *((f"host_{kind}", kind) for kind in host_keys)):
        if not (folder / name).exists():
            _run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "edgekit-test", "-f", str(folder / name)])
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    user = "pi" if ROOT else pwd.getpwuid(os.getuid()).pw_name
    for attempt in range(5):
        port = free_port()
        keys = "/run/sshd/authorized_keys" if ROOT else f"{folder}/authorized_keys"
        text = _CONFIG.format(port=port, keys=keys, max_sessions=max_sessions, passwords="yes" if password else "no")
        text += "".join(f"HostKey {folder}/host_{kind}\n" for kind in host_keys)
        text += "Subsystem sftp internal-sftp\n" if sftp else ""
        text += f"{extra}\n"
        if not ROOT:  # a home of its own: the user's stays as it is
            (folder / "home").mkdir(exist_ok=True)
            if os.getuid() == 0:
                Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it
            text += f'ForceCommand cd {folder}/home; HOME={folder}/home exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
        (folder / "sshd_config").write_text(text)
        process = _start(folder, disk_mb, password)
        if process is not None:
            break
        if attempt == 4:
            raise AssertionError(f"sshd did not start: {(folder / 'log').read_text()}")
    board = Sshd(
        folder=folder,
        alias=alias,
        port=port,
        user=user,
        home="/home/pi" if ROOT else str(folder / "home"),
        key=folder / "user",
        known_hosts=folder / "known_hosts",
        config=folder / "ssh_config",
        password=password,
        process=process,
    )
    known = [f"[{board.host}]:{port} {board.public_key(kind)}\n" for kind in host_keys]
    board.known_hosts.write_text("".join(known))
    board.write_config("ssh_config")
    if bashrc:
        board.path("/home/pi/.bashrc").write_text(bashrc)
    return board


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(folder: Path, disk_mb: int, password: str) -> subprocess.Popen[bytes] | None:
    """The server, once it listens; None where its port was taken meanwhile."""
    log = folder / "log"
    if ROOT:
        digest = _run(["openssl", "passwd", "-6", password]).strip() if password else "*"
        (folder / "passwd").write_text(
            "root:x:0:0:root:/root:/bin/sh\npi:x:1000:1000::/home/pi:/bin/bash\nsshd:x:101:65534::/run/sshd:/bin/false\n"
        )
        (folder / "group").write_text("root:x:0:\npi:x:1000:\nnogroup:x:65534:\n")
        (folder / "shadow").write_text(f"root:*:19000::::::\npi:{digest}:19000::::::\nsshd:!:19000::::::\n")
        (folder / "enter.sh").write_text(_ENTER.format(folder=folder, disk_mb=disk_mb, sshd=_SSHD))
        argv = ["unshare", "-m", "-u", "sh", str(folder / "enter.sh")]
    else:
        argv = [str(_SSHD), "-D", "-e", "-f", str(folder / "sshd_config")]
    with log.open("wb") as noise:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=noise, stderr=noise, preexec_fn=_die_with_parent
        )
    while process.poll() is None:
        if "Server listening" in log.read_text(errors="replace"):
            return process
        time.sleep(0.02)
    if "in use" in log.read_text(errors="replace"):
        return None
    raise AssertionError(f"sshd did not start: {log.read_text(errors='replace')}")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a killed pytest leaves no server behind


def _run(argv: list[str]) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


@dataclass
class FaultyNetwork:
    """A relay in front of a server, which breaks once a number of bytes went up.

    Attributes:
        fault: ``reset``, ``close``, ``stall`` (nothing passes any more), ``flip`` (one bit), ``silent`` (no greeting).
        after: bytes from the client before it happens.
        times: so many connections break; the later ones work.
    """

    target: int
    fault: str
    after: int = 0
    times: int = 1
    port: int = 0
    _sockets: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> FaultyNetwork:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                broken, self.times = self.times > 0, self.times - 1
                if broken and self.fault == "silent":
                    continue
                server = socket.create_connection(("127.0.0.1", self.target))
                self._sockets.append(server)
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._up, args=(client, server, broken), daemon=True).start()
                threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, broken: bool) -> None:
        seen = 0
        with contextlib.suppress(OSError):
            while block := client.recv(1 << 16):
                before, seen = seen, seen + len(block)
                if broken and before <= self.after < seen:
                    if self.fault == "flip":
                        changed = bytearray(block)
                        changed[self.after - before] ^= 1
                        block = bytes(changed)
                    elif self.fault == "stall":
                        threading.Event().wait(3600)
                    else:
                        if self.fault == "reset":
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        client.close()
                        break
                server.sendall(block)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _down(server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := server.recv(1 << 16):
                client.sendall(block)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="session")
def _shared_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    board = start_sshd(tmp_path_factory.mktemp("sshd"))
    yield board
    board.stop()


@pytest.fixture
def sshd_board(_shared_sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """A board ``pi4`` with an empty home folder, reachable through ``EDGEKIT_SSH_CONFIG``."""
    _shared_sshd.clean()
    monkeypatch.setenv("EDGEKIT_SSH_CONFIG", str(_shared_sshd.config))
    return _shared_sshd


@pytest.fixture
def sshd_factory(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Sshd]]:
    """Starts further servers with options of :func:`start_sshd`; the last one is in ``EDGEKIT_SSH_CONFIG``."""
    started: list[Sshd] = []

    def start(**options: Any) -> Sshd:
        started.append(start_sshd(tmp_path_factory.mktemp("sshd"), **options))
        monkeypatch.setenv("EDGEKIT_SSH_CONFIG", str(started[-1].config))
        return started[-1]

    yield start
    for board in started:
        board.stop()


@pytest.fixture
def faulty_network() -> Iterator[Callable[..., FaultyNetwork]]:
    """Opens a :class:`FaultyNetwork` in front of a server: ``faulty_network(board, "reset", after=1_000_000)``."""
    with contextlib.ExitStack() as stack:
        yield lambda board, fault, **options: stack.enter_context(
            FaultyNetwork(target=board.port, fault=fault, **options)
        )
