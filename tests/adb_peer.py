"""The device side of adb, for the real adb server: transport, authentication, shell protocol v2, and file sync.

    python adb_peer.py FOLDER      prints its port; commands run in the file tree FOLDER/root as uid 2000

Files in FOLDER steer it: ``unauthorized`` (nobody confirms the key), ``silent`` (new connections get no answer),
``drop_after`` (ends the next connection after that many bytes), ``features``. Sources: AOSP packages/modules/adb,
protocol.txt, shell_protocol.h, file_sync_protocol.h; adbd's behaviour: daemon/shell_service.cpp.
Not there: TLS and pairing, compression, USB.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

CNXN, AUTH, OPEN, OKAY, CLSE, WRTE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE")
)
TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3
VERSION = 0x01000001
MAX_PAYLOAD = 256 * 1024
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
FEATURES = "shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir"
PATH = (
    "/product/bin:/apex/com.android.runtime/bin:/apex/com.android.art/bin:/system_ext/bin:/system/bin:/system/xbin:"
    "/odm/bin:/vendor/bin:/vendor/xbin"
)
ENVIRONMENT = {
    "PATH": PATH,
    "HOME": "/",
    "TMPDIR": "/data/local/tmp",
    "USER": "shell",
    "LOGNAME": "shell",
    "SHELL": "/system/bin/sh",
    "ANDROID_ROOT": "/system",
    "ANDROID_DATA": "/data",
}
SHELL_USER = 2000


class Closed(Exception):
    """The stream, or the whole connection, has ended."""


class Stream:
    """One service that the host has opened."""

    def __init__(self, device: Device, remote: int, local: int) -> None:
        self.device, self.remote, self.local = device, remote, local
        self.closed = False
        self._received: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._ready = asyncio.Event()
        self._rest = b""

    async def write(self, content: bytes) -> None:
        """One packet at a time: the next may go when the host has said OKAY."""
        for start in range(0, len(content), MAX_PAYLOAD):
            self._ready.clear()
            await self.device.send(WRTE, self.local, self.remote, content[start : start + MAX_PAYLOAD])
            await self._ready.wait()
            if self.closed:
                raise Closed

    async def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            block = await self._received.get()
            if block is None:
                raise Closed
            self._rest += block
            await self.device.send(OKAY, self.local, self.remote)
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def arrived(self, content: bytes) -> None:
        self._received.put_nowait(content)

    def acknowledged(self) -> None:
        self._ready.set()

    def end(self) -> None:
        """The other side closed it, or the connection is gone."""
        self.closed = True
        self._received.put_nowait(None)
        self._ready.set()


class Device:
    """One connection of an adb server."""

    def __init__(self, folder: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.folder, self.root = folder, folder / "root"
        self._reader, self._writer = reader, writer
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._checksums = True
        self._left: int | None = None

    async def send(self, command: int, first: int, second: int, content: bytes = b"") -> None:
        checksum = sum(content) & 0xFFFFFFFF if self._checksums else 0
        header = struct.pack("<6I", command, first, second, len(content), checksum, command ^ 0xFFFFFFFF)
        with contextlib.suppress(ConnectionError):
            self._writer.write(header + content)
            await self._writer.drain()

    async def serve(self) -> None:
        with contextlib.suppress(OSError):
            self._left = int((self.folder / "drop_after").read_text())
            (self.folder / "drop_after").unlink()
        try:
            while True:
                await self._packet()
        except (asyncio.IncompleteReadError, ConnectionError, Closed):
            pass
        finally:
            for stream in list(self._streams.values()):
                stream.end()
            self._writer.transport.abort()

    async def _packet(self) -> None:
        command, first, second, size, _, magic = struct.unpack("<6I", await self._reader.readexactly(24))
        if magic != command ^ 0xFFFFFFFF or size > 1 << 20:
            raise Closed
        content = await self._reader.readexactly(size)
        if self._left is not None:
            self._left -= 24 + size
            if self._left < 0:
                raise Closed
        if (self.folder / "silent").exists():
            return
        if command == CNXN:
            self._version = first
            await self._challenge()
        elif command == AUTH:
            await self._authenticate(first, content)
        elif command == OPEN:
            self._open(first, content.rstrip(b"\0").decode())
        elif second in self._streams:
            stream = self._streams[second]
            if command == WRTE:
                stream.arrived(content)
            elif command == OKAY:
                stream.acknowledged()
            elif command == CLSE:
                stream.end()

    async def _challenge(self) -> None:
        self._token = os.urandom(20)
        await self.send(AUTH, TOKEN, 0, self._token)

    async def _authenticate(self, kind: int, content: bytes) -> None:
        known = self.folder / "adb_keys"
        if kind == PUBLIC_KEY and not (self.folder / "unauthorized").exists():  # somebody confirms it on the screen
            known.write_bytes(content.rstrip(b"\0"))
            await self._online()
        elif kind == SIGNATURE and known.exists() and _is_signed(self._token, content, known.read_bytes()):
            await self._online()
        elif kind == SIGNATURE:
            await self._challenge()

    async def _online(self) -> None:
        features = self.folder / "features"
        named = features.read_text() if features.exists() else FEATURES
        banner = f"device::ro.product.name=oriole;ro.product.model=Pixel 6;ro.product.device=oriole;features={named}"
        await self.send(CNXN, VERSION, MAX_PAYLOAD, banner.encode())
        self._checksums = min(self._version, VERSION) < VERSION

    def _open(self, remote: int, service: str) -> None:
        self._count += 1
        stream = Stream(self, remote, self._count)
        self._streams[stream.local] = stream
        task = asyncio.create_task(self._service(stream, service))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _service(self, stream: Stream, service: str) -> None:
        kind, _, argument = service.partition(":")
        try:
            if {"shell", "v2", "raw"} <= set(kind.split(",")):
                await self.send(OKAY, stream.local, stream.remote)
                await _shell(stream, self.root, argument)
            elif kind == "sync":
                await self.send(OKAY, stream.local, stream.remote)
                await _sync(stream, self.root)
            else:
                await self.send(CLSE, 0, stream.remote)
                return
        except Closed:
            pass
        finally:
            self._streams.pop(stream.local, None)
        await self.send(CLSE, stream.local, stream.remote)


def _is_signed(token: bytes, signature: bytes, key: bytes) -> bool:
    """RSA, PKCS #1 v1.5, over the token taken as a SHA-1 digest; the key as Android writes it."""
    blob = base64.b64decode(key.split()[0])
    modulus = int.from_bytes(blob[8 : 8 + 256], "little")
    digest = bytes.fromhex("3021300906052b0e03021a05000414") + token
    padded = b"\0\1" + b"\xff" * (256 - 3 - len(digest)) + b"\0" + digest
    return pow(int.from_bytes(signature, "big"), 65537, modulus) == int.from_bytes(padded, "big")


