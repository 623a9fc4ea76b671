"""What a kind of board is: ``device_profiles/*.toml`` as checked records."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgekit.core import decode, suggest
from edgekit.core.errors import UsageError
from edgekit.core.notice import Notice
from edgekit.core.places import config_dir
from edgekit.core.schema import TEXT, limits
from edgekit.core.toml import line_of, read_toml
from edgekit.device.transport.protocol import printable

Abi = Literal["aarch64", "armv7l", "x86_64"]

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")

_LONGEST = 200  # with a home folder before it, what a board says about a path still fits into one line
_WORD = {"pattern": TEXT, "maxLength": _LONGEST}
_TEXT = limits(**_WORD, means=f"up to {_LONGEST} characters in one line, no control characters")
_CPUS = limits(items={"minimum": 0, "maximum": 4095}, uniqueItems=True, means="numbers of cores from 0, each only once")
_ARGV = limits(
    # the program is no option, and nothing in it is for a shell: it is run as it stands
    items=_WORD,
    means=f"words of up to {_LONGEST} characters, the program first, no control characters",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Cores of one kind.

    Attributes:
        core: the core's name ("Cortex-A72").
        cpus: their numbers, as Linux counts them.
        max_mhz: highest clock the maker states.
    """

    core: str = field(metadata=_TEXT)
    cpus: tuple[int, ...] = field(metadata=_CPUS)
    max_mhz: int | None = field(default=None, metadata=limits(minimum=1, maximum=20_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """Where one reading comes from: exactly one of command, file and zone.

    Attributes:
        command: words of a command that prints it; run as they stand, without a shell.
        file: absolute path of a file on the board that holds it.
        zone: type of the kernel's thermal zone that has it ("cpu-thermal"); for temperatures.
        scale: what a file's number is multiplied with to give °C or Hz; 0.001 for millidegrees.
    """

    command: tuple[str, ...] = field(default=(), metadata=_ARGV)
    file: str | None = field(
        default=None,
        metadata=limits(
            pattern=f"/{TEXT}", maxLength=_LONGEST, means="an absolute path on the board, no control characters"
        ),
    )
    zone: str | None = field(default=None, metadata=_TEXT)
    scale: float = field(default=1.0, metadata=limits(minimum=1e-9, maximum=1e9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """The board's own readings; what is left out is looked for in the usual places.

    Attributes:
        temperature: of the processor, in °C.
        clock: the real clock of the processor in Hz, not the one that the kernel asked for.
        throttled: bits, in hexadecimal: 0 under-voltage, 1 clock capped, 2 throttled, 3 soft temperature limit.
    """

    temperature: Sensor | None = None
    clock: Sensor | None = None
    throttled: Sensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of board. No address, no user: those are the inventory's.

    Attributes:
        name: the file's name without ``.toml``.
        title: for people.
        transport: how such a board is reached.
        model: how the board's name for itself begins, in its device tree.
        compatible: device tree names of exactly these boards; ``edgekit devices add`` knows them by it.
        soc: the system on a chip.
        abi: what programs for it are built for; left out: whatever the board says.
        libc: left out: whatever the board says.
        clusters: its cores; empty where boards differ.
        ram_mb: the sizes it is sold with, in MiB.
        throttle_c: temperature in °C at which it starts to slow down.
        sensors: where its own readings come from.
        num_threads: default for benchmarks.
        cpus: cores to run on by default; empty: leave it to the scheduler.
        workspace: our folder on the board.
        port: SSH port where nothing else names one.
        keep_releases: how many releases of a model stay on the board; the current and the previous always do.
        keep_models: how many models that are not released stay on the board, so that they are not sent again.
        after_activate: command that runs on the board once another release has become current, to make the
            application take it; empty: none.
    """

    name: str = field(metadata={"given": True})
    title: str = field(metadata=_TEXT)
    transport: Literal["local", "ssh", "adb"] = "ssh"
    model: str | None = field(default=None, metadata=_TEXT)
    compatible: tuple[str, ...] = field(
        default=(),
        metadata=limits(items={"pattern": "[A-Za-z0-9._+-]+,[A-Za-z0-9._+,-]+"}, means='names such as "radxa,rock-5b"'),
    )
    soc: str | None = field(default=None, metadata=_TEXT)
    abi: Abi | None = None
    libc: Literal["glibc", "musl", "bionic"] | None = None
    clusters: tuple[Cluster, ...] = ()
    ram_mb: tuple[int, ...] = field(default=(), metadata=limits(items={"minimum": 1, "maximum": 1 << 24}))
    throttle_c: float | None = field(default=None, metadata=limits(minimum=0, maximum=150))
    sensors: Sensors = Sensors()
    num_threads: int = field(default=1, metadata=limits(minimum=1, maximum=1024))
    cpus: tuple[int, ...] = field(default=(), metadata=_CPUS)
    workspace: str = field(
        default="~/.edgekit",
        metadata=limits(pattern=f"~?/{TEXT}", maxLength=_LONGEST, means="an absolute path, or one that begins with ~/"),
    )
    port: int | None = field(default=None, metadata=limits(minimum=1, maximum=65535))
    keep_releases: int = field(default=5, metadata=limits(minimum=2, maximum=1000))
    keep_models: int = field(default=64, metadata=limits(minimum=1, maximum=100_000))
    after_activate: tuple[str, ...] = field(default=(), metadata=_ARGV)

    @property
    def cores(self) -> int | None:
        """Number of cores, where the profile knows."""
        return sum(len(cluster.cpus) for cluster in self.clusters) or None


def shipped_folder() -> Path:
    """``device_profiles`` of the source tree, or its copy in the installed package."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_device_profiles"
    return installed if installed.is_dir() else package.parent / "device_profiles"


def users_folder() -> Path:
    """Where a user puts profiles of their own; one of the same name replaces ours."""
    return config_dir() / "profiles"


def search_path() -> tuple[tuple[str, Path], ...]:
    """Folders that are searched, the first one first, each with a word for whose it is.

    ``EDGEKIT_PROFILES`` lists folders as ``PATH`` does; then comes the user's own, then ours.
    """
    listed = [Path(part).expanduser() for part in os.environ.get("EDGEKIT_PROFILES", "").split(os.pathsep) if part]
    return (*(("EDGEKIT_PROFILES", part) for part in listed), ("yours", users_folder()), ("edgekit", shipped_folder()))


def profile_paths() -> dict[str, Path]:
    """Every known profile's name and file; the first folder of the search path wins."""
    found: dict[str, Path] = {}
    for _, folder in search_path():
        for path in sorted(folder.glob("*.toml")):
            if NAME.fullmatch(path.stem):
                found.setdefault(path.stem, path)
    return found


def origin(path: Path) -> str:
    """Whose a profile's file is: ``edgekit``, ``yours``, ``EDGEKIT_PROFILES``."""
    return next((word for word, folder in search_path() if path.parent == folder), "elsewhere")


def all_profiles() -> tuple[dict[str, tuple[Profile, Path]], tuple[Notice, ...]]:
    """Every profile that can be read, with its file; and what stands in the search path and cannot be used."""
    found: dict[str, tuple[Profile, Path]] = {}
    notices = []
    for name, path in sorted(profile_paths().items()):
        try:
            found[name] = (read_profile(path), path)
        except UsageError as error:
            notices.append(Notice(code="broken-profile", message=error.message, hint=error.hint or ""))
    for word, folder in search_path():
        if word == "EDGEKIT_PROFILES" and not folder.is_dir():
            message = f"EDGEKIT_PROFILES names {printable(str(folder))}, which is not a folder"
            notices.append(Notice(code="no-profile-folder", message=message, hint="correct or unset EDGEKIT_PROFILES"))
        for path in sorted(folder.glob("*.toml")):
            if not NAME.fullmatch(path.stem):
                message = f"{printable(str(path))} cannot be the name of a profile"
                notices.append(Notice(code="profile-name", message=message, hint="use letters, digits, `.`, `_`, `-`"))
    return found, tuple(notices)


def load_profile(name: str) -> Profile:
    """The profile called ``name``.

    Raises:
        UsageError: there is none (with the nearest name), or its file is wrong.
    """
    paths = profile_paths()
    if name not in paths:
        message, hint = suggest.unknown("device profile", name, paths)
        raise UsageError(message, hint=f"{hint}; your own go into {users_folder()}")
    return read_profile(paths[name])


def read_profile(path: Path) -> Profile:
    """A profile from its file.

    Raises:
        UsageError: not readable, not TOML, a misspelt key, a value that does not fit; with the line.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise UsageError(f"{printable(str(path))} is not a file", hint="take it out of the folder of profiles")
    value = read_toml(path)
    lines = functools.partial(line_of, path.read_text(encoding="utf-8"))
    if "name" in value:
        raise UsageError(
            f"{path}:{lines('name')}: unknown key 'name'", hint="a profile is called what its file is called"
        )
    profile = decode.from_json(Profile, {**value, "name": path.stem}, source=str(path), line_of=lines)
    for place, message in _nonsense(profile):
        raise UsageError(f"{path}:{lines(place)} at {place}: {message}")
    return profile


def is_workspace(text: str) -> bool:
    """Whether ``text`` can be our folder on a board: absolute, or below ``~/``; nothing that leaves it again."""
    parts = text.split("/")
    return (
        parts[0] in ("", "~")
        and any(parts[1:])
        and ".." not in parts
        and not any(ord(character) < 32 or ord(character) == 127 for character in text)
    )


def _nonsense(profile: Profile) -> Iterator[tuple[str, str]]:
    """Values that each make sense and do not fit together: place and message."""
    known = [cpu for cluster in profile.clusters for cpu in cluster.cpus]
    if len(set(known)) != len(known):
        yield "clusters", "a core stands in two clusters"
    for cpu in profile.cpus:
        if known and cpu not in known:
            yield "cpus", f"core {cpu} is in none of the clusters"
    if not is_workspace(profile.workspace):
        yield (
            "workspace",
            f"{profile.workspace!r} makes no sense; expected an absolute path, or one below ~/, without ..",
        )
    if profile.after_activate and profile.after_activate[0].startswith("-"):
        yield "after_activate", f"{profile.after_activate[0]!r} is no program"
    for kind in ("temperature", "clock", "throttled"):
        sensor: Sensor | None = getattr(profile.sensors, kind)
        if sensor is None:
            continue
        place = f"sensors.{kind}"
        if sum(map(bool, (sensor.command, sensor.file, sensor.zone))) != 1:
            yield place, "write exactly one of command, file and zone"
        if sensor.zone and kind != "temperature":
            yield place, "a thermal zone has a temperature, nothing else"
        if sensor.command and sensor.command[0].startswith("-"):
            yield place, f"{sensor.command[0]!r} is no program"
