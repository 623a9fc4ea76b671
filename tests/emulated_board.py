"""Emulated ARM boards for tests: one machine of a kind a session, started and stopped by tools/board."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[1] / "tools" / "board"
MISSING = 3
#: before a test gives EDGEKIT_HOME a value: images are made once, not once a test
_ENVIRONMENT = dict(os.environ)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Arm64Board:
    """A Debian machine on loopback; ``environment`` is the one that its tool needs to find it again."""

    name: str
    host: str
    port: int
    user: str
    key: Path
    known_hosts: Path
    fingerprint: str
    pid: int
    environment: dict[str, str]

    def tool(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``python tools/board ARGUMENTS``."""
        return _tool(self.environment, *arguments)

    def write_config(self, path: Path) -> Path:
        """A configuration of OpenSSH that knows this board by its name."""
        path.write_text(
            f"Host {self.name}\n  HostName {self.host}\n  Port {self.port}\n  User {self.user}\n"
            f"  IdentityFile {self.key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
        )
        return path

    def ssh(self, command: str, *, known_hosts: Path | None = None) -> subprocess.CompletedProcess[str]:
        """One command by OpenSSH's client, which knows the host key and nothing of the user's configuration."""
        checked = ["-o", f"UserKnownHostsFile={known_hosts or self.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
        alone = ["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i", str(self.key)]
        where = ["-p", str(self.port), f"{self.user}@{self.host}"]
        return subprocess.run(["ssh", *alone, *checked, *where, command], capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="session")
def emulated_boards() -> Iterator[Callable[..., Arm64Board]]:
    """``emulated_boards("--arch", "armhf")``: the board of that kind, started when it is first asked for.

    Skips where Debian's packages are missing and cannot be added; fails there when CI is set.
    """
    started: dict[tuple[str, ...], Arm64Board] = {}

    def board(*options: str) -> Arm64Board:
        if options not in started:
            started[options] = _start(f"test-{os.getpid()}-{len(started)}", options)
        return started[options]

    yield board
    for one in started.values():
        one.tool("stop", "--name", one.name)


@pytest.fixture(scope="session")
def arm64_board(emulated_boards: Callable[..., Arm64Board]) -> Arm64Board:
    """The usual one: 64-bit bookworm with Python, a Pi 4's core."""
    return emulated_boards()


def _start(name: str, options: tuple[str, ...]) -> Arm64Board:
    started = _tool(_ENVIRONMENT, "start", "--name", name, "--json", *options)
    if started.returncode == MISSING and not _ENVIRONMENT.get("CI"):
        pytest.skip(" ".join(started.stderr.split()))
    if started.returncode != 0:
        pytest.fail(f"the emulated board did not start: {started.stderr}")
    record = json.loads(started.stdout)
    return Arm64Board(
        name=name,
        host=record["host"],
        port=record["port"],
        user=record["user"],
        key=Path(record["key"]),
        known_hosts=Path(record["known_hosts"]),
        fingerprint=record["fingerprint"],
        pid=record["pid"],
        environment=_ENVIRONMENT,
    )


def _tool(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, *arguments], env=environment, capture_output=True, text=True)
