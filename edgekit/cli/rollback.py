"""edgekit rollback."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli import options as o
from edgekit.cli.invocation import command, new_app
from edgekit.cli.output import Output

app = new_app("Make a board's previous release the current one again.")


@command(app, "rollback", example="edgekit rollback --device pi4")
def rollback(
    *,
    device: o.Device = "local",
    name: Annotated[str | None, typer.Option("--name", help="Of the release, where a board has several.")] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="ID", help="Another release that was current once (its first digits).")
    ] = None,
    way: o.BoardOptions,
    out: Output,
) -> None:
    """Make the previous release the current one; a second call undoes the first."""
    from edgekit.verbs.rollback import rollback as carry_out

    release = carry_out(name, device=device, to=to, reach=way.reach(), on_event=out.on_event)
    document = {
        "device": device,
        "release": {
            "id": release.id,
            "name": release.name,
            "path": release.path,
            "previous": release.previous,
            "stable_path": release.stable_path,
        },
    }
    was = f"; {release.previous} was" if release.previous else ""
    out.answer(document, f"{release.name} {release.id} is current on {device} now{was}")
