"""QEMU's control protocol (QMP), over a socket in the machine's folder that only its owner can connect to."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from host import BoardError


def listener(folder: Path) -> socket.socket:
    """The socket that QEMU inherits. A socket's path may have 107 bytes, so it is named through the folder."""
    door = socket.socket(socket.AF_UNIX)
    place = os.open(folder, os.O_PATH)
    mask = os.umask(0o177)
    try:
        door.bind(f"/proc/self/fd/{place}/control")
        door.listen(1)
    finally:
        os.umask(mask)
        os.close(place)
    return door


class Control:
    """One machine's control, one client at a time. Raises BoardError when QEMU ended or answers nobody."""

    def __init__(self, folder: Path, timeout_s: float) -> None:
        self._events: list[dict[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        self._lines = self._socket.makefile("rb")
        place = os.open(folder, os.O_PATH)
        try:
            self._socket.connect(f"/proc/self/fd/{place}/control")
            self._read()
            self.execute("qmp_capabilities")
        except OSError as error:
            self.close()
            raise BoardError(f"QEMU's control does not answer: {error}") from error
        except BaseException:
            self.close()
            raise
        finally:
            os.close(place)

    def close(self) -> None:
        """The machine goes on without control."""
        self._lines.close()
        self._socket.close()

    def execute(self, command: str, **arguments: Any) -> Any:
        """The command's result. Raises BoardError with QEMU's words when it refuses."""
        text = json.dumps({"execute": command, "arguments": arguments})
        self._socket.sendall(text.encode())
        while True:
            message = self._read()
            if "event" in message:
                self._events.append(message)
            elif "error" in message:
                raise BoardError(f"QEMU refused {command}: {message['error'].get('desc')}")
            else:
                return message["return"]

    def migration(self, command: str, uri: str) -> None:
        """Runs ``migrate`` or ``migrate-incoming`` to its end. Raises BoardError when it fails."""
        self._events.clear()
        self.execute(command, uri=uri)
        while True:
            message = self._events.pop(0) if self._events else self._read()
            if message.get("event") != "MIGRATION":
                continue
            status = message["data"]["status"]
            if status == "completed":
                return
            if status in ("failed", "cancelled"):
                raise BoardError(f"QEMU: {command} {status}")

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except OSError as error:
            raise BoardError("QEMU does not answer") from error
        if not line:
            raise BoardError("QEMU ended")
        message: dict[str, Any] = json.loads(line)
        return message
