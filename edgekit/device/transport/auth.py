"""Authentication in OpenSSH's order: agent, key files, encrypted key files, password; few attempts, no secrets kept."""

from __future__ import annotations

import base64
import contextlib
import copy
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgekit.core.errors import AuthenticationError, UnreachableError
from edgekit.device.transport import faults
from edgekit.device.transport.host_keys import HostKey
from edgekit.device.transport.openssh_config import SshSettings
from edgekit.device.transport.paramiko_door import load

# sshd ends the connection after six attempts (MaxAuthTries): the last ones are kept for the password
_MAX_KEYS = 5
_MAX_PASSWORDS = 3


def authenticate(transport: Any, settings: SshSettings, *, name: str, ask: Callable[[str], str] | None) -> None:
    """Logs in, or says once and clearly why not.

    Raises:
        AuthenticationError: no key or password was accepted; an encrypted key and nobody to ask.
        UnreachableError: the connection broke, or the server stopped answering.
    """
    attempt = _Attempt(transport, settings, name)
    if settings.public_keys and attempt.with_keys(ask):
        return
    # asked for last: sshd lets every refused attempt take at least 5 ms
    if attempt.done_by_none():
        return
    if settings.passwords and ask is not None and attempt.with_password(ask):
        return
    raise attempt.refusal(ask)


class _Attempt:
    def __init__(self, transport: Any, settings: SshSettings, name: str) -> None:
        self.transport, self.settings, self.name = transport, settings, name
        self.allowed: tuple[str, ...] = ("publickey", "password", "keyboard-interactive")
        self.tried: list[str] = []
        self.locked: list[Path] = []  # encrypted keys that nobody opened
        self.notes: list[str] = []

    def done_by_none(self) -> bool:
        """Asks which ways are allowed; true where the server wants no proof at all."""
        paramiko = load()
        try:
            self.transport.auth_none(self.settings.user)
        except paramiko.BadAuthenticationType as error:
            self.allowed = tuple(error.allowed_types)
            return False
        except paramiko.AuthenticationException as error:
            self._broken(error)
            return False
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise faults.lost(error, name=self.name, doing="authenticating") from error
        return True

    def with_keys(self, ask: Callable[[str], str] | None) -> bool:
        """Tries keys until one is accepted."""
        for label, key in self._keys(ask):
            if "publickey" not in self.allowed:
                return False
            if self._key(label, key):
                return True
        return False

    def with_password(self, ask: Callable[[str], str]) -> bool:
        """Asks for a password, at most three times as ssh does."""
        paramiko = load()
        if not {"password", "keyboard-interactive"} & set(self.allowed):
            return False
        for _ in range(_MAX_PASSWORDS):
            secret = ask(f"password of {self.settings.user}@{self.settings.hostname}: ")
            if not secret:
                return False
            self.tried.append("password")
            try:
                if not self.transport.auth_password(self.settings.user, secret):
                    return bool(self.transport.is_authenticated())
            except paramiko.AuthenticationException as error:
                self._broken(error)
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise faults.lost(error, name=self.name, doing="authenticating") from error
        return False

    def refusal(self, ask: Callable[[str], str] | None) -> AuthenticationError:
        """The one error that says what was tried."""
        who = f"{self.settings.user}@{self.settings.hostname}"
        if self.locked and not self.tried:
            key = self.locked[0]
            why = "nobody is there to ask for its passphrase" if ask is None else "no passphrase was given"
            return AuthenticationError(
                f"{self.name}: the key {key} is encrypted and {why}",
                hint=f"load it into an agent first: `ssh-add {key}`",
            )
        tried = ", ".join(self.tried) or "no key was found"
        port = f"-p {self.settings.port} " if self.settings.port != 22 else ""
        hint = f"`ssh-copy-id {port}{who}` puts your key there; --identity-file names another key, --user another user"
        if ask is None and {"password", "keyboard-interactive"} & set(self.allowed):
            hint += "; a password is asked for only on a terminal"
        if self.notes:
            hint = "; ".join([*self.notes, hint])
        return AuthenticationError(
            f"{self.name}: {who} was not let in (tried: {tried}; the server takes: {', '.join(self.allowed)})",
            hint=hint,
            details={"user": self.settings.user, "tried": list(self.tried), "allowed": list(self.allowed)},
        )

    def _key(self, label: str, key: Any) -> bool:
        paramiko = load()
        if len(self.tried) >= _MAX_KEYS:
            self.notes = ["more keys were not tried: name the right one with IdentityFile and IdentitiesOnly"]
            return False
        self.tried.append(label)
        try:
            more = self.transport.auth_publickey(self.settings.user, key)
        except paramiko.BadAuthenticationType as error:
            self.allowed = tuple(error.allowed_types)
            return False
        except paramiko.AuthenticationException as error:
            self._broken(error)
            return False
        except (paramiko.SSHException, OSError, EOFError, ValueError) as error:
            raise faults.lost(error, name=self.name, doing="authenticating") from error
        if more:
            self.notes.append(f"the server wants a second proof after the key: {', '.join(more)}")
        return not more

    def _broken(self, error: Exception) -> None:
        """Tells a refusal from a connection that ended or went silent: paramiko gives both the same class."""
        if not self.transport.is_active() or "timeout" in str(error).lower():
            raise UnreachableError(
                f"{self.name}: the server stopped answering while we authenticated as {self.settings.user}"
                f" (tried: {', '.join(self.tried) or 'nothing yet'})",
                hint="too many keys end a connection too: name one with IdentityFile and IdentitiesOnly",
            ) from error

    def _keys(self, ask: Callable[[str], str] | None) -> Iterator[tuple[str, Any]]:
        # ssh needs only the public half of a key that an agent holds, in IdentityFile itself or beside it
        public = {path: _public_blob(path) for path in self.settings.identity_files}
        files = [path for path in public if path.is_file() and not self._is_public(path)]
        with _agent_keys(self.settings.identity_agent) as agent:
            listed = [key for key in agent if key.asbytes() in public.values()]
            others = [] if self.settings.identities_only else [key for key in agent if key not in listed]
            for key in (*listed, *others):
                yield f"agent's key {key.comment or key.get_name()}", key
            held = {key.asbytes() for key in agent}
            for path in files:
                if public[path] is not None and public[path] in held:
                    continue
                key = self._load(path, None)
                if key is not None:
                    yield from self._with_certificates(path, key)
            for path in list(self.locked) if ask else ():
                key = self._load(path, ask)
                if key is not None:
                    yield from self._with_certificates(path, key)

    def _is_public(self, path: Path) -> bool:
        with contextlib.suppress(OSError):
            if HostKey.parse(path.read_text(encoding="utf-8", errors="replace")):
                self.notes.append(f"{path} is a public key, and the agent has no private one for it")
                return True
        return False

    def _with_certificates(self, path: Path, key: Any) -> Iterator[tuple[str, Any]]:
        """The key with each certificate of it (CertificateFile, else KEY-cert.pub beside it), then the bare key."""
        for certificate in (*self.settings.certificate_files, path.with_name(f"{path.name}-cert.pub")):
            if certificate.is_file() and (signed := self._signed(key, certificate)):
                yield str(certificate), signed
        yield str(path), key

    def _signed(self, key: Any, certificate: Path) -> Any:
        """The key with its certificate, or None where that is another key's, or no certificate at all."""
        signed = copy.copy(key)
        try:
            signed.load_certificate(str(certificate))
        except Exception as error:  # noqa: BLE001 - what paramiko raises depends on what is in the file
            self.notes.append(f"{certificate} is no certificate of {key.get_name()} ({type(error).__name__})")
            return None
        # the key's own fields stand in its certificate as they are, behind kind and nonce
        fields = key.asbytes()[4 + len(key.get_name()) :]
        return signed if fields in signed.public_blob.key_blob else None

    def _load(self, path: Path, ask: Callable[[str], str] | None) -> Any:
        """A private key, or None where it is encrypted and cannot be opened now, or is of no use."""
        paramiko = load()
        try:
            about = path.stat()
            if about.st_uid == os.getuid() and about.st_mode & 0o077:  # as ssh: others may have read it
                self.notes.append(f"{path} is not used: other users have access to it; `chmod 600 {path}`")
                return None
            if ask is None:
                return paramiko.PKey.from_path(str(path))
            secret = ask(f"passphrase of {path}: ")
            if not secret:
                return None
            self.locked.remove(path)
            key = paramiko.PKey.from_path(str(path), secret.encode())
        except (TypeError, paramiko.PasswordRequiredException):
            self.locked.append(path)  # that is how the cryptography package says "encrypted"
            return None
        except OSError as error:
            self.notes.append(f"{path} cannot be read: {error.strerror}")
            return None
        except Exception as error:  # noqa: BLE001 - parsers of half a dozen key formats
            wrong = "wrong passphrase" if ask else f"not a private key that we can use ({type(error).__name__})"
            self.notes.append(f"{path}: {wrong}")
            return None
        return key


