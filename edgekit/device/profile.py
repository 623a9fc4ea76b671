"""What a kind of board is: ``device_profiles/*.toml`` as checked records."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgekit.core import decode, suggest
from edgekit.core.errors import UsageError
from edgekit.core.places import config_dir
from edgekit.core.toml import read_toml

Abi = Literal["aarch64", "armv7l", "x86_64"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Cores of one kind.

    Attributes:
        core: the core's name ("Cortex-A72").
        cpus: their numbers, as Linux counts them.
        max_mhz: highest clock the maker states.
    """

    core: str
    cpus: tuple[int, ...]
    max_mhz: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of board. No address, no user: those are the inventory's.

    Attributes:
        name: the file's name without ``.toml``.
        title: for people.
        transport: how such a board is reached.
        soc: the system on a chip.
        abi: what programs for it are built for; None: whatever the board says.
        libc: None: whatever the board says.
        clusters: its cores; empty where boards differ.
        ram_mb: the sizes it is sold with, in MiB.
        throttle_c: temperature at which it starts to slow down.
        sensors: name → command that reads it.
        num_threads: default for benchmarks.
        cpus: cores to run on by default; empty: leave it to the scheduler.
        workspace: our folder on the board.
        port: SSH port where nothing else names one.
        keep_releases: how many releases of a model stay on the board; the current and the previous always do.
        after_activate: command that runs on the board once another release has become current, to make the
            application take it; empty: none.
    """

    name: str
    title: str
    transport: Literal["local", "ssh", "adb"] = "ssh"
    soc: str | None = None
    abi: Abi | None = None
    libc: Literal["glibc", "musl", "bionic"] | None = None
    clusters: tuple[Cluster, ...] = ()
    ram_mb: tuple[int, ...] = ()
    throttle_c: float | None = None
    sensors: dict[str, tuple[str, ...]] = field(default_factory=dict)
    num_threads: int = 1
    cpus: tuple[int, ...] = ()
    workspace: str = "~/.edgekit"
    port: int | None = None
    keep_releases: int = 5
    after_activate: tuple[str, ...] = ()

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


def profile_paths() -> dict[str, Path]:
    """Every known profile's name and file."""
    found = {}
    for folder in (shipped_folder(), users_folder()):
        found.update({path.stem: path for path in sorted(folder.glob("*.toml"))})
    return found


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
        UsageError: not readable, not TOML, a misspelt key, a value that does not fit.
    """
    value = read_toml(path)
    if "name" in value:
        raise UsageError(f"{path}: unknown key 'name'", hint="a profile is called what its file is called")
    profile = decode.from_json(Profile, {**value, "name": path.stem}, source=str(path))
    _check(profile, path)
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


def _check(profile: Profile, path: Path) -> None:
    """Values that have the right type and still make no sense."""
    known = [cpu for cluster in profile.clusters for cpu in cluster.cpus]
    wrong = {
        "num_threads": not 1 <= profile.num_threads <= 1024,
        "port": profile.port is not None and not 1 <= profile.port <= 65535,
        "clusters": len(set(known)) != len(known) or any(cpu < 0 for cpu in known),
        "cpus": any(cpu < 0 or (known and cpu not in known) for cpu in profile.cpus),
        "workspace": not is_workspace(profile.workspace),
        "keep_releases": not 2 <= profile.keep_releases <= 1000,
        "after_activate": bool(profile.after_activate) and not profile.after_activate[0],
        "sensors": any(not argv or not argv[0] for argv in profile.sensors.values()),
    }
    for key, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(f"{path} at {key}: {getattr(profile, key)!r} makes no sense")
