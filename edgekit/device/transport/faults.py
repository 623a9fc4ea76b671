"""What paramiko and the socket say when something breaks, in words that help."""

from __future__ import annotations

import errno
import socket

from edgekit.core.errors import DeviceError, EdgekitError, UnreachableError
from edgekit.device.transport.openssh_config import SshSettings
from edgekit.device.transport.paramiko_door import load
from edgekit.device.transport.protocol import printable


class Stalled(Exception):
    """The other side stopped answering."""


def no_such_host(error: Exception, *, name: str, settings: SshSettings) -> UnreachableError:
    """The name resolution failed."""
    host = settings.hostname
    hint = f"check the name, or give the address: `edgekit devices add {name} --host ADDRESS --replace`"
    if settings.alias == host == name:
        hint = f"add `Host {name}` to your ssh configuration, or `edgekit devices add {name} --host ADDRESS --replace`"
    temporary = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
    why = "the name server does not answer" if temporary else "no such host name"
    return UnreachableError(f"{name}: cannot find {printable(host)!r}: {why}", hint=hint)


def no_connection(error: OSError, *, name: str, where: str, limit: float) -> UnreachableError:
    """The TCP connection failed."""
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return UnreachableError(
            f"{name}: {where} did not answer within {limit:.0f} s", hint="is the board on, and in this network?"
        )
    if error.errno == errno.ECONNREFUSED:
        return UnreachableError(
            f"{name}: {where} refuses connections", hint="is an ssh server running there, on this port?"
        )
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return UnreachableError(f"{name}: no route to {where}", hint="is the board on, and in this network?")
    return UnreachableError(f"{name}: cannot connect to {where}: {error.strerror or error}")


def forwarding(error: Exception, *, name: str, where: str, hop: str) -> UnreachableError:
    """The jump host would not, or could not, connect further."""
    return UnreachableError(
        f"{name}: the jump host {hop} cannot reach {where}: {said(error)}",
        hint="the jump host itself is fine: check the board's address as seen from there",
    )


def greeting(
    error: Exception, *, name: str, where: str, greeted: bool, waited: float, limit: float, proxy: str = ""
) -> DeviceError:
    """Something went wrong between the connection and the end of the key exchange.

    Args:
        greeted: the other side said that it is an ssh server.
        waited: seconds since it took the connection.
        proxy: the last complaint of a ProxyCommand.
    """
    paramiko = load()
    if isinstance(error, paramiko.IncompatiblePeer):
        return UnreachableError(
            f"{name}: {where} has no algorithm in common with us: {said(error)}",
            hint="its ssh server is too old (CBC, SHA-1): update it",
        )
    if isinstance(error, paramiko.MessageOrderError):
        return UnreachableError(f"{name}: {where} breaks the order of the key exchange: {said(error)}")
    if isinstance(error, Stalled) and greeted:
        return UnreachableError(
            f"{name}: {where} stopped answering during the key exchange ({limit:.0f} s)", hint="try again; is it busy?"
        )
    if proxy and not greeted:
        return UnreachableError(f"{name}: the ProxyCommand failed: {proxy}", hint="try it by itself")
    if not greeted:
        return UnreachableError(
            f"{name}: {where} accepts the connection and does not greet as an ssh server: {said(error)}",
            hint="is it an ssh server? A busy one (MaxStartups) answers when you try again",
            # paramiko says the same of a server that hangs up and of one that is silent
            details={"hung_up": str(error).strip() == "Error reading SSH protocol banner" and waited < limit},
        )
    return UnreachableError(f"{name}: the key exchange with {where} failed: {said(error)}", hint="try again")


def lost(error: Exception, *, name: str, doing: str) -> DeviceError:
    """The connection broke while it was in use."""
    if isinstance(error, EdgekitError):
        return error if isinstance(error, DeviceError) else DeviceError(error.message, hint=error.hint)
    return UnreachableError(
        f"{name}: the connection was lost while {doing}: {said(error)}",
        hint="is the board still on? try again; what had arrived only in part was not used",
    )


def said(error: Exception) -> str:
    """The exception's own words, or what it means where it has none."""
    text = printable(str(error)).strip()
    if text in ("", "Server connection dropped:", "timed out"):
        kind = type(error).__name__
        return {"EOFError": "the connection was closed", "TimeoutError": "no answer in time"}.get(
            kind,
            "no answer in time" if isinstance(error, (Stalled, TimeoutError)) else f"the connection broke ({kind})",
        )
    return text[:300]
