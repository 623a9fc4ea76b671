"""What the emulated board needs of this machine: programs, a cache folder, locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

#: program → Debian package; apt-get and dpkg-deb are looked for apart, no package can add them
PROGRAMS = {
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "fdtput": "device-tree-compiler",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}


class BoardError(Exception):
    """What happened and where; ``hint`` is the command that helps, ``exit_code`` one of edgekit's."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = 5) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code


class NotUpError(BoardError):
    """A machine runs, but its board does not answer."""


def say(text: str) -> None:
    """Progress: stderr, so that stdout is the result alone."""
    print(f"board: {text}", file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """``$EDGEKIT_HOME/cache/board``, else ``~/.cache/edgekit-board``; everything in it can be made again."""
    home = os.environ.get("EDGEKIT_HOME")
    place = Path(home) / "cache" / "board" if home else Path.home() / ".cache" / "edgekit-board"
    place = place.expanduser().absolute()
    place.mkdir(parents=True, exist_ok=True)
    return place


def find_program(name: str) -> str | None:
    """The program's path; the system's folders count too, because a user's PATH often lacks them."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


def program(name: str) -> str:
    """As `find_program`. Raises BoardError (3) when it is missing."""
    found = find_program(name)
    if found is None:
        package = PROGRAMS.get(name)
        hint = f"sudo apt-get install {package}" if package else "the board is made with Debian's or Ubuntu's own tools"
        raise BoardError(f"the program {name} is missing", hint=hint, exit_code=3)
    return found


def require_programs() -> None:
    """Installs Debian's packages for missing programs when root. Raises BoardError (3) with the command otherwise."""
    for name in ("apt-get", "dpkg-deb"):
        program(name)
    missing = sorted({package for name, package in PROGRAMS.items() if find_program(name) is None})
    if not missing:
        return
    if os.geteuid() != 0:
        line = f"sudo apt-get install --no-install-recommends {' '.join(missing)}"
        raise BoardError(f"Debian packages are missing: {' '.join(missing)}", hint=line, exit_code=3)
    say(f"installing {' '.join(missing)}")
    install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(install, environment=quiet)
    except BoardError:  # most often: the lists are older than the mirror
        run(["apt-get", "-qq", "update"])
        run(install, environment=quiet)


def run(argv: Sequence[str], *, environment: dict[str, str] | None = None, stdin: bytes | None = None) -> str:
    """Its standard output. Raises BoardError with the end of what it wrote when it fails."""
    command = [program(argv[0]), *argv[1:]]
    done = subprocess.run(
        command, env=environment, input=stdin, stdin=None if stdin else subprocess.DEVNULL, capture_output=True
    )
    if done.returncode != 0:
        wrote = (done.stderr or done.stdout).decode(errors="replace").strip()[-800:]
        raise BoardError(f"{argv[0]} failed with status {done.returncode}: {wrote}")
    return done.stdout.decode(errors="replace")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time is inside; the kernel lets go when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                mine = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except FileNotFoundError:
                mine = False
            if not mine:  # whoever had it removed it (see `stop`): ours is a lock that nobody else finds
                continue
            yield
            return
