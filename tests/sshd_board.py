"""Boards for tests: a real OpenSSH server on loopback.

As root, where the machine allows it, the server lives in namespaces of its own (see :mod:`sshd_namespace`), with users
``pi`` and ``pi2`` (not root, so permissions and full disks are real), a small disk for ``/home``, a read-only one at
``/home/readonly``, and ``/tmp`` and ``/run/lock`` that no other board has. Nothing of the host changes. Otherwise it is
a plain server for whoever runs the tests, and tests that need more skip.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sshd_namespace
from processes import command_lines, descendants, kill_at_once, signal_all, wait_until


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
LogLevel VERBOSE
"""


@dataclass
class Sshd:
    """A running server.

    Attributes:
        alias: the ``Host`` of its ssh configuration.
        config: ssh configuration with that host; ``known_hosts`` and ``key`` belong to it.
        home: home folder of the user, as the board sees it.
        private: the server's own folder, as the board sees it: for files that ``extra`` lines name.
    """

    folder: Path
    alias: str
    port: int
    user: str
    home: str
    key: Path
    known_hosts: Path
    config: Path
    private: str
    password: str
    process: subprocess.Popen[bytes]
    host = "127.0.0.1"

    def path(self, there: str) -> Path:
        """A path on the board, as this process reaches it."""
        return Path(f"/proc/{self.process.pid}/root") / there.lstrip("/") if ROOT else Path(there)

    def sessions(self) -> list[int]:
        """Process ids of everything that the server has started."""
        return descendants(self.process.pid)

    def commands(self) -> str:
        """The command lines of what runs on it."""
        return command_lines(self.sessions())

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The connected sessions do not run; the kernel still acknowledges what it gets."""
        stopped = self.sessions()
        signal_all(stopped, signal.SIGSTOP)
        try:
            yield
        finally:
            signal_all(stopped, signal.SIGCONT)

    def kill_sessions(self) -> None:
        """Ends everything that the server has started at once, as a power cut does; the server takes new ones."""
        kill_at_once(self.process.pid)

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
        """Empties what its users may write in.

        What an earlier test has started there may end only now, and tidy up after itself meanwhile.
        """
        for folder in (self.home, "/home/pi2", "/tmp", "/run/lock") if ROOT else (self.home,):
            wait_until(lambda: emptied(self.path(folder)), limit_s=20)  # noqa: B023 - called at once

    def stop(self) -> None:
        """Ends the server and its sessions."""
        signal_all([*self.sessions(), self.process.pid])
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
    without: tuple[str, ...] = (),
    busybox: bool = False,
    noexec: bool = False,
    cpus: Path | None = None,
) -> Sshd:
    """Starts a server; skips the test where there is none.

    Args:
        host_keys: kinds, in the order in which sshd reads them.
        bashrc: what the user's shell runs before every command.
        password: of the user; none: passwords are not accepted.
        extra: further lines of ``sshd_config``.
        without: programs that the board does not have, ``("python3", "flock")``; versions of them go along.
        busybox: the board's users find busybox's programs and nothing else, not even bash.
        noexec: nothing in ``/home`` can be executed.
        cpus: what the board has as ``/sys/devices/system/cpu``; the test may look into it meanwhile.
    """
    _require(own=bool(bashrc or password or disk_mb < 64 or without or busybox or noexec or cpus), busybox=busybox)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name, kind in (("user", "ed25519"), *((f"host_{kind}", kind) for kind in host_keys)):
        if not (folder / name).exists():
            _run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "edgekit-test", "-f", str(folder / name)])
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    user = "pi" if ROOT else pwd.getpwuid(os.getuid()).pw_name
    private = sshd_namespace.PRIVATE if ROOT else str(folder)
    for attempt in range(5):
        port = free_port()
        keys = f"{private}/authorized_keys"
        text = _CONFIG.format(port=port, keys=keys, max_sessions=max_sessions, passwords="yes" if password else "no")
        text += "".join(f"HostKey {private}/host_{kind}\n" for kind in host_keys)
        text += "Subsystem sftp internal-sftp\n" if sftp else ""
        text += f"{extra}\n" + ("" if "MaxStartups" in extra else "MaxStartups 50\n")
        if not ROOT:  # a home of its own: the user's stays as it is
            (folder / "home").mkdir(exist_ok=True)
            if os.getuid() == 0:
                Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it
            text += f'ForceCommand cd {folder}/home; HOME={folder}/home exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
        (folder / "sshd_config").write_text(text)
        argv = [str(_SSHD), "-D", "-e", "-f", f"{private}/sshd_config"]
        if ROOT:
            digest = _run(["openssl", "passwd", "-6", password]).strip() if password else "*"
            options = {"disk_mb": disk_mb, "without": without, "busybox": busybox, "noexec": noexec, "cpus": cpus}
            argv = sshd_namespace.prepare(folder, argv, password=digest, **options)
        process = _start(folder, argv)
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
        private=private,
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


def emptied(folder: Path) -> bool:
    """Whether nothing is left in it; what is removed by somebody else meanwhile is no error."""
    subprocess.run(["find", folder, "-mindepth", "1", "-delete"], capture_output=True, check=False)
    return not any(folder.iterdir())


def _require(*, own: bool, busybox: bool) -> None:
    """Skips where this machine lacks what a board needs; ``own``: users, programs or a disk of its own."""
    if _SSHD is None:
        pytest.skip("no OpenSSH server here: apt-get install openssh-server")
    if own and not ROOT:
        pytest.skip("needs root, for users, programs and a disk of its own")
    if busybox and shutil.which("busybox") is None:
        pytest.skip("no busybox here: apt-get install busybox")


def free_port() -> int:
    """A port that nobody listens on now, and that no connection gets by itself: the kernel gives out higher ones."""
    while True:
        port = random.SystemRandom().randrange(_PORTS[0], _PORTS[1])
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _never_given_out() -> tuple[int, int]:
    """Ports above those of adb's emulators and below those of connections; others where there are too few."""
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest, highest = map(int, given.read_text().split()) if given.exists() else (32_768, 60_999)
    return (6000, lowest) if lowest > 8000 else (min(highest + 1, 60_000), 65_536)


_PORTS = _never_given_out()


@contextlib.contextmanager
def ssh_agent() -> Iterator[None]:
    """An agent that takes connections; its socket is ``agent`` in the current folder: paths of sockets are short."""
    process = subprocess.Popen(["ssh-agent", "-D", "-a", "agent"], stdout=subprocess.DEVNULL)

    def listens() -> bool:
        assert process.poll() is None
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex("agent") == 0

    try:
        wait_until(listens)
        yield
    finally:
        process.terminate()
        process.wait()


def _start(folder: Path, argv: list[str]) -> subprocess.Popen[bytes] | None:
    """The server, once it listens; None where its port was taken meanwhile."""
    log = folder / "log"
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