async def _shell(stream: Stream, root: Path, command: str) -> None:
    """A command in a session of its own, its streams as packets; hung up when the stream closes, as adbd does."""
    chroot = ["/usr/sbin/chroot", f"--userspec={SHELL_USER}:{SHELL_USER}", str(root), "/system/bin/sh", "-c", command]
    process = await asyncio.create_subprocess_exec(
        *chroot,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    assert process.stdin is not None

    async def pass_on(source: asyncio.StreamReader, kind: int) -> None:
        while block := await source.read(1 << 16):
            await stream.write(struct.pack("<BI", kind, len(block)) + block)

    async def feed() -> None:
        try:
            while True:
                kind, size = struct.unpack("<BI", await stream.read(5))
                content = await stream.read(size)
                if kind == STDIN:
                    with contextlib.suppress(ConnectionError):
                        process.stdin.write(content)
                        await process.stdin.drain()
                elif kind == CLOSE_STDIN:
                    process.stdin.close()
        except Closed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGHUP)
            process.stdin.close()

    feeding = asyncio.create_task(feed())
    try:
        await asyncio.gather(pass_on(process.stdout, STDOUT), pass_on(process.stderr, STDERR))
        status = await process.wait()
        status = status if status >= 0 else 128 - status
        await stream.write(struct.pack("<BIB", EXIT, 1, status))
    finally:
        feeding.cancel()
        for pipe in (1, 2):  # whoever still writes gets SIGPIPE
            process._transport.get_pipe_transport(pipe).close()


async def _sync(stream: Stream, root: Path) -> None:
    """STAT, SEND and RECV; the folder must be in the tree, as adbd's chroot-less view of the device is the tree."""

    def place(path: str) -> Path:
        return root / path.lstrip("/")

    while True:
        request, size = struct.unpack("<4sI", await stream.read(8))
        argument = (await stream.read(size)).decode() if size else ""
        if request == b"QUIT":
            return
        if request in (b"STAT", b"LST2", b"STA2"):
            await stream.write(_stat(request, place(argument)))
        elif request == b"RECV":
            try:
                content = place(argument).read_bytes()
            except OSError as error:
                await _fail(stream, f"open failed: {error.strerror}")
                continue
            for start in range(0, len(content), 1 << 16):
                piece = content[start : start + (1 << 16)]
                await stream.write(b"DATA" + struct.pack("<I", len(piece)) + piece)
            await stream.write(b"DONE" + bytes(4))
        elif request == b"SEND":
            await _receive(stream, place(argument.rpartition(",")[0]))
        else:
            await _fail(stream, "unknown command")
            return


def _stat(request: bytes, path: Path) -> bytes:
    try:
        found = path.stat() if request == b"STA2" else path.lstat()
    except OSError as error:
        return request + (bytes(12) if request == b"STAT" else struct.pack("<I", error.errno or 5) + bytes(64))
    if request == b"STAT":
        return request + struct.pack("<3I", found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime))
    times = (int(found.st_atime), int(found.st_mtime), int(found.st_ctime))
    head = (found.st_dev, found.st_ino, found.st_mode, found.st_nlink, found.st_uid, found.st_gid, found.st_size)
    return request + struct.pack("<I", 0) + struct.pack("<QQIIIIQqqq", *head, *times)


async def _receive(stream: Stream, path: Path) -> None:
    """As adbd: what is there is replaced, missing folders are made."""
    wrong, out = "", None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        out = path.open("xb")
        os.chown(path, SHELL_USER, SHELL_USER)
    except OSError as error:
        wrong = f"couldn't create file: {error.strerror}"
    while True:
        kind, size = struct.unpack("<4sI", await stream.read(8))
        if kind == b"DONE":
            break
        piece = await stream.read(size)
        if out and not wrong:
            try:
                out.write(piece)
                out.flush()
            except OSError as error:
                wrong = f"write failed: {error.strerror}"
    if out:
        with contextlib.suppress(OSError):
            out.close()
    if wrong:
        await _fail(stream, wrong)
    else:
        await stream.write(b"OKAY" + bytes(4))


async def _fail(stream: Stream, words: str) -> None:
    await stream.write(b"FAIL" + struct.pack("<I", len(words)) + words.encode())


async def main(folder: Path, port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Device(folder, reader, writer).serve()

    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=1 << 22)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
