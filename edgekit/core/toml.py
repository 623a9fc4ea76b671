"""Reading TOML files with errors that name the file and the line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError, UsageError


def read_toml(path: Path, *, error: type[EdgekitError] = UsageError) -> dict[str, Any]:
    """The decoded tables of a TOML file.

    Raises:
        EdgekitError: of class ``error``; no such file, not UTF-8, or not TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        raise error(f"no such file: {path}") from None
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise error(f"{path} is not UTF-8: {problem}", hint="save it as UTF-8 text") from problem
    except RecursionError as problem:
        raise error(f"{path} is not valid TOML: nested too deeply", hint="write it with fewer brackets") from problem
    except tomllib.TOMLDecodeError as problem:
        raise error(f"{path} is not valid TOML: {problem}", hint="mend the line that the message names") from problem


_HEADING = re.compile(r"\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_.-]+))\s*=""")


def line_of(text: str, place: str) -> int | None:
    """The line, from 1, of a place such as ``clusters[1].cpus[0]`` in a TOML text.

    What stands within a value (an array, an inline table) is looked for at the key that the value belongs to.
    """
    lines: dict[str, int] = {}
    tables: dict[str, int] = {}
    within = ""
    for number, row in enumerate(text.splitlines(), 1):
        heading = _HEADING.match(row)
        key = _KEY.match(row)
        if heading and heading[1] == "[[":
            tables[heading[2]] = tables.get(heading[2], -1) + 1
            within = f"{heading[2]}[{tables[heading[2]]}]"
            lines.setdefault(heading[2], number)
            lines.setdefault(within, number)
        elif heading:
            within = heading[2].strip("\"'")
            lines.setdefault(within, number)
        elif key:
            name = next(part for part in key.groups() if part is not None)
            lines.setdefault(f"{within}.{name}" if within else name, number)
    while place and place not in lines:
        place = place[: max(place.rfind("."), place.rfind("["), 0)]
    return lines.get(place)
