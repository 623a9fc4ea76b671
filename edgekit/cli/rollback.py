"""edgekit rollback."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.output import Output
from edgekit.cli.reaching import reach

app = new_app("Make a board's previous release the current one again.")


@command(app, "rollback", example="edgekit rollback --device pi4")
def rollback(
    *,
    device: o.Device = "local",
    name: Annotated[str | None, typer.Option("--name", help="Of the release, where a board has several.")] = None,
    host: o.Host = None,
    port: o.Port = None,
    user: o.User = None,
    identity_file: o.IdentityFile = None,
    ssh_config: o.SshConfig = None,
    out: Output,
) -> None:
    """Make the previous release the current one; a second call undoes the first."""
    from edgekit.verbs.deploy import rollback as carry_out

    release = carry_out(name, device=device, reach=reach(host, port, user, identity_file, ssh_config))
    document = {
        "device": device,
        "release": {"id": release.id, "name": release.name, "path": release.path, "previous": release.previous},
    }
    out.answer(document, f"{release.name} {release.id} is current on {device} now; {release.previous} was")
