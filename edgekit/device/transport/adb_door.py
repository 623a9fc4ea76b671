"""The one door to adbutils: its module, and connections to the adb server of this machine, started where needed."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import tempfile
from typing import Any

from edgekit.core import install
from edgekit.core.errors import DependencyError, UnreachableError
from edgekit.device.transport.protocol import complaint, printable

_START_LIMIT_S = 20.0


@functools.cache
def load() -> Any:
    """The module ``adbutils``.

    Raises:
        DependencyError: not installed.
    """
    try:
        import adbutils
    except ImportError as error:
        raise DependencyError(f"adbutils is not installed: {error}", hint=install.ANDROID) from error
    return adbutils


def connection(timeout_s: float) -> Any:
    """A new connection to the adb server (an ``AdbConnection``); the server is started where none runs.

    Raises:
        DependencyError: there is no adb program here.
        UnreachableError: the server does not start, or does not answer.
    """
    adbutils = load()
    host, port = server_address()
    client = adbutils.AdbClient(host, port)
    if not _listens(host, port):
        _start(host, port)
    try:
        return client.make_connection(timeout=timeout_s)
    except (adbutils.AdbError, OSError) as error:
        raise UnreachableError(
            f"the adb server at {host}:{port} does not answer: {printable(str(error))}", hint="adb kill-server"
        ) from error


def server_address() -> tuple[str, int]:
    """Where the adb server listens: as the adb program reads it from the environment.

    Raises:
        UnreachableError: a variable that makes no sense.
    """
    host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS") or os.environ.get("ANDROID_ADB_SERVER_HOST") or "127.0.0.1"
    port = os.environ.get("ANDROID_ADB_SERVER_PORT") or "5037"
    named = os.environ.get("ADB_SERVER_SOCKET")
    if named:
        kind, _, rest = named.partition(":")
        host, _, port = rest.rpartition(":")
        host = host or "127.0.0.1"
        if kind != "tcp":
            raise UnreachableError(
                f"ADB_SERVER_SOCKET={named!r} is no TCP address", hint="set it to tcp:HOST:PORT, or unset it"
            )
    if not port.isdigit() or not 1 <= int(port) <= 65535:
        raise UnreachableError(f"the adb server's port {port!r} makes no sense", hint="unset ANDROID_ADB_SERVER_PORT")
    return host, int(port)


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError:
        return False
    return True


def _start(host: str, port: int) -> None:
    """Starts the server as ``adb start-server`` does; adbutils would let it print on our standard output."""
    adbutils = load()
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise UnreachableError(
            f"no adb server answers at {host}:{port}", hint="start it there: `adb -a nodaemon server start`"
        )
    try:
        program = adbutils.adb_path()
    except adbutils.AdbError as error:
        raise DependencyError(
            "there is no adb program here",
            hint="`sudo apt-get install adb`, or put Google's platform-tools on PATH "
            "(developer.android.com/tools/releases/platform-tools)",
        ) from error
    environment = {**os.environ, "ANDROID_ADB_SERVER_PORT": str(port)}
    with tempfile.TemporaryFile() as said:  # not a pipe: the server that stays behind would keep it open
        try:
            argv = [program, "start-server"]
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=_START_LIMIT_S, env=environment
            )
            status: object = done.returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            status = error
        said.seek(0)
        words = complaint(said.read())
    if status != 0:
        raise UnreachableError(
            f"the adb server does not start: {words or printable(str(status))}",
            hint=f"try it by itself: {program} start-server",
        )
