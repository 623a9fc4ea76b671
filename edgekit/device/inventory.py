"""The user's own boards: ``devices.toml`` in the configuration folder; comments there survive our edits."""

from __future__ import annotations

import contextlib
import functools
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.core import decode, files, suggest
from edgekit.core.errors import UsageError
from edgekit.core.places import config_dir
from edgekit.core.schema import TEXT, limits
from edgekit.core.toml import line_of, read_toml
from edgekit.device.address import HOST_PATTERN, USER_PATTERN
from edgekit.device.profile import NAME, is_workspace

_WORKSPACE = "an absolute path, or one that begins with ~/"
# Values reach ssh and the board as arguments: none may look like an option or carry a control character.
_FILE = limits(
    pattern=f"(?!-)(?!.*[^/]{{256}}){TEXT}", maxLength=4000, means="a file on this machine that does not begin with a -"
)
_HOST = rf"{HOST_PATTERN}|[A-Za-z0-9_][A-Za-z0-9._-]*:\d{{1,5}}"  # the last: adb's names of devices in the network


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryEntry:
    """One real board.

    Attributes:
        name: what the user calls it.
        host: address, name, or alias in the ssh configuration.
        port, user, identity_file: instead of what the ssh configuration says.
        profile: what kind of board it is; None: the profile of the same name, else ``generic``.
        host_key: pinned, ``TYPE BASE64``; only this key is then accepted.
        workspace: our folder on it, instead of the profile's.
        library: file on this machine: a LiteRT library that the user supplies for this board.
        benchmark_model: file on this machine: Google's ``benchmark_model`` for this board, supplied by the user.
    """

    name: str
    host: str = field(
        metadata=limits(pattern=_HOST, maxLength=255, means="an address, a name, or a Host of your ssh configuration")
    )
    port: int | None = field(default=None, metadata=limits(minimum=1, maximum=65535))
    user: str | None = field(default=None, metadata=limits(pattern=USER_PATTERN, maxLength=255, means="a user's name"))
    identity_file: str | None = field(default=None, metadata=_FILE)
    profile: str | None = field(default=None, metadata=limits(pattern=NAME.pattern, means="the name of a profile"))
    host_key: str | None = field(
        default=None, metadata=limits(pattern=r"[A-Za-z0-9@._-]+ [A-Za-z0-9+/=]+", means="a key: TYPE BASE64")
    )
    workspace: str | None = field(default=None, metadata=limits(pattern=f"~?/{TEXT}", maxLength=200, means=_WORKSPACE))
    library: str | None = field(default=None, metadata=_FILE)
    benchmark_model: str | None = field(default=None, metadata=_FILE)


def path() -> Path:
    """The inventory's file; it need not exist."""
    return config_dir() / "devices.toml"


def entries() -> tuple[InventoryEntry, ...]:
    """All entries, by name.

    Raises:
        UsageError: the file is not readable, not TOML, or has a misspelt key.
    """
    tables = _tables()
    lines = functools.partial(line_of, _text()) if tables else None
    for name, table in tables.items():
        check_name(name)
        if isinstance(table, dict) and "name" in table:
            raise UsageError(f"{path()} at {name}: unknown key 'name'", hint="the table's heading is the name")
    named = {name: {**table, "name": name} if isinstance(table, dict) else table for name, table in tables.items()}
    found = decode.from_json(dict[str, InventoryEntry], named, source=str(path()), line_of=lines)
    for entry in found.values():
        _check_workspace(entry)
    return tuple(sorted(found.values(), key=lambda entry: entry.name))


def find(name: str) -> InventoryEntry | None:
    """The entry called ``name``, or None."""
    return next((entry for entry in entries() if entry.name == name), None)


def add(entry: InventoryEntry, *, replace: bool = False) -> None:
    """Writes a new entry, or with ``replace`` changes the one of the same name.

    Raises:
        UsageError: the name is taken or not allowed; a value that cannot be; the file cannot be written.
    """
    check_name(entry.name)
    decode.from_json(InventoryEntry, decode.to_json(entry), source=f"device {entry.name!r}")
    _check_workspace(entry)
    import tomlkit

    with _alone():
        if not replace and find(entry.name):
            raise UsageError(
                f"there is a device called {entry.name!r} already",
                hint=f"`edgekit devices remove {entry.name}` first, or choose another name",
            )
        document = _document()
        table = document[entry.name] if entry.name in document else tomlkit.table()
        for key, value in decode.to_json(entry).items():
            if key == "name":
                continue
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
        document[entry.name] = table
        _write(document)


def remove(name: str) -> None:
    """Takes an entry out.

    Raises:
        UsageError: there is none of that name.
    """
    with _alone():
        document = _document()
        if name not in document:
            message, hint = suggest.unknown("device", name, document)
            raise UsageError(message, hint=hint)
        del document[name]
        _write(document)


def check_name(name: str) -> None:
    """A name that can stand in a command, a path and a table heading.

    Raises:
        UsageError: it cannot.
    """
    if not NAME.fullmatch(name) or name == "local":
        why = "is this machine, always" if name == "local" else "cannot be the name of a device"
        raise UsageError(f"{name!r} {why}", hint="use letters, digits, `.`, `_` and `-`; at most 64")


def _alone() -> AbstractContextManager[None]:
    """From reading the file to writing it: another command's entry must not get lost between the two."""
    return files.alone(path().with_name(".devices.lock"))


def _check_workspace(entry: InventoryEntry) -> None:
    if entry.workspace is not None and not is_workspace(entry.workspace):
        raise UsageError(
            f"device {entry.name!r} at workspace: {entry.workspace!r} makes no sense", hint=f"write {_WORKSPACE}"
        )


def _tables() -> dict[str, Any]:
    """The file as plain values; much quicker than the editable document."""
    return read_toml(path()) if path().exists() else {}


def _document() -> Any:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    text = _text()
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise _not_toml(error) from error


def _text() -> str:
    try:
        return path().read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UsageError(f"cannot read {path()}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _not_toml(error) from error


def _not_toml(error: Exception) -> UsageError:
    return UsageError(f"{path()} is not TOML: {error}", hint="correct the line that the message names")


def _write(document: Any) -> None:
    import tomlkit

    path().parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path(), tomlkit.dumps(document).encode())
    with contextlib.suppress(OSError):
        path().chmod(0o600)
