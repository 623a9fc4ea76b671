"""Who has a board: what a client says about itself to the others, and the errors that tell them."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import socket
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from edgekit.core import units
from edgekit.core.errors import BusyError
from edgekit.core.version import VERSION
from edgekit.device.transport.protocol import printable

_RUN = secrets.token_hex(8)  # this process


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who uses a board, as they said it themselves.

    Attributes:
        who: ``user@host`` of the machine that edgekit runs on.
        purpose: the command.
        since: when it began, UTC, by that machine's clock.
        pid: of edgekit there.
        device: what they call the board.
        edgekit: their version.
        ours: it is this very process.
    """

    who: str
    purpose: str
    since: datetime | None
    pid: int
    device: str
    edgekit: str
    ours: bool

    def __str__(self) -> str:
        return f"{self.who} ({self.purpose})" + (f" since {self._since()}" if self.since else "")

    def _since(self) -> str:
        assert self.since is not None
        here = self.since.astimezone()
        ago = (datetime.now(timezone.utc) - self.since).total_seconds()
        when = f"{here:%H:%M:%S}" if here.date() == datetime.now().astimezone().date() else f"{here:%Y-%m-%d %H:%M}"
        return when if ago < 1 else f"{when} ({units.seconds(ago)})"


def about_us(device: str, purpose: str) -> str:
    """One line for the others: JSON in ASCII."""
    about = {
        "who": f"{_user()}@{socket.gethostname()}"[:100],
        "purpose": purpose[:200],
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "pid": os.getpid(),
        "device": device[:100],
        "edgekit": VERSION,
        "run": _RUN,
    }
    return json.dumps(about)


def owner_from(about: str) -> Owner:
    """Never fails: others wrote it."""
    said: Any = None
    with contextlib.suppress(ValueError):
        said = json.loads(about)
    said = said if isinstance(said, dict) else {}
    words = {key: printable(str(said.get(key, "")))[:200] for key in ("who", "purpose", "device", "edgekit", "since")}
    since = None
    with contextlib.suppress(ValueError):
        since = datetime.fromisoformat(words["since"])
    pid = said.get("pid")
    return Owner(
        who=words["who"] or "somebody",
        purpose=words["purpose"] or "unknown",
        since=since if since and since.tzinfo else None,
        pid=pid if isinstance(pid, int) else 0,
        device=words["device"],
        edgekit=words["edgekit"],
        ours=said.get("run") == _RUN,
    )


def busy_error(name: str, who: Owner, *, left: bool) -> BusyError:
    """Somebody has the board; ``left``: only a command of his has, that outlived him."""
    hint = "--wait SECONDS waits for it (inf: as long as it takes)"
    if left:
        message = f"{name} is in use: a command that {who} left behind still runs there and cannot be ended"
    elif who.ours:
        message = f"{name} is the board that this command uses already, as {who.device}"
        hint = "name each board once"
    else:
        message = f"{name} is in use by {who}"
    details: dict[str, object] = {
        "owner": {
            "who": who.who,
            "purpose": who.purpose,
            "since": who.since.isoformat() if who.since else None,
            "pid": who.pid,
            "device": who.device,
            "edgekit": who.edgekit,
            "ours": who.ours,
        }
    }
    return BusyError(message, hint=hint, details=details)


def waited_error(busy: BusyError, seconds: float) -> BusyError:
    """The same after a wait that was not long enough."""
    message = f"{busy.message}; waited {units.seconds(seconds)}"
    return BusyError(message, hint="wait longer with --wait SECONDS (inf: as long as it takes)", details=busy.details)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, in a container
        return str(os.getuid())
