"""provision: which runtime goes onto a board and why; sends it, or takes all of ours away again."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

from edgekit.core import files, places
from edgekit.core.errors import DependencyError, UsageError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.device import inventory
from edgekit.device.board_cache import CachedKind, cached
from edgekit.device.facts import mismatch
from edgekit.device.profile import profile_paths
from edgekit.device.provision import BoardRuntime, plan_runtime, prepare_runtime
from edgekit.device.provision_plan import Plan
from edgekit.device.provision_remove import Removed, remove_lock_files, remove_workspace
from edgekit.device.provision_stock import read_supplied
from edgekit.device.target import Target
from edgekit.verbs.boards import Reach, tell
from edgekit.verbs.runtimes import check_runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """What was decided for a board, and what was done.

    Attributes:
        plan: made before anything was sent; what was there already counts as there.
        runtime: what works on the board now; None: a dry run.
        notices: what the user should know.
        pruned: what was removed from the board's cache, in a dry run what would be; None: it was not asked for.
    """

    plan: Plan
    runtime: BoardRuntime | None
    notices: tuple[Notice, ...]
    pruned: tuple[CachedKind, ...] | None = None


def provision(
    device: str,
    *,
    runtime: str = "auto",
    library: Path | None = None,
    benchmark_model: Path | None = None,
    dry_run: bool = False,
    prune: bool = False,
    reach: Reach | None = None,
    on_event: EventSink = ignore,
) -> Provisioned:
    """Decides which runtime a board gets, sends it, and sees that it loads there.

    Args:
        device: name of the board.
        runtime: ``auto``, or the one that it shall be.
        library: a LiteRT library of the user's for this board; kept in the cache and remembered for it.
        benchmark_model: Google's program, the same way.
        dry_run: only decide; nothing is sent, downloaded or remembered.
        prune: then empty the board's cache but for this runtime; releases stay.
        reach: how to reach the board.
        on_event: gets the progress.

    Raises:
        UsageError: unknown board or runtime.
        RuntimeMissingError: nothing fits this board, or it does not load there; not in a dry run.
        DependencyError: something cannot be downloaded; a file of the user's is no ELF file.
        DeviceError: not reachable, not trusted, busy.
    """
    reach = reach or Reach()
    wanted = check_runtime(runtime, onnx=True)
    target = reach.target(device)
    supplied = {"library": library, "benchmark_model": benchmark_model}
    given = {key: path for key, path in supplied.items() if path is not None}
    if given:
        _check_memory(target, reach)
        kept = {key: path if dry_run else _kept(path, key) for key, path in given.items()}
        target = dataclasses.replace(
            target,
            library=kept.get("library", target.library),
            benchmark_model=kept.get("benchmark_model", target.benchmark_model),
        )
    with task(f"connect to {device}", on_event):
        opened = reach.connect(target)
    with opened:
        facts = opened.facts()
        wrong = mismatch(target.name, target.profile, facts)
        if wrong is not None and not target.profile_implied:
            raise wrong
        plan = plan_runtime(opened, facts, runtime=wanted)
        if dry_run:
            stays = {item.folder for item in plan.chosen.items} if plan.chosen else set()
            would_go = cached(opened.workspace, but=stays) if prune and plan.chosen else None
            return Provisioned(plan=plan, runtime=None, notices=target.notices, pruned=would_go)
        with reach.lock(opened, on_event) as restored:
            ready = prepare_runtime(opened, facts, runtime=wanted, on_event=on_event)
            made_room = opened.cache.notices
            if prune:
                with task("empty the board's cache", on_event):
                    opened.cache.make_room(opened.workspace.sh, opened.root, None)
    if given:
        _remember(device, {key: str(getattr(target, key)) for key in given})
    said = (*target.notices, *restored, *ready.notices, *made_room)
    return Provisioned(plan=plan, runtime=ready, notices=said, pruned=opened.cache.removed if prune else None)


def remove_from_board(device: str, *, reach: Reach | None = None, on_event: EventSink = ignore) -> Removed:
    """Takes everything of edgekit's off a board: runtimes, models, samples, releases, and the folder itself.

    Raises:
        UsageError: unknown board.
        DeviceError: not reachable, busy, or the workspace is not provably ours: then nothing was removed.
    """
    reach = reach or Reach()
    target = reach.target(device)
    with task(f"connect to {device}", on_event):
        opened = reach.connect(target)
    with opened, task("remove edgekit from the board", on_event):
        with reach.lock(opened, on_event) as restored:
            tell(restored, on_event)
            gone = remove_workspace(opened)
        remove_lock_files(opened)
    return gone


def _check_memory(target: Target, reach: Reach) -> None:
    """Whether a file can be remembered for this board."""
    if target.is_local:
        raise UsageError("`local` uses what is installed here: no file of yours can be remembered for it")
    if reach.host is not None:
        raise UsageError(
            "a file of yours is remembered in the inventory, and --host is not in it",
            hint=f"`edgekit devices add NAME --host {reach.host}` first, then provision NAME",
        )
    if inventory.find(target.name) is None and target.name not in profile_paths():
        raise UsageError(
            f"{target.name!r} is not in the inventory", hint=f"`edgekit devices add {target.name} --host ADDRESS` first"
        )


def _kept(path: Path, kind: str) -> Path:
    """A copy in the cache, so that the board works after the original is gone."""
    path = path.expanduser()
    read_supplied(path, "library" if kind == "library" else "benchmark_model")  # before anything is written
    folder = places.cache_dir() / "runtimes" / "supplied" / sha256_file(path)[:12]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with files.appearing(folder / path.name) as temporary:
            shutil.copyfile(path, temporary)
    except OSError as error:
        raise DependencyError(f"cannot write {folder}: {error.strerror}", hint="set EDGEKIT_HOME") from error
    return folder / path.name


def _remember(device: str, supplied: dict[str, str]) -> None:
    """A name that is a profile's with an ssh alias becomes an entry of its own, whose host is that alias."""
    entry = inventory.find(device) or inventory.InventoryEntry(name=device, host=device)
    inventory.add(dataclasses.replace(entry, **supplied), replace=True)  # type: ignore[arg-type]  # both are text