def _public_blob(path: Path) -> bytes | None:
    """The public half of a key: it tells which key of the agent is meant. None where no file has it in clear."""
    for place in (path, path.with_name(f"{path.name}.pub")):
        with contextlib.suppress(OSError):
            text = place.read_text(encoding="utf-8", errors="replace")
            if key := HostKey.parse(text):
                return key.blob
            if blob := _clear_part(text):
                return blob
    return None


def _clear_part(text: str) -> bytes | None:
    """The public key that OpenSSH's own format of private keys has in clear, encrypted or not."""
    begin, end = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END"
    try:
        rest = base64.b64decode("".join(text.partition(begin)[2].partition(end)[0].split()))
    except ValueError:
        return None
    magic = b"openssh-key-v1\0"
    if not rest.startswith(magic):
        return None
    rest = rest[len(magic) :]
    for _ in range(3):  # cipher, key derivation, its options
        rest = rest[4 + int.from_bytes(rest[:4], "big") :]
    rest = rest[4:]  # the number of keys, always 1
    return rest[4 : 4 + int.from_bytes(rest[:4], "big")] or None


@contextlib.contextmanager
def _agent_keys(path: str | None) -> Iterator[tuple[Any, ...]]:
    """The keys of the agent that listens at ``path``; none where there is no agent."""
    if path is None:
        yield ()
        return
    paramiko = load()
    agent = paramiko.agent.AgentSSH()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        try:
            connection.connect(path)
            agent._connect(connection)  # the public Agent knows only SSH_AUTH_SOCK
        except (OSError, paramiko.SSHException):
            yield ()
            return
        connection.settimeout(60)  # a key may ask for a touch
        yield agent.get_keys()
