"""Is this really the board? Strict checks of host keys against pinned keys and ``known_hosts`` files."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import HostKeyError
from edgekit.device.transport.openssh_config import SshSettings

# signature algorithms by key type, the preferred ones first (RFC 8332 for RSA)
_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
_PREFERENCE = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """A public host key: its type, and its blob as SSH sends it."""

    type: str
    blob: bytes

    @classmethod
    def parse(cls, text: str) -> HostKey | None:
        """``TYPE BASE64 [comment]``; None where it is not a key."""
        parts = text.split()
        try:
            blob = base64.b64decode(parts[1], validate=True)
        except (IndexError, binascii.Error, ValueError):
            return None
        size = int.from_bytes(blob[:4], "big")
        return cls(type=parts[0], blob=blob) if blob[4 : 4 + size] == parts[0].encode() else None

    @property
    def text(self) -> str:
        """``TYPE BASE64``."""
        return f"{self.type} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """``SHA256:…`` as ``ssh-keygen -lf`` shows it."""
        return f"SHA256:{base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip('=')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKeys:
    """What is known about one host.

    Attributes:
        trusted: keys that it may show, with the place each was found in.
        revoked: keys that nobody may show.
        authority: a file names a certificate authority for it, which we do not use.
    """

    trusted: tuple[tuple[HostKey, str], ...] = ()
    revoked: tuple[HostKey, ...] = ()
    authority: str | None = None


def known_keys(settings: SshSettings, *, pinned: str | None) -> KnownKeys:
    """Everything known about the host of ``settings``.

    A pinned key stands alone: then the ``known_hosts`` files only revoke.

    Raises:
        HostKeyError: the pinned key or the file of revoked keys cannot be read.
    """
    names = _names(settings)
    trusted: list[tuple[HostKey, str]] = []
    revoked = list(_revoked_file(settings.revoked_host_keys))
    authority = None
    for path in settings.known_hosts:
        for number, line in enumerate(_lines(path), 1):
            entry = _parse(line, names)
            if entry is None:
                continue
            marker, key = entry
            if marker == "@revoked":
                revoked.append(key)
            elif marker == "@cert-authority":
                authority = authority or f"{path}:{number}"
            else:
                trusted.append((key, f"{path}:{number}"))
    if pinned is not None:
        pin = HostKey.parse(pinned)
        if pin is None:
            raise HostKeyError(
                f"{settings.alias}: the host key in the inventory is not a key: {pinned[:60]!r}",
                hint=f"`edgekit devices trust {settings.alias}` pins it again",
            )
        trusted = [(pin, "the inventory")]
    return KnownKeys(trusted=tuple(trusted), revoked=tuple(revoked), authority=authority)


def algorithms(known: KnownKeys, supported: Sequence[str]) -> tuple[str, ...]:
    """Host key algorithms to offer: those of known keys first, as OpenSSH does; else a server with several keys would
    show one that we do not know."""
    have = {key.type for key, _ in known.trusted}
    order = sorted(_PREFERENCE, key=lambda kind: kind not in have)
    wanted = [name for kind in order for name in _ALGORITHMS.get(kind, (kind,))]
    return tuple(name for name in wanted if name in supported)


def verify(shown: HostKey, known: KnownKeys, settings: SshSettings, *, name: str, jump: bool = False) -> None:
    """Lets a connection go on only when the server's key is known.

    Args:
        name: how the user calls the board, for the command in the hint.
        jump: it is a host on the way, which has no entry of its own to pin a key in.

    Raises:
        HostKeyError: unknown, changed or revoked. Nothing has been sent to the server but the key exchange.
    """
    where = address(settings.hostname, settings.port)
    details: dict[str, object] = {"fingerprint": shown.fingerprint, "type": shown.type, "host": where}
    trust = f"`edgekit devices trust {name} --fingerprint {shown.fingerprint}`"
    if jump:
        trust = f"connect once with `ssh -p {settings.port} {settings.user}@{settings.hostname}`"
    own = "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub` on the board itself".format(
        "ecdsa" if "ecdsa" in shown.type else shown.type.removeprefix("ssh-")
    )
    if shown in known.revoked:
        raise HostKeyError(
            f"{name}: the host key of {where} is revoked: {shown.fingerprint}",
            hint="somebody marked this key as stolen: give the board new host keys, then trust those",
            details=details,
        )
    if any(shown == key for key, _ in known.trusted):
        return
    if known.trusted:
        listed = ", ".join(f"{key.fingerprint} ({key.type}, {place})" for key, place in known.trusted)
        raise HostKeyError(
            f"{name}: THE HOST KEY OF {where} HAS CHANGED: it shows {shown.fingerprint} ({shown.type}), "
            f"known is {listed}",
            hint=f"either somebody sits in between, or the board was installed anew; only in that case: {own}, "
            f"then {trust}",
            details={**details, "known": [key.fingerprint for key, _ in known.trusted], "changed": True},
        )
    also = ""
    if known.authority:
        also = f" ({known.authority} names a certificate authority for it: edgekit does not use host certificates)"
    raise HostKeyError(
        f"{name}: the host key of {where} is unknown: {shown.fingerprint} ({shown.type}){also}",
        hint=f"{own}, then {trust}",
        details={**details, "changed": False},
    )


def address(hostname: str, port: int) -> str:
    """``host`` or ``[host]:port``, as ``known_hosts`` writes it."""
    return hostname if port == 22 else f"[{hostname}]:{port}"


def _names(settings: SshSettings) -> tuple[str, ...]:
    """Under which names the host may stand in a file; sshd's port is part of it unless it is 22."""
    if settings.host_key_alias:
        return (settings.host_key_alias.lower(),)
    return (address(settings.hostname.lower(), settings.port),)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HostKeyError(f"cannot read {path}: {error.strerror or error}", hint="make it readable") from error


