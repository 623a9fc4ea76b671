"""Android devices for tests: our own device side of adb (:mod:`adb_peer`), behind Debian's real adb server.

Commands run as uid 2000 in a file tree of Android's layout (:mod:`android_tree`), in a mount namespace of their own.
The adb server has a port and a home folder of its own, so a phone that hangs on this machine is never touched.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import adb_peer
import android_tree
import pytest
from processes import command_lines, descendants, signal_all, wait_until
from sshd_board import ROOT, _die_with_parent, emptied, free_port

_ENTER = """\
set -e
mount --make-rprivate /
cd {root}
mount --rbind /proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o size={disk_mb}m,mode=771,uid=2000,gid=2000 tmpfs data/local/tmp
cd {folder}
exec {peer}
"""


@dataclass
class AdbDevice:
    """A running device.

    Attributes:
        serial: as adb calls it once it is connected: an address.
    """

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    def path(self, there: str) -> Path:
        """A path on the device, as this process reaches it."""
        return Path(f"/proc/{self.process.pid}/root{self.folder}/root") / there.lstrip("/")

    def set(self, knob: str, content: str = "") -> None:
        """See :mod:`adb_peer`."""
        (self.folder / knob).write_text(content)

    def unset(self, knob: str) -> None:
        (self.folder / knob).unlink(missing_ok=True)

    def commands(self) -> str:
        """The command lines of what runs on it."""
        return command_lines(descendants(self.process.pid))

    def clean(self) -> None:
        for knob in ("unauthorized", "silent", "drop_after", "features"):
            self.unset(knob)
        wait_until(lambda: emptied(self.path("/data/local/tmp")), limit_s=20)

    def stop(self) -> None:
        signal_all([*descendants(self.process.pid), self.process.pid])
        self.process.wait()


def start_device(folder: Path, *, disk_mb: int = 128) -> AdbDevice:
    """Starts a device; skips the test where it cannot be."""
    if not ROOT:
        pytest.skip("needs root that may mount: Android's file tree is entered with chroot")
    android_tree.require()
    folder.mkdir(parents=True, exist_ok=True)
    for part in (folder, *folder.parents):
        if part.stat().st_mode & 0o5 != 0o5 and part.stat().st_uid == os.getuid():
            part.chmod(0o755)
    android_tree.build(folder / "root")
    android_tree.finish(folder / "root")
    peer = shlex.join([sys.executable, "-I", "-S", adb_peer.__file__, str(folder), str(free_port())])
    root, place = shlex.quote(str(folder / "root")), shlex.quote(str(folder))
    script = _ENTER.format(root=root, folder=place, disk_mb=disk_mb, peer=peer)
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=(folder / "log").open("wb"),
        preexec_fn=_die_with_parent,
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said, (folder / "log").read_text()
    return AdbDevice(folder=folder, port=int(said), process=process)


@pytest.fixture(scope="session")
def _adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Debian's adb server, our own child: its port and its home folder."""
    adb = shutil.which("adb") or pytest.skip("no adb here: apt-get install adb")
    home = tmp_path_factory.mktemp("adb")
    port = free_port()
    process = subprocess.Popen(
        [adb, "-P", str(port), "nodaemon", "server"],
        stdin=subprocess.DEVNULL,
        stdout=(home / "log").open("wb"),
        stderr=subprocess.STDOUT,
        env={**os.environ, "HOME": str(home), "ADB_MDNS": "0", "TMPDIR": str(home)},
        preexec_fn=_die_with_parent,
    )
    wait_until(lambda: process.poll() is not None or _listens(port))
    assert process.poll() is None, (home / "log").read_text()
    yield port, home
    process.kill()
    process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def adb_server(_adb_server: tuple[int, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The server of this test, without devices; runs ``adb`` with the arguments it is called with."""
    port, home = _adb_server
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    monkeypatch.delenv("ADB_SERVER_SOCKET", raising=False)

    def adb(*arguments: str) -> str:
        environment = {**os.environ, "HOME": str(home)}
        done = subprocess.run(
            ["adb", *arguments], capture_output=True, text=True, env=environment, timeout=60, check=False
        )
        return done.stdout + done.stderr

    adb("disconnect")
    return adb


@pytest.fixture(scope="session")
def _adb_device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbDevice]:
    device = start_device(tmp_path_factory.mktemp("android"))
    yield device
    device.stop()


@pytest.fixture
def adb_device(_adb_device: AdbDevice, adb_server: Callable[..., str]) -> AdbDevice:
    """A device that is not connected yet."""
    _adb_device.clean()
    return _adb_device


@pytest.fixture
def adb_factory(
    tmp_path_factory: pytest.TempPathFactory, adb_server: Callable[..., str]
) -> Iterator[Callable[..., AdbDevice]]:
    """Starts further devices, with options of :func:`start_device`."""
    started: list[AdbDevice] = []

    def start(**options: int) -> AdbDevice:
        started.append(start_device(tmp_path_factory.mktemp("android"), **options))
        return started[-1]

    yield start
    for device in started:
        device.stop()
