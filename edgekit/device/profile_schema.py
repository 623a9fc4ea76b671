"""The JSON Schema of profiles, for editors that complete and check TOML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgekit.core.schema import json_schema
from edgekit.device.profile import Profile, shipped_folder

FILE_NAME = "profile.schema.json"
#: first line of a profile beside the schema's file; Taplo, Even Better TOML and others follow it
DIRECTIVE = f"#:schema ./{FILE_NAME}"


def profile_schema() -> dict[str, Any]:
    """JSON Schema of a profile's file: generated from the records that read it, so that the two cannot differ."""
    found = json_schema(Profile, title="edgekit device profile", without=("name",))
    sensor = found["definitions"]["Sensor"]
    sensor["oneOf"] = [{"required": [key]} for key in ("command", "file", "zone")]
    return found


def text() -> str:
    """The schema as the file has it."""
    return json.dumps(profile_schema(), indent=2, ensure_ascii=True) + "\n"


def write() -> Path:
    """Writes the file anew beside the shipped profiles."""
    path = shipped_folder() / FILE_NAME
    path.write_text(text(), encoding="utf-8")
    return path
