"""One command over adb: its streams in packets of the shell protocol, version 2.

A packet is an id (1 byte), a length (4 bytes, little-endian) and as many bytes. Source: AOSP, packages/modules/adb,
``shell_protocol.h``. adbutils reads such streams only, and to their end: it cannot feed standard input.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any

from edgekit.device.transport import adb_door, adb_faults

_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_HEADER = struct.Struct("<BI")
_PIECE = 64 * 1024
_SMALL = 32 * 1024


class ShellStream:
    """A command that runs on a device.

    Attributes:
        status: exit status, 128 + N for signal N; -1 until it is known, and where the connection was lost.
    """

    def __init__(self, serial: str, *, name: str, out: Callable[[bytes], None], err: Callable[[bytes], None]) -> None:
        self.status = -1
        self._serial, self._name = serial, name
        self._sinks = {_STDOUT: out, _STDERR: err}
        self._connection: Any = None
        self._sending = threading.Lock()

    def start(self, command: str, *, timeout_s: float) -> None:
        """Starts ``command`` in the device's shell.

        Raises:
            DeviceError: the adb server or the device refuses.
        """
        adbutils = adb_door.load()
        self._connection = adb_door.connection(timeout_s)
        try:
            for request in (f"host:transport:{self._serial}", f"shell,v2,raw:{command}"):
                content = request.encode()
                # adbutils' own send_command may send a long one only in part
                self._connection.conn.sendall(f"{len(content):04x}".encode() + content)
                self._connection.check_okay()
        except (adbutils.AdbError, OSError, ValueError) as error:
            self.close()
            raise adb_faults.refused(error, name=self._name, serial=self._serial) from error
        self._connection.conn.settimeout(None)

    def converse(self, stdin: bytes | Iterable[bytes], touch: Callable[[], None]) -> None:
        """Feeds standard input and reads both outputs to the end; what a sink raises comes through."""
        if isinstance(stdin, bytes) and len(stdin) <= _SMALL:
            self._feed([stdin] if stdin else [], touch)
        else:
            pieces = (
                [stdin[i : i + _PIECE] for i in range(0, len(stdin), _PIECE)] if isinstance(stdin, bytes) else stdin
            )
            feeder = threading.Thread(target=self._feed, args=(pieces, touch), daemon=True)
            feeder.start()
        self.drain(touch)

    def drain(self, touch: Callable[[], None] = lambda: None) -> None:
        """Reads to the end. A connection that breaks leaves ``status`` at -1."""
        with contextlib.suppress(OSError, EOFError):
            while True:
                kind, left = _HEADER.unpack(self._exactly(_HEADER.size))
                touch()
                if kind == _EXIT:
                    self.status = self._exactly(left)[0] if left else -1
                    return
                while left:
                    block = self._exactly(min(left, _PIECE))
                    left -= len(block)
                    touch()
                    if kind in self._sinks:
                        self._sinks[kind](block)

    def send(self, data: bytes) -> None:
        """Writes to the command's standard input.

        Raises:
            OSError: the connection is broken.
        """
        with self._sending:
            self._connection.conn.sendall(_HEADER.pack(_STDIN, len(data)) + data)

    def end_input(self) -> None:
        """Closes the command's standard input."""
        with self._sending:
            self._connection.conn.sendall(_HEADER.pack(_CLOSE_STDIN, 0))

    def close(self) -> None:
        """Ends the connection at once; whoever reads from it notices."""
        if self._connection is None:
            return
        adbutils = adb_door.load()
        with contextlib.suppress(OSError, adbutils.AdbError):
            self._connection.conn.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, adbutils.AdbError):
            self._connection.conn.close()

    def _feed(self, pieces: Iterable[bytes], touch: Callable[[], None]) -> None:
        # a command may end without reading everything: its exit status tells, not this. ValueError: the file was closed
        with contextlib.suppress(OSError, ValueError):
            for piece in pieces:
                self.send(piece)
                touch()
        with contextlib.suppress(OSError):
            self.end_input()

    def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            block = self._connection.conn.recv(size - len(found))
            if not block:
                raise EOFError
            found += block
        return bytes(found)
