"""One authenticated SSH connection: socket, jump hosts, key exchange, host key, log-in; each step with a deadline."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from edgekit.core.errors import DeviceError, UnreachableError
from edgekit.device.address import parse_address
from edgekit.device.transport import faults, host_keys, openssh_config
from edgekit.device.transport.host_keys import HostKey
from edgekit.device.transport.openssh_config import SshSettings
from edgekit.device.transport.paramiko_door import load
from edgekit.device.transport.protocol import complaint

# A question to the person at the terminal, not echoed; None: nobody is there
Ask = Callable[[str], str] | None

_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
_DISABLED = {
    "ciphers": ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"],
    "macs": ["hmac-sha1", "hmac-md5", "hmac-sha1-96", "hmac-md5-96"],
}
_MAX_JUMPS = 8
_RETRIES_S = (0.3, 0.9, 2.5)
_PROXY_END_S = 0.3  # from the end of its output to its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long each part may take, in seconds.

    Attributes:
        connect_s: of the TCP connection, of the server's greeting, and of the key exchange.
        auth_s: of one attempt to authenticate (servers delay wrong ones).
        stall_s: without any progress of a transfer, and of data that the board does not acknowledge.
    """

    connect_s: float = 10.0
    auth_s: float = 20.0
    stall_s: float = 20.0


class Session:
    """An open connection. Channels are opened on :attr:`transport`, paramiko's object."""

    def __init__(self, name: str, transport: Any, *, below: Session | None, proxy: _Proxy | None) -> None:
        self.name = name
        self.transport = transport
        self._below = below
        self._proxy = proxy

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, as far as we have heard."""
        return bool(self.transport.is_active())

    def close(self) -> None:
        """Ends it, and those that it goes through."""
        with contextlib.suppress(Exception):
            self.transport.close()
        if self._proxy is not None:
            self._proxy.close()
        if self._below is not None:
            self._below.close()


class _Proxy:
    """The user's ProxyCommand. What it complains about is kept for our message."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process, self._errors = process, errors

    @classmethod
    def start(cls, command: str) -> tuple[socket.socket, _Proxy]:
        """Our end of its input and output, and the process. The shell is part of the setting's meaning."""
        ours, theirs = socket.socketpair()
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        with theirs:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=errors,
                start_new_session=True,
            )
        return ours, cls(process, errors)

    def complaint(self) -> str:
        """The last line that it printed to standard error; of one that failed without a word, its exit status."""
        self._errors.seek(0)
        said = complaint(self._errors.read(1 << 16))
        with contextlib.suppress(subprocess.TimeoutExpired):
            if not said and (status := self._process.wait(_PROXY_END_S)) != 0:
                return f"it ended with status {status}"
        return said

    def close(self) -> None:
        """Ends it."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._errors.close()


def open_session(
    settings: SshSettings, *, name: str, pinned: str | None, ask: Ask, deadlines: Deadlines, jump: bool = False
) -> Session:
    """A connection whose server showed a known key and let us in.

    Raises:
        UnreachableError, HostKeyError, AuthenticationError: whichever step failed; the message names the hop.
    """
    from edgekit.device.transport.auth import authenticate

    session = _patiently(settings, name=name, pinned=pinned, ask=ask, deadlines=deadlines)
    try:
        known = host_keys.known_keys(settings, pinned=pinned)
        host_keys.verify(shown_key(session), known, settings, name=name, jump=jump)
        authenticate(session.transport, settings, name=name, ask=ask)
        session.transport.set_keepalive(15)
    except BaseException:
        session.close()
        raise
    return session


def _patiently(settings: SshSettings, *, name: str, pinned: str | None, ask: Ask, deadlines: Deadlines) -> Session:
    """Again, a few times, where the server hung up before it greeted: at MaxStartups it drops whoever comes."""
    for pause in _RETRIES_S:
        try:
            return _greeted(settings, name=name, pinned=pinned, ask=ask, deadlines=deadlines)
        except UnreachableError as error:
            if not error.details.get("hung_up"):
                raise
            time.sleep(pause * (0.5 + secrets.randbelow(1000) / 1000))  # others were dropped too, and come back
    return _greeted(settings, name=name, pinned=pinned, ask=ask, deadlines=deadlines)


def unverified_session(settings: SshSettings, *, name: str, ask: Ask, deadlines: Deadlines) -> Session:
    """A connection right after the key exchange, for looking at the server's key; nothing must be sent over it."""
    return _greeted(settings, name=name, pinned=None, ask=ask, deadlines=deadlines)


def shown_key(session: Session) -> HostKey:
    """The key that the server has proved to own."""
    key = session.transport.get_remote_server_key()
    return HostKey(type=key.get_name(), blob=key.asbytes())