def _parse(line: str, names: Iterable[str]) -> tuple[str, HostKey] | None:
    """Marker and key of a line that is about one of ``names``; None for other hosts, comments and garbage."""
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    marker = ""
    if line.startswith("@"):
        marker, _, line = _cut(line)
        if marker not in ("@revoked", "@cert-authority"):
            return None
    patterns, _, rest = _cut(line)
    if not any(_matches(patterns, name) for name in names):
        return None
    key = HostKey.parse(rest)
    return (marker, key) if key else None


def _cut(line: str) -> tuple[str, str, str]:
    """The first word and the rest; blanks and tabs part words."""
    return line.replace("\t", " ").lstrip().partition(" ")


def _matches(patterns: str, name: str) -> bool:
    if patterns.startswith("|1|"):
        return _matches_hash(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        # fnmatch knows [sets], which known_hosts does not: [host]:port must stay as it is
        literal = re.sub(r"\[", "[[]", pattern.removeprefix("!"))
        if fnmatch.fnmatchcase(name, literal):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _matches_hash(pattern: str, name: str) -> bool:
    try:
        _, _, salt, digest = pattern.split("|")
        expected = base64.b64decode(digest, validate=True)
        found = hmac.new(base64.b64decode(salt, validate=True), name.encode(), "sha1").digest()
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(found, expected)


def _revoked_file(path: Path | None) -> list[HostKey]:
    """Keys of RevokedHostKeys. One that cannot be read revokes everything, as with OpenSSH."""
    if path is None:
        return []
    if not path.is_file():
        raise HostKeyError(f"RevokedHostKeys: no such file: {path}", hint="correct the ssh configuration")
    lines = _lines(path)
    if lines and lines[0].startswith("SSHKRL"):
        raise HostKeyError(
            f"RevokedHostKeys: {path} is a binary revocation list, which edgekit does not read",
            hint="use a text file with one public key per line",
        )
    return [key for line in lines if (key := HostKey.parse(line))]
