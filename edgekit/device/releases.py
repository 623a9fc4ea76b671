"""Releases of a model on a board: published aside, activated by renaming a link, rolled back, a few kept.

releases/NAME/SHA12/model.tflite, manifest.json; activated (an empty file), failed (a report)
releases/NAME/current -> SHA12        releases/NAME/previous -> SHA12
An application opens releases/NAME/current/model.tflite.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any

from edgekit.core.artifact import Artifact, manifest_path
from edgekit.core.errors import DeviceError, TransferError, UsageError
from edgekit.core.hashing import sha256_file
from edgekit.device import releases_scripts as scripts
from edgekit.device.released import FOLDER, deployed
from edgekit.device.transport.protocol import Completed, OnBytes, printable
from edgekit.device.workspace import Pushed, Workspace

#: current and previous release of a model; None where there is none
Links = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of a model on a board.

    Attributes:
        name: of the model.
        id: the first 12 digits of its SHA-256.
        path: its folder on the board.
        model_path: the .tflite on the board.
        sha256: of the .tflite, as computed on the board; empty where it was not computed now.
        previous: id of the release to roll back to; None: there is none.
        uploaded_bytes: how much had to be sent.
    """

    name: str
    id: str
    path: str
    model_path: str
    sha256: str = ""
    previous: str | None = None
    uploaded_bytes: int = 0

    @property
    def stable_path(self) -> str:
        """What an application opens: always the .tflite of the current release."""
        return f"{self.path.rpartition('/')[0]}/current/model.tflite"


def publish(
    workspace: Workspace, artifact: Artifact, *, name: str | None = None, on_bytes: OnBytes | None = None
) -> Release:
    """Brings a model and its manifest to the board without touching what is active there.

    First it finishes or removes what an interrupted run left in the workspace. An upload that was cut short is sent
    again from its start.

    Args:
        workspace: of the board.
        artifact: the model.
        name: of the release; None: the artifact's.
        on_bytes: gets how much was handed over.

    Raises:
        TransferError: see :meth:`Workspace.push_file`.
    """
    sha256 = _sha256(artifact)
    identity = sha256[:12]
    name = artifact.name if name is None else name
    active, previous = tidy(workspace, name, identity)
    folder = f"{FOLDER}/{_part(workspace, name)}/{identity}"
    try:
        # a release with a model is complete: so the manifest goes first
        manifest = _push_manifest(workspace, artifact, folder, name, sha256)
        model = workspace.push_file(artifact.path, f"{folder}/model.tflite", on_bytes=on_bytes)
    except TransferError:
        with contextlib.suppress(DeviceError):
            tidy(workspace, name)  # a manifest alone is of no use, and the disk may be full
        raise
    return Release(
        name=name,
        id=identity,
        path=workspace.path(folder),
        model_path=model.path,
        sha256=model.sha256,
        previous=previous if active == identity else active,
        uploaded_bytes=model.uploaded_bytes + manifest.uploaded_bytes,
    )


def tidy(workspace: Workspace, name: str, identity: str = "") -> Links:
    """Finishes a switch that was interrupted, and removes what interrupted uploads left; returns the links then.

    Only for who holds the board's lock: another one's upload would be removed.

    Raises:
        DeviceError: the folder of the model is a link, or its links cannot be replaced.
    """
    done = workspace.sh(scripts.TIDY, workspace.root, _folder(workspace, name), identity)
    return _links(workspace, done, f"cannot publish {name}")


def activate(workspace: Workspace, release: Release) -> Release:
    """Makes a published release the current one.

    The model is hashed once more on the board and is on its disk before the switch. Nothing is removed, so that
    :func:`put_back` finds everything; :func:`prune` does, once the release has proved itself.

    Raises:
        DeviceError: it is not on the board or not whole, or the links cannot be replaced.
    """
    done = workspace.sh(scripts.ACTIVATE, _folder(workspace, release.name), release.id)
    _, previous = _links(workspace, done, f"cannot activate {release.name} {release.id}")
    return dataclasses.replace(release, previous=previous)


def prune(workspace: Workspace, name: str, *, keep: int) -> None:
    """Removes the oldest releases of a model beyond ``keep``; never the current or the previous, nor foreign files.

    Raises:
        DeviceError: the releases cannot be read.
    """
    _links(workspace, workspace.sh(scripts.PRUNE, _folder(workspace, name), str(keep)), f"cannot prune {name}")


def put_back(
    workspace: Workspace,
    name: str,
    links: Links,
    *,
    failed: str | None = None,
    report: dict[str, Any] | None = None,
    keep: int | None = None,
) -> None:
    """Sets the links of a model as they were, and marks the release ``failed`` with ``report``.

    Args:
        links: what shall be current and previous; without a current one, only ``failed`` is made to be so no longer.
        keep: how many releases stay; None: all.

    Raises:
        DeviceError: what shall be current is not there or not whole any more.
    """
    current, previous = links
    said = json.dumps(report or {})
    names = [failed or "-", said, current or "-", previous or "-", "-" if keep is None else str(keep)]
    done = workspace.sh(scripts.PUT_BACK, _folder(workspace, name), *names)
    _links(workspace, done, f"cannot return to {name} {current}")


