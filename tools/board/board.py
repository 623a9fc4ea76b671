"""What is known of a running board, whether it answers, and how OpenSSH's client reaches it."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import time
from pathlib import Path

from host import NotUpError, cache_folder, program


@dataclasses.dataclass(frozen=True, kw_only=True)
class Board:
    """A running board. Paths are absolute; ``known_hosts_line`` is OpenSSH's."""

    name: str
    host: str
    port: int
    user: str
    key: str
    known_hosts: str
    known_hosts_line: str
    fingerprint: str
    pid: int
    model: str
    suite: str
    architecture: str
    image: str
    cpu: str
    cores: int
    memory_mib: int


def run_folder(name: str) -> Path:
    """Where a machine keeps its disk, console and record while it runs."""
    return cache_folder() / "run" / name


def running(name: str) -> Board | None:
    """The board of this name, if its process lives (and is still the one that was started)."""
    try:
        fields = json.loads((run_folder(name) / "board.json").read_text())
        board = Board(**{"architecture": "arm64", "image": "", **fields})  # an older record lacks these two
        command = Path(f"/proc/{board.pid}/cmdline").read_bytes()
    except (OSError, ValueError, TypeError):
        return None
    return board if os.fsencode(option_value(run_folder(name) / "disk.qcow2")) in command else None


def all_running() -> list[Board]:
    """All that run."""
    names = sorted(path.parent.name for path in cache_folder().glob("run/*/board.json"))
    return [board for board in map(running, names) if board]


def option_value(path: Path) -> str:
    """A path in QEMU's options: a comma is written twice."""
    return str(path).replace(",", ",,")


def ssh_command(board: Board, *, user: str | None = None) -> list[str]:
    """OpenSSH's client for this board; the host key is checked, the user's own configuration is not read."""
    options = {"UserKnownHostsFile": board.known_hosts, "StrictHostKeyChecking": "yes", "IdentitiesOnly": "yes"}
    options["LogLevel"] = "ERROR"
    settings = [word for name, value in options.items() for word in ("-o", f'{name}="{value}"')]
    who = f"{user or board.user}@{board.host}"
    return [program("ssh"), "-F", "none", "-i", board.key, *settings, "-p", str(board.port), who]


def wait_for_banner(port: int, pid: int, folder: Path, limit_s: float) -> None:
    """Until the server greets: QEMU accepts before the board does. Raises NotUpError when it does not come up."""
    end = time.monotonic() + limit_s
    patience = 2.0  # a connection made too early may never be answered, a slow board answers late
    while time.monotonic() < end and _lives(pid):
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as connection:
                connection.settimeout(patience)
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            patience = min(10.0, 1.5 * patience)
        if "Kernel panic" in console_end(folder):
            break
        time.sleep(0.1)
    raise NotUpError(f"the board did not come up: {console_end(folder)}")


def console_end(folder: Path) -> str:
    """What the machine wrote last on its console."""
    return (folder / "console.log").read_bytes()[-2000:].decode(errors="replace").strip()


def _lives(pid: int) -> bool:
    """A process that ended but was not waited for has no command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False
