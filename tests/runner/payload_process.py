"""A payload process on this machine, as a board would start it."""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.runner import payload
from edgekit.runner.payload_file import write_payload

_folder = tempfile.TemporaryDirectory(prefix="edgekit-test-")
atexit.register(_folder.cleanup)
Path(_folder.name).chmod(0o755)  # some runners are somebody else's processes
PAYLOAD = write_payload(Path(_folder.name))


@dataclass
class Ended:
    """A payload process that has ended."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def answer(self) -> dict[str, Any]:
        text = self.stdout.decode()
        assert payload.BEGIN in text, self.stderr.decode("utf-8", "replace")
        return json.loads(text.split(payload.BEGIN)[1].split(payload.END)[0])

    @property
    def error(self) -> str:
        return self.answer["error"]["code"]


def start(request: Any, python: str = sys.executable, flags: tuple[str, ...] = ("-I", "-S")) -> Ended:
    """Runs the payload as a board would."""
    text = request if isinstance(request, bytes) else json.dumps(request).encode()
    done = subprocess.run([python, *flags, str(PAYLOAD)], input=text + b"\n", capture_output=True, timeout=60)
    return Ended(done.returncode, done.stdout, done.stderr)


def python_3(minor: int) -> str | None:
    """This machine's Python 3.``minor``; None: there is none that starts and has ctypes."""
    named = shutil.which(f"python3.{minor}")
    roots = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3"))
    for path in (*([named] if named else []), *map(str, reversed(roots))):
        if subprocess.run([path, "-c", "import ctypes"], capture_output=True, check=False).returncode == 0:
            return path
    return None


def old_pythons(oldest: int = 7) -> list[str]:
    """Other interpreters of this machine, 3.``oldest`` or newer."""
    return [path for minor in range(oldest, 15) if (path := python_3(minor))]
