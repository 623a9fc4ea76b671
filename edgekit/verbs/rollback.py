"""rollback: the previous release of a model, or a named one, becomes the current one; and what a board has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from edgekit.core.events import EventSink
    from edgekit.device.board_cache import CachedKind
    from edgekit.device.connect import Device
    from edgekit.device.released import Deployed
    from edgekit.device.releases import Release
    from edgekit.verbs.boards import Reach


_PATIENCE_S = 4.0  # who lists a board that is off does not wait long


@dataclass(frozen=True, slots=True, kw_only=True)
class OnBoard:
    """What edgekit has put on a board.

    Attributes:
        models: with their releases.
        runtimes: name below ``runtime/`` and size in bytes of each file there.
        workspace: our folder there.
        cache: what is kept there so that it is not sent again; the runtimes among it.
    """

    models: tuple[Deployed, ...]
    runtimes: tuple[tuple[str, int], ...]
    workspace: str
    cache: tuple[CachedKind, ...] = ()


def rollback(
    name: str | None = None,
    *,
    device: str,
    to: str | None = None,
    reach: Reach | None = None,
    on_event: EventSink = ignore,
) -> Release:
    """Makes the previous release of a model the current one; a second call undoes the first.

    Where the profile's ``after_activate`` fails then, what was current is current again, if anything was.

    Args:
        name: of the release; None: the only one there is.
        device: name of the board.
        to: id, or its beginning, of another release that was current once; None: the previous one.
        reach: see :func:`edgekit.benchmark`.
        on_event: hears whom the board is waited for.

    Raises:
        DeviceError: there is no previous release, it is damaged, or ``after_activate`` failed.
        BusyError: somebody else uses the board.
        UsageError: several models are deployed and none is named; no release can have that name, or is called ``to``.
    """
    from edgekit.device import releases
    from edgekit.verbs.boards import Reach, tell

    if name is not None:
        releases.check_name(name)
    way = reach or Reach()
    with way.connect(way.target(device)) as board, way.lock(board, on_event) as restored:
        tell(restored, on_event)
        name = _named(board, name)
        before = releases.state(board.workspace, name)
        release = releases.rollback(board.workspace, name, to=to)
        _restart(board, release, before)
        return release


def on_board(device: str, *, reach: Reach | None = None) -> OnBoard:
    """What a board has of ours; only reads, and locks nothing.

    Raises:
        DeviceError: the board does not answer.
    """
    from edgekit.device import released
    from edgekit.device.board_cache import cached
    from edgekit.device.connect import connect
    from edgekit.verbs.boards import Reach

    way = reach or Reach()
    with connect(way.target(device), ask=way.ask, timeout_s=_PATIENCE_S) as board:
        workspace = board.workspace
        return OnBoard(
            models=released.deployed(workspace),
            runtimes=released.runtimes(workspace),
            workspace=workspace.root,
            cache=cached(workspace),
        )


def _named(board: Device, name: str | None) -> str:
    from edgekit.core.errors import DeviceError, UsageError
    from edgekit.device import released

    if name is not None:
        return name
    known = released.names(board.workspace)
    if not known:
        raise DeviceError(f"{board.name}: nothing is deployed there", hint=f"edgekit deploy --device {board.name}")
    if len(known) > 1:
        raise UsageError(
            f"{board.name} has several models: {', '.join(known)}", hint="name one: edgekit rollback --name NAME"
        )
    return known[0]


def _restart(board: Device, release: Release, before: tuple[str | None, str | None]) -> None:
    """The profile's command; where it fails, back again."""
    from edgekit.core.errors import DeviceError
    from edgekit.device.after_activate import GOING_BACK_FAILED, after_activate, go_back

    command = board.profile.after_activate
    try:
        after_activate(board, command)
    except DeviceError as error:
        if before[0] is None:
            now = f"{release.id} is current all the same: nothing was before"
            raise DeviceError(f"{error.message}; {now}", hint=error.hint, details=error.details) from error
        trouble = go_back(board, release.name, before, command)
        now = ", ".join(filter(None, (f"{before[0]} is current again", trouble)))
        if trouble.startswith(GOING_BACK_FAILED):
            now = trouble
        raise DeviceError(f"{error.message}; {now}", hint=error.hint, details=error.details) from error