def _greeted(settings: SshSettings, *, name: str, pinned: str | None, ask: Ask, deadlines: Deadlines) -> Session:
    paramiko = load()
    limit = settings.connect_timeout_s or deadlines.connect_s
    connection, below, proxy = _connection(settings, name=name, ask=ask, deadlines=deadlines, limit=limit)
    try:
        transport = paramiko.Transport(connection, disabled_algorithms=_DISABLED)
    except BaseException:
        connection.close()
        raise
    session, begin = Session(name, transport, below=below, proxy=proxy), time.monotonic()
    try:
        transport.banner_timeout = transport.handshake_timeout = transport.channel_timeout = limit
        transport.auth_timeout = deadlines.auth_s
        security = transport.get_security_options()
        security.ciphers = _CIPHERS
        known = host_keys.known_keys(settings, pinned=pinned)
        security.key_types = host_keys.algorithms(known, transport.preferred_keys)
        transport.start_client(timeout=limit * 2)
        if not transport.initial_kex_done:
            raise faults.Stalled
    except BaseException as error:
        greeted, words = bool(transport.remote_version), proxy.complaint() if proxy else ""
        session.close()
        if isinstance(error, DeviceError) or not isinstance(error, Exception):
            raise
        waited = time.monotonic() - begin
        raise faults.greeting(
            error, name=name, where=_where(settings), greeted=greeted, waited=waited, limit=limit, proxy=words
        ) from error
    return session


def _connection(
    settings: SshSettings, *, name: str, ask: Ask, deadlines: Deadlines, limit: float
) -> tuple[Any, Session | None, _Proxy | None]:
    """The bytes below SSH: a socket, a channel of the last jump host, or a ProxyCommand."""
    if settings.jumps:
        below = _jump(settings, name=name, ask=ask, deadlines=deadlines)
        try:
            channel = below.transport.open_channel(
                "direct-tcpip", (settings.hostname, settings.port), ("127.0.0.1", 0), timeout=limit
            )
        except Exception as error:
            below.close()
            raise faults.forwarding(error, name=name, where=_where(settings), hop=settings.jumps[-1]) from error
        return channel, below, None
    if settings.proxy_command:
        ours, proxy = _Proxy.start(settings.proxy_command)
        return ours, None, proxy
    return _socket(settings, name=name, stall_s=deadlines.stall_s, limit=limit), None, None


def _jump(settings: SshSettings, *, name: str, ask: Ask, deadlines: Deadlines) -> Session:
    """The session on the last jump host, itself reached through the ones before it."""
    if len(settings.jumps) > _MAX_JUMPS:
        raise UnreachableError(
            f"{name}: more than {_MAX_JUMPS} jump hosts", hint="does ProxyJump go round in a circle?"
        )
    *before, last = settings.jumps
    address = parse_address(last.removeprefix("ssh://").rstrip("/"))
    hop = openssh_config.resolve(address.host, port=address.port, user=address.user, config=settings.config)
    # as ssh does: jumps that are listed replace those of the jump host's own configuration
    jumps = tuple(before) or hop.jumps
    if last in jumps:
        raise UnreachableError(f"{name}: the jump host {last} jumps through itself", hint="correct ProxyJump")
    hop = dataclasses.replace(hop, jumps=jumps)
    label = f"{name}, jump host {last}"
    return open_session(hop, name=label, pinned=None, ask=ask, deadlines=deadlines, jump=True)


def _socket(settings: SshSettings, *, name: str, stall_s: float, limit: float) -> socket.socket:
    """A connected socket: no delay for small packets, and an end when the peer no longer acknowledges."""
    families = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
    where = _where(settings)
    try:
        found = socket.getaddrinfo(
            settings.hostname, settings.port, families.get(settings.family, socket.AF_UNSPEC), socket.SOCK_STREAM
        )
    except (socket.gaierror, UnicodeError) as error:
        raise faults.no_such_host(error, name=name, settings=settings) from error
    last: OSError | None = None
    for family, kind, protocol, _, address in found:
        connection = _QuickSocket(family, kind, protocol)
        try:
            connection.settimeout(limit)
            if settings.bind_address:
                connection.bind((settings.bind_address, 0))
            connection.connect(address)
        except OSError as error:
            connection.close()
            last = error
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stall_s * 1000))
        return connection
    raise faults.no_connection(last or OSError("no address"), name=name, where=where, limit=limit)


class _QuickSocket(socket.socket):
    """Acknowledges at once. sshd leaves Nagle's algorithm on, so each of its small packets would otherwise wait 40 ms
    for the acknowledgement of the one before."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Like socket.recv; the kernel forgets the option, so it is set each time."""
        block = super().recv(size, flags)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return block


def _where(settings: SshSettings) -> str:
    return host_keys.address(settings.hostname, settings.port)
