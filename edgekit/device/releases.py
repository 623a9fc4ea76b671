"""Releases of a model on a board: published aside, activated by renaming a link, rolled back, a few kept.

releases/NAME/SHA12/model.tflite, manifest.json
releases/NAME/current -> SHA12        releases/NAME/previous -> SHA12
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from edgekit.core.artifact import Artifact, manifest_path
from edgekit.core.errors import DeviceError, TransferError
from edgekit.core.hashing import sha256_file
from edgekit.device.transport.protocol import Completed, OnBytes
from edgekit.device.workspace import Pushed, Workspace

KEEP = 5
FOLDER = "releases"

# `point LINK SHA12` replaces a link in one step; mv without -T would move into the folder that the link names
_LINKS = r"""
point() {
  ln -s "$2" ".edgekit-$1-$$" || return 1
  mv -fT ".edgekit-$1-$$" "$1" 2>/dev/null && return 0
  { [ -L "$1" ] || [ ! -e "$1" ]; } && rm -f "$1" && mv -f ".edgekit-$1-$$" "$1" && return 0
  rm -f ".edgekit-$1-$$"; echo "cannot replace $1" >&2; return 1
}
link() { if [ -L "$1" ]; then readlink "$1"; else echo -; fi; }
cd "$1" || exit 41
"""

# $1 folder, $2 release to activate, $3 how many to keep; the newest stay, and current and previous always
_ACTIVATE = (
    _LINKS
    + r"""
[ -f "$2/model.tflite" ] || { echo "$2 has no model" >&2; exit 42; }
touch "$2"
old=$(link current)
if [ "$old" != "$2" ]; then
  if [ "$old" != - ]; then point previous "$old" || exit 43; fi
  point current "$2" || exit 43
fi
previous=$(link previous)
kept=0
for release in $(ls -1t); do
  case $release in *[!0-9a-f]*) continue ;; esac
  [ ${#release} = 12 ] && [ -d "$release" ] && [ ! -L "$release" ] || continue
  kept=$((kept + 1))
  [ "$release" = "$2" ] || [ "$release" = "$previous" ] || [ $kept -le "$3" ] || rm -rf "./$release"
done
printf '%s %s\n' "$2" "$previous"
"""
)

_ROLL_BACK = (
    _LINKS
    + r"""
current=$(link current) previous=$(link previous)
[ "$previous" != - ] && [ -f "$previous/model.tflite" ] && [ "$previous" != "$current" ] || exit 44
point current "$previous" || exit 43
if [ "$current" != - ]; then point previous "$current" || exit 43; fi
printf '%s %s\n' "$previous" "$current"
"""
)

_STATE = _LINKS + r"""printf '%s %s\n' "$(link current)" "$(link previous)" """


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


def publish(
    workspace: Workspace, artifact: Artifact, *, name: str | None = None, on_bytes: OnBytes | None = None
) -> Release:
    """Brings a model and its manifest to the board without touching what is active there.

    Args:
        workspace: of the board.
        artifact: the model.
        name: of the release; None: the artifact's.
        on_bytes: gets how much was handed over.

    Raises:
        TransferError: see :meth:`Workspace.push_file`.
    """
    identity = _sha256(artifact)[:12]
    name = artifact.name if name is None else name
    folder = f"{FOLDER}/{_part(workspace, name)}/{identity}"
    pushed: list[Pushed] = []
    if artifact.manifest is not None:
        pushed.append(workspace.push_file(manifest_path(artifact.path), f"{folder}/manifest.json"))
    pushed.append(workspace.push_file(artifact.path, f"{folder}/model.tflite", on_bytes=on_bytes))
    active, previous = state(workspace, name)
    return Release(
        name=name,
        id=identity,
        path=workspace.path(folder),
        model_path=pushed[-1].path,
        sha256=pushed[-1].sha256,
        previous=previous if active == identity else active,
        uploaded_bytes=sum(file.uploaded_bytes for file in pushed),
    )


def activate(workspace: Workspace, release: Release, *, keep: int = KEEP) -> Release:
    """Makes a published release the current one, and removes the oldest beyond ``keep``.

    Raises:
        DeviceError: it is not on the board, or the links cannot be replaced.
    """
    done = workspace.sh(_ACTIVATE, _folder(workspace, release.name), release.id, str(keep))
    _, previous = _links(workspace, done, f"cannot activate {release.name} {release.id}")
    return dataclasses.replace(release, previous=previous)


def rollback(workspace: Workspace, name: str) -> Release:
    """Makes the previous release the current one; a second call undoes the first.

    Raises:
        DeviceError: there is no previous release; the current one stays.
    """
    folder = _folder(workspace, name)
    done = workspace.sh(_ROLL_BACK, folder)
    if done.exit_status in (41, 44):
        active = state(workspace, name)[0]
        what = f"{name} has no previous release" if active else f"no release of {name} is active"
        known = [other for other in names(workspace) if other != name]
        raise DeviceError(
            f"{workspace.name}: {what}; nothing was changed",
            hint=f"released there: {', '.join(known)}" if known and not active else "deploy another version first",
        )
    current, previous = _links(workspace, done, f"cannot roll back {name}")
    assert current is not None
    path = f"{folder}/{current}"
    return Release(name=name, id=current, path=path, model_path=f"{path}/model.tflite", previous=previous)


def state(workspace: Workspace, name: str) -> tuple[str | None, str | None]:
    """Ids of the current and of the previous release of ``name``; None where there is none."""
    done = workspace.sh(_STATE, _folder(workspace, name))
    return (None, None) if done.exit_status == 41 else _links(workspace, done, f"cannot read the releases of {name}")


def names(workspace: Workspace) -> tuple[str, ...]:
    """Models that have releases on the board."""
    done = workspace.sh(
        'cd "$1" 2>/dev/null || exit 0; for n in *; do [ -L "$n/current" ] && printf "%s\\n" "$n"; done; :',
        workspace.path(FOLDER),
    )
    return tuple(sorted(done.text.splitlines()))


def _sha256(artifact: Artifact) -> str:
    if artifact.manifest is not None:
        return artifact.manifest.sha256
    try:
        return sha256_file(artifact.path)
    except OSError as error:
        raise TransferError(f"cannot read {artifact.path}: {error.strerror or error}", hint="check the path") from error


def _part(workspace: Workspace, name: str) -> str:
    workspace.path(name)
    if "/" in name:
        raise TransferError(f"{workspace.name}: {name!r} cannot be the name of a release")
    return name


def _folder(workspace: Workspace, name: str) -> str:
    return workspace.path(f"{FOLDER}/{_part(workspace, name)}")


def _links(workspace: Workspace, done: Completed, what: str) -> tuple[str | None, str | None]:
    found = re.fullmatch(r"([0-9a-f]{12}|-) ([0-9a-f]{12}|-)\n?", done.text)
    if done.exit_status != 0 or not found:
        raise DeviceError(f"{workspace.name}: {what}: {done.complaint or f'exit status {done.exit_status}'}")
    current, previous = (None if link == "-" else link for link in found.groups())
    return current, previous
