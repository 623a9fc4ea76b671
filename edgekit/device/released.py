"""What a board lists: its models, all their releases, and the runtimes that were brought there. Only reads."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Literal

from edgekit.device import releases_scripts as scripts
from edgekit.device.transport.protocol import printable
from edgekit.device.workspace import Workspace

FOLDER = "releases"

State = Literal["current", "previous", "kept", "failed", "published", "incomplete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A release as a board lists it.

    Attributes:
        id: the first 12 digits of the model's SHA-256.
        path: its folder on the board.
        size_bytes: of the model; None: it is not there.
        since_s: when it was activated last, else published, in seconds since 1970; None: the board does not tell.
        state: ``current``; ``previous``: what a roll back activates; ``kept``: was current once; ``failed``: did not
            pass smoke test, hook or benchmark; ``published``: was never activated; ``incomplete``: has no model.
        failed: its last deploy failed, whatever the links say.
    """

    id: str
    path: str
    size_bytes: int | None
    since_s: int | None
    state: State
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A model on a board with all its releases, the newest first.

    Attributes:
        current, previous: ids; None: there is none.
        stable_path: what an application opens.
    """

    name: str
    current: str | None
    previous: str | None
    stable_path: str
    releases: tuple[Listed, ...]


def deployed(workspace: Workspace) -> tuple[Deployed, ...]:
    """All models on a board with all their releases; only reads.

    Raises:
        DeviceError: the board does not answer.
    """
    root = workspace.path(FOLDER)
    return parse_deployed(workspace.sh(scripts.LIST, root).text, root)


def names(workspace: Workspace) -> tuple[str, ...]:
    """Models that have a current release on the board, or one to roll back to."""
    return tuple(model.name for model in deployed(workspace) if model.current or model.previous)


def runtimes(workspace: Workspace) -> tuple[tuple[str, int], ...]:
    """What was provisioned on a board: file name below ``runtime/`` and size in bytes."""
    done = workspace.sh(scripts.RUNTIMES, workspace.path("runtime"))
    pairs = (line.partition(" ") for line in done.text.splitlines())
    return tuple((printable(name), int(size)) for size, _, name in pairs if size.isdigit())


def parse_deployed(text: str, root: str) -> tuple[Deployed, ...]:
    """The models from what the listing script prints; lines of any other form are left out."""
    models: list[Deployed] = []
    for line in text.split("\n"):
        model = re.fullmatch(r"model ([0-9a-f]{12}|-|\S*) ([0-9a-f]{12}|-|\S*) (.+)", line)
        release = re.fullmatch(r"release ([0-9a-f]{12}) (\d+|-) (\d+|-) (activated|-) (failed|-)", line)
        if model:
            current, previous = (link if re.fullmatch("[0-9a-f]{12}", link) else None for link in model.groups()[:2])
            name = printable(model[3])
            models.append(
                Deployed(
                    name=name,
                    current=current,
                    previous=previous if previous != current else None,
                    stable_path=f"{root}/{name}/current/model.tflite",
                    releases=(),
                )
            )
        elif release and models:
            listed = _listed(models[-1], release, root)
            models[-1] = dataclasses.replace(models[-1], releases=(*models[-1].releases, listed))
    return tuple(
        dataclasses.replace(model, releases=tuple(sorted(model.releases, key=lambda r: -(r.since_s or 0))))
        for model in sorted(models, key=lambda model: model.name)
    )


def _listed(model: Deployed, found: re.Match[str], root: str) -> Listed:
    identity, size, since, active, failed = found.groups()
    state: State = "kept" if active == "activated" else "published"
    if size == "-":
        state = "incomplete"
    elif identity == model.current:
        state = "current"
    elif failed == "failed":
        state = "failed"
    elif identity == model.previous:
        state = "previous"
    return Listed(
        id=identity,
        path=f"{root}/{model.name}/{identity}",
        size_bytes=None if size == "-" else int(size),
        since_s=None if since == "-" else int(since),
        state=state,
        failed=failed == "failed",
    )
