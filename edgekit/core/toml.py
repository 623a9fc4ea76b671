"""Reading TOML files with errors that name the file and the line."""

from __future__ import annotations

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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise error(f"{path} is not valid TOML: {problem}", hint="mend the line that the message names") from problem
