"""Addresses of boards as people write them: ``user@host:port``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.core.errors import UsageError

# A ProxyCommand of the user's ssh configuration gets both as text for a shell (%h, %r), so nothing that a shell would
# read as more than a name may pass; OpenSSH refuses the same since 9.6.
USER_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9._@\\-]*\$?"
HOST_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9._-]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?"
_USER = re.compile(USER_PATTERN)
_HOST = re.compile(HOST_PATTERN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The parts of ``user@host:port``."""

    host: str
    user: str | None = None
    port: int | None = None


def parse_address(text: str) -> Address:
    """``host``, ``user@host:port``, ``[2001:db8::7]:22`` or a bare IPv6 address.

    Raises:
        UsageError: it is none of these. Names that begin with ``-`` are refused, as OpenSSH does.
    """
    user, at, rest = text.rpartition("@")
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?", rest)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
    elif rest.count(":") > 1:
        host, port = rest, None
    else:
        host, colon, port = rest.partition(":")
        port = port if colon else None
    good = bool(_HOST.fullmatch(host)) and (not at or bool(_USER.fullmatch(user)))
    if not good or (port is not None and not (port.isdigit() and 1 <= int(port) <= 65535)):
        raise UsageError(
            f"{text!r} is not an address of a board",
            hint="write HOST, USER@HOST, USER@HOST:PORT or USER@[IPv6]:PORT",
        )
    return Address(host=host, user=user if at else None, port=int(port) if port else None)


def check_user(user: str) -> None:
    """A name that may be a user's on a board.

    Raises:
        UsageError: it cannot be one.
    """
    if not _USER.fullmatch(user):
        raise UsageError(f"{user!r} cannot be a user on a board", hint="letters, digits, `.`, `_`, `-`, `@`")
