"""The group of commands about boards."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.invocation import new_app

app = new_app("List, show, add, trust, check and provision boards.", example="edgekit devices add pi4 --host pi4.local")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What you call the board.")]
