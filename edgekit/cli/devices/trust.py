"""edgekit devices trust."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.devices.app import Name, app
from edgekit.cli.invocation import command
from edgekit.cli.output import Output
from edgekit.cli.reaching import at_terminal


@command(app, "devices trust", example="edgekit devices trust pi4 --fingerprint SHA256:AbC...")
def trust(
    name: Name,
    *,
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", help="As `ssh-keygen -lf` shows it on the board. Asked for otherwise."),
    ] = None,
    way: o.BoardOptions,
    out: Output,
) -> None:
    """Pin a board's host key. Compare its fingerprint with the board's own before."""
    from edgekit.core.decode import to_json
    from edgekit.core.errors import UsageError
    from edgekit.device.trust import fetch_host_key, pin, require

    target = way.reach().target(name)
    key = fetch_host_key(target, ask=at_terminal())
    if fingerprint is None:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(
                f"{name} shows {key.fingerprint} ({key.type}); nobody is at a terminal to confirm it",
                hint=f"compare it on the board, then: edgekit devices trust {name} --fingerprint {key.fingerprint}",
            )
        out.say(f"{name} shows {key.fingerprint} ({key.type})")
        out.say("on the board, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` (or the other types) shows it too")
        sys.stderr.write("is it the same? type yes: ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() != "yes":
            raise UsageError(f"{name} was not trusted")
    else:
        require(key, fingerprint, name=name)
    entry = pin(name, key)
    document = {"device": to_json(entry), "fingerprint": key.fingerprint, "type": key.type}
    follow = "" if entry.profile else f"; next: `edgekit devices check {name}` says which profile fits it"
    out.answer(document, f"{name} is trusted: {key.fingerprint} ({key.type}){follow}")
