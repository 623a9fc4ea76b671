"""A payload process on this machine, as a board would start it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.runner import payload

PAYLOAD = Path(payload.__file__)


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
