"""QEMU's control protocol (QMP) over a socket pair: nothing in the file system, nobody else can connect."""

from __future__ import annotations

import json
import socket
from typing import Any

from host import BoardError


class Control:
    """One machine's control; ``peer`` is the end that QEMU inherits."""

    def __init__(self) -> None:
        self._socket, self.peer = socket.socketpair()
        self._lines = self._socket.makefile("rb")
        self._events: list[dict[str, Any]] = []

    def arguments(self) -> list[str]:
        """What QEMU must be started with."""
        return ["-chardev", f"socket,id=control,fd={self.peer.fileno()}", "-mon", "chardev=control,mode=control"]

    def open(self, timeout_s: float) -> None:
        """Waits for QEMU's greeting. Raises BoardError when QEMU ended."""
        self.peer.close()
        self._socket.settimeout(timeout_s)
        self._read()
        self.execute("qmp_capabilities")

    def close(self) -> None:
        """The machine goes on without control."""
        self.peer.close()
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
