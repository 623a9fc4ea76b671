"""edgekit devices schema."""

from __future__ import annotations

from edgekit.cli.devices.app import app
from edgekit.cli.invocation import command
from edgekit.cli.output import Output


@command(app, "devices schema", example="edgekit devices schema > profile.schema.json")
def schema(*, out: Output) -> None:
    """Print the JSON Schema of profiles. Editors complete and check a profile with it."""
    import sys

    from edgekit.device.profile_schema import DIRECTIVE, profile_schema, text

    if out.as_json:
        out.answer({"profile_schema": profile_schema()})
        return
    sys.stdout.write(text())  # as it is: a table printer would break its lines
    out.say(f"first line of a profile beside that file: {DIRECTIVE}")
