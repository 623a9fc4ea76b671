"""Takes edgekit off a board: only what is provably ours, never a folder as a whole because of its name."""

from __future__ import annotations

import os
from dataclasses import dataclass

from edgekit.core.errors import DeviceError
from edgekit.device.connect import Device
from edgekit.device.lock import owner
from edgekit.device.transport.protocol import printable
from edgekit.device.workspace import HASH

_NOT_OURS, _IS_A_LINK = 51, 52

# $1 workspace. Files of ours are called after their own content, so a folder proves itself to be ours; then only names
# that we give are removed, links are removed and never followed, and folders only once they are empty
_REMOVE = (
    HASH
    + r"""
LC_ALL=C; export LC_ALL
[ ! -L "$1" ] || exit 52
[ -e "$1" ] || { echo 'removed -'; exit 0; }
[ -d "$1" ] && cd "$1" || exit 51
hex() { case $1 in *[!0-9a-f]* | '') return 1 ;; esac; [ ${#1} = "$2" ]; }
folder() { [ -d "$1" ] && [ ! -L "$1" ]; }
proven() {
  for file in runtime/????????????/* models/????????????/model.tflite releases/*/????????????/model.tflite; do
    [ -f "$file" ] && [ ! -L "$file" ] || continue
    parent=${file%/*}; parent=${parent##*/}
    hex "$parent" 12 || continue
    case $(sha256_of "$file" "$(($(wc -c < "$file")))") in "$parent"*) return 0 ;; esac
  done
  return 1
}
if [ -n "$(find . ! -type d | head -n 1)" ] && ! proven; then exit 51; fi
count=0
gone() { count=$((count + 1)); }
for each in runtime/????????????; do
  if folder "$each" && hex "${each##*/}" 12; then chmod -R u+w "$each"; rm -rf -- "$each" && gone; fi
done
for each in models/????????????; do
  if folder "$each" && hex "${each##*/}" 12; then rm -rf -- "$each" && gone; fi
done
for each in samples/*.raw rows/*.raw; do
  name=${each##*/}
  if [ -f "$each" ] && [ ! -L "$each" ] && hex "${name%.raw}" 24; then rm -f -- "$each" && gone; fi
done
for model in releases/* releases/.[!.]*; do
  folder "$model" || continue
  for link in "$model/current" "$model/previous" "$model/.edgekit-previous"; do
    if [ -L "$link" ] && hex "$(readlink "$link")" 12; then rm -f -- "$link"; fi
  done
  rm -rf -- "$model/.edgekit-links"
  for release in "$model"/????????????; do
    folder "$release" && hex "${release##*/}" 12 || continue
    for name in model.tflite manifest.json activated failed; do
      if [ -f "$release/$name" ] && [ ! -L "$release/$name" ]; then rm -f -- "$release/$name"; fi
    done
    rmdir "$release" 2>/dev/null && gone
  done
done
rm -rf -- models/.edgekit-gone.* samples/.edgekit-gone.* rows/.edgekit-gone.* runtime/.edgekit-gone.*
find . -type f -name '.edgekit-*.part' -exec rm -f -- {} + 2>/dev/null
for each in releases/* releases/.[!.]* runtime models samples rows releases; do
  if folder "$each"; then rmdir "$each" 2>/dev/null; fi
done
cd / && rmdir "$1" 2>/dev/null
printf 'removed %s\n' $count
[ -d "$1" ] || exit 0
{ find "$1" ! -type d; find "$1" -type d | while IFS= read -r each; do
  [ -n "$(ls -A -- "$each")" ] || printf '%s\n' "$each"
done; } | head -n 20
exit 0
"""
)

# $1 folder of the lock, or nothing: all that `device.lock` may take. Who holds a file's lock while it goes is found
# out by whoever waits for it. Another user's files stay: theirs is a board that they still use
_UNLOCK = r"""
LC_ALL=C; export LC_ALL
number=$(stat -c %d /home 2>/dev/null)
only=$1
for folder in /run/lock /var/lock /tmp /data/local/tmp /data/data/com.termux/files/usr/tmp "${PREFIX:-/data}/tmp"; do
  [ -z "$only" ] || folder=$only
  name=$folder/edgekit-${number:-0}
  [ ! -L "$name.lock" ] && [ -n "$(ls -d "$name".lock "$name".lock.* "$name".owner.*)" ] || continue
  set -- rm -f "$name.lock" "$name.jobs" "$name.owner.$(id -u)"
  for each in "$name".lock.*; do if [ -L "$each" ]; then set -- "$@" "$each"; fi; done
  if command -v flock >/dev/null && [ -f "$name.lock" ]; then flock -n "$name.lock" "$@"; else "$@"; fi
done 2>/dev/null
exit 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What is gone from a board.

    Attributes:
        existed: there was a workspace.
        workspace: the folder; it is gone too where nothing is ``left``.
        count: runtimes, models, samples, rows and releases that were removed.
        left: files and empty folders in it that are not ours (the first 20); they were not touched.
    """

    existed: bool
    workspace: str
    count: int
    left: tuple[str, ...]


def remove_workspace(device: Device) -> Removed:
    """Removes everything of ours from a board. Only for who holds its lock.

    Raises:
        DeviceError: the workspace is a link, or nothing in it proves that it is ours; nothing was removed.
    """
    done = device.workspace.sh(_REMOVE, device.root, timeout_s=300)
    first, _, rest = done.text.partition("\n")
    if done.exit_status == _IS_A_LINK:
        raise DeviceError(
            f"{device.name}: {printable(device.root)} is a link on the board: it is not followed",
            hint="give the board the folder itself as its `workspace` in the inventory",
        )
    if done.exit_status == _NOT_OURS:
        raise DeviceError(
            f"{device.name}: nothing in {printable(device.root)} shows that edgekit made it: nothing was removed",
            hint="if it is edgekit's all the same, remove it on the board yourself",
        )
    if done.exit_status != 0 or not first.startswith("removed "):
        raise DeviceError(
            f"{device.name}: cannot remove {printable(device.root)}: {done.complaint or f'status {done.exit_status}'}"
        )
    count = first.removeprefix("removed ")
    return Removed(
        existed=count != "-",
        workspace=device.root,
        count=int(count) if count != "-" else 0,
        left=tuple(printable(line)[:300] for line in rest.splitlines() if line),
    )


def remove_lock_files(device: Device) -> None:
    """Removes what the lock leaves on a board; not within the lock, and not where somebody holds it by now.

    Raises:
        DeviceError: the connection was lost.
    """
    if owner(device) is None:
        folder = os.environ.get("EDGEKIT_LOCK_DIR", "") if device.target.is_local else ""  # as the lock has it
        device.transport.run(["sh", "-c", _UNLOCK, "sh", folder], timeout_s=30)