def rollback(workspace: Workspace, name: str, *, to: str | None = None) -> Release:
    """Makes the previous release the current one, or the one called ``to``; a second call undoes the first.

    Raises:
        UsageError: no release, or several, have ids that begin with ``to``.
        DeviceError: there is no previous release, or it is damaged or never passed; the current one stays.
    """
    folder = _folder(workspace, name)
    wanted = _called(workspace, name, to) if to is not None else "-"
    done = workspace.sh(scripts.ROLL_BACK, folder, wanted)
    if done.exit_status in (scripts.NO_FOLDER, scripts.NO_PREVIOUS):
        raise _nothing_before(workspace, name, to)
    current, previous = _links(workspace, done, f"cannot roll back {name}")
    assert current is not None
    path = f"{folder}/{current}"
    return Release(name=name, id=current, path=path, model_path=f"{path}/model.tflite", previous=previous)


def state(workspace: Workspace, name: str) -> Links:
    """Ids of the current and of the previous release of ``name``; None where there is none."""
    done = workspace.sh(scripts.STATE, _folder(workspace, name))
    if done.exit_status == scripts.NO_FOLDER:
        return None, None
    return _links(workspace, done, f"cannot read the releases of {name}")


def _push_manifest(workspace: Workspace, artifact: Artifact, folder: str, name: str, sha256: str) -> Pushed:
    """The artifact's own manifest; a bare model gets one that says what it is."""
    if artifact.manifest is not None:
        return workspace.push_file(manifest_path(artifact.path), f"{folder}/manifest.json")
    size = artifact.path.stat().st_size
    content = {"schema": "edgekit.release/1", "name": name, "sha256": sha256, "size_bytes": size}
    return workspace.push_bytes(json.dumps(content, indent=1).encode() + b"\n", f"{folder}/manifest.json")


def _called(workspace: Workspace, name: str, to: str) -> str:
    """The one release whose id begins with ``to``."""
    known = [release.id for model in deployed(workspace) if model.name == name for release in model.releases]
    found = [identity for identity in known if to and identity.startswith(to)]
    if len(found) != 1:
        what = "several releases" if found else "no release"
        raise UsageError(
            f"{workspace.name}: {what} of {name} called {printable(to)!r}",
            hint=f"there: {', '.join(known)}" if known else f"edgekit devices show {workspace.name}",
        )
    return found[0]


def _nothing_before(workspace: Workspace, name: str, to: str | None) -> DeviceError:
    active = state(workspace, name)[0]
    if to is not None and active:
        return DeviceError(f"{workspace.name}: {name} {active} is current already; nothing was changed")
    what = f"{name} has no previous release" if active else f"no release of {name} is active"
    models = deployed(workspace)
    kept = [one.id for model in models if model.name == name for one in model.releases if one.state == "kept"]
    known = [model.name for model in models if model.name != name and (model.current or model.previous)]
    hint = "deploy another version first"
    if kept:
        hint = f"others are kept there: --to {kept[0]}{''.join(f' or {other}' for other in kept[1:])}"
    elif known and not active:
        hint = f"released there: {', '.join(known)}"
    return DeviceError(f"{workspace.name}: {what}; nothing was changed", hint=hint)


def _sha256(artifact: Artifact) -> str:
    if artifact.manifest is not None:
        return artifact.manifest.sha256
    try:
        return sha256_file(artifact.path)
    except OSError as error:
        raise TransferError(f"cannot read {artifact.path}: {error.strerror or error}", hint="check the path") from error


def check_name(name: str) -> None:
    """Whether a model can have this name on any board.

    Raises:
        UsageError: it is empty or a path, or no file system takes it.
    """
    if name in ("", ".", "..") or len(name.encode(errors="replace")) > 255 or re.search(r"[\x00-\x1f\x7f/]", name):
        raise UsageError(
            f"{printable(name)[:200]!r} cannot be the name of a release",
            hint="choose another: --name NAME, with no `/` and no control characters, at most 255 bytes",
        )


def _part(workspace: Workspace, name: str) -> str:
    workspace.path(name)
    if "/" in name:
        raise TransferError(f"{workspace.name}: {name!r} cannot be the name of a release")
    return name


def _folder(workspace: Workspace, name: str) -> str:
    return workspace.path(f"{FOLDER}/{_part(workspace, name)}")


_REFUSED = {
    scripts.NO_FOLDER: ("it is not on the board", "deploy it again"),
    scripts.NOT_WHOLE: ("its model is not there or damaged", "deploy that version again: a damaged file is replaced"),
    scripts.NEVER_ACTIVE: ("it failed, or was never active", "deploy that version: it is tested on the board first"),
    scripts.IS_A_LINK: ("its folder is a link on the board", "remove the link there, or choose another --name"),
}


_MOVE_IT = "move what is in the way of the link on the board, or choose another --name"


def _links(workspace: Workspace, done: Completed, what: str) -> Links:
    found = re.fullmatch(r"([0-9a-f]{12}|-) ([0-9a-f]{12}|-)\n?", done.text)
    if done.exit_status != 0 or not found:
        why, hint = _REFUSED.get(done.exit_status, (None, None))
        why = why or done.complaint or f"exit status {done.exit_status}"
        if done.exit_status == scripts.CANNOT_LINK:
            in_the_way = "is not a link" in why  # the script's own words
            hint = _MOVE_IT if in_the_way else "the user needs write permission and some space in the model's folder"
        raise DeviceError(f"{workspace.name}: {what}: {why}; nothing was changed", hint=hint)
    current, previous = (None if link == "-" else link for link in found.groups())
    return current, previous
