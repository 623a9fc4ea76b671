"""A network that breaks on demand, in front of a real server."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest


@dataclass
class FaultyNetwork:
    """A relay in front of a server, which breaks once a number of bytes went up.

    Attributes:
        fault: ``reset``, ``close``, ``stall`` (nothing passes any more), ``flip`` (one bit), ``silent`` (no greeting).
        after: bytes from the client before it happens.
        times: so many connections break; the later ones work.
    """

    target: int
    fault: str
    after: int = 0
    times: int = 1
    port: int = 0
    _sockets: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> FaultyNetwork:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                broken, self.times = self.times > 0, self.times - 1
                if broken and self.fault == "silent":
                    continue
                server = socket.create_connection(("127.0.0.1", self.target))
                self._sockets.append(server)
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._up, args=(client, server, broken), daemon=True).start()
                threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, broken: bool) -> None:
        seen = 0
        with contextlib.suppress(OSError):
            while block := client.recv(1 << 16):
                before, seen = seen, seen + len(block)
                if broken and before <= self.after < seen:
                    if self.fault == "flip":
                        changed = bytearray(block)
                        changed[self.after - before] ^= 1
                        block = bytes(changed)
                    elif self.fault == "stall":
                        threading.Event().wait(3600)
                    else:
                        if self.fault == "reset":
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        client.close()
                        break
                server.sendall(block)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _down(server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := server.recv(1 << 16):
                client.sendall(block)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)


@pytest.fixture
def faulty_network() -> Iterator[Callable[..., FaultyNetwork]]:
    """Opens a :class:`FaultyNetwork` in front of a server: ``faulty_network(board, "reset", after=1_000_000)``."""
    with contextlib.ExitStack() as stack:
        yield lambda board, fault, **options: stack.enter_context(
            FaultyNetwork(target=board.port, fault=fault, **options)
        )
