"""What a board keeps so that it is not sent again: models, samples, runtimes. What was used longest ago makes room."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.core import units
from edgekit.core.notice import Notice
from edgekit.device.transport.protocol import Completed

if TYPE_CHECKING:
    from edgekit.device.workspace import Workspace

#: kinds of entries, and what one of them is
KINDS = {
    "models": re.compile(r"models/[0-9a-f]{12}"),
    "samples": re.compile(r"(samples|rows)/[0-9a-f]{24}\.raw"),
    "runtimes": re.compile(r"runtime/[0-9a-f]{12}"),
}
_ALL = "all"
_LIMIT_S = 300.0

# $1 workspace. Prints `KIB ENTRY` for each, oldest use first. Names of any other form are not ours
_ENTRIES = r"""
LC_ALL=C; export LC_ALL
cd "$1" 2>/dev/null || exit 0
hex() { case $1 in *[!0-9a-f]* | '') return 1 ;; esac; [ ${#1} = "$2" ]; }
ours() {
  [ ! -L "$1" ] && [ ! -L "${1%/*}" ] || return 1
  name=${1##*/}
  case $1 in
  models/* | runtime/*) hex "$name" 12 && [ -d "$1" ] ;;
  *) hex "${name%.raw}" 24 && [ -f "$1" ] ;;
  esac
}
kib() { set -- $(du -sk "$1" 2>/dev/null); printf '%s' "${1:-0}"; }
entries() { ls -1dtr models/???????????? samples/*.raw rows/*.raw runtime/???????????? 2>/dev/null; }
"""
_LIST = _ENTRIES + 'entries | while IFS= read -r each; do if ours "$each"; then echo "$(kib "$each") $each"; fi; done'

# $2 KiB that shall be free, or `all`; $3 entries that stay, with a blank before and behind each. Prints what is gone.
# An entry goes by being renamed first: half of a module's folder would pass for a whole one
_MAKE_ROOM = (
    _ENTRIES
    + r"""
need=$2 keep=$3
free() {
  set -- $(df -Pk . | tail -n 1)
  while [ $# -gt 1 ]; do case $2 in *%) printf '%s' "$1"; return ;; esac; shift; done
  printf 0
}
rm -rf -- models/.edgekit-gone.* samples/.edgekit-gone.* rows/.edgekit-gone.* runtime/.edgekit-gone.* 2>/dev/null
entries | while IFS= read -r each; do
  if [ "$need" != all ] && [ "$(free)" -ge "$need" ]; then break; fi
  case $keep in *" $each "*) continue ;; esac
  ours "$each" || continue
  size=$(kib "$each") gone=${each%/*}/.edgekit-gone.$$
  if [ -d "$each" ]; then chmod -R u+w "$each" 2>/dev/null; fi
  mv -- "$each" "$gone" && rm -rf -- "$gone" && echo "$size $each"
done
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedKind:
    """One kind of what a board keeps.

    Attributes:
        kind: ``models``, ``samples`` or ``runtimes``.
        count: entries.
        size_bytes: on the board's disk, in whole blocks.
    """

    kind: str
    count: int
    size_bytes: int


class BoardCache:
    """What of a board's cache this command needs, and what it has removed.

    Args:
        name: the board's, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._needed: set[str] = set()
        self._removed: list[tuple[int, str]] = []

    def needs(self, relative: str) -> None:
        """An entry stays while this command runs; ``relative``: a path below the workspace that is in it, or is it."""
        found = next((match for kind in KINDS.values() if (match := kind.match(relative))), None)
        if found:
            self._needed.add(found[0])

    def make_room(self, sh: Callable[..., Completed], root: str, wanted_bytes: int | None) -> bool:
        """Removes what was used longest ago, until there is room.

        Args:
            sh: runs a script on the board, whose lock is held.
            root: of the workspace.
            wanted_bytes: that shall be free; None: remove all that this command does not need.

        Returns:
            Whether anything was removed.
        """
        wanted = _ALL if wanted_bytes is None else str(-(-wanted_bytes // 1024))
        done = sh(_MAKE_ROOM, root, wanted, f" {' '.join(sorted(self._needed))} ", timeout_s=_LIMIT_S)
        gone = _parsed(done.text)
        self._removed += gone
        return bool(gone)

    @property
    def removed(self) -> tuple[CachedKind, ...]:
        """What this command has removed so far."""
        return _summed(self._removed)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What was removed to make room, if anything was."""
        if not self._removed:
            return ()
        size = units.size(sum(each.size_bytes for each in self.removed))
        message = f"{self._name}: {described(self.removed)}, used longest ago, made room on its disk ({size})"
        return (Notice(code="made-room", message=message, hint="what is needed again is sent again"),)


def cached(workspace: Workspace) -> tuple[CachedKind, ...]:
    """What a board's cache holds; only reads.

    Raises:
        DeviceError: the board does not answer.
    """
    return _summed(_parsed(workspace.sh(_LIST, workspace.root, timeout_s=_LIMIT_S).text))


def described(kinds: tuple[CachedKind, ...]) -> str:
    """``3 models, 1 runtime``."""
    words = {"models": ("model", "models"), "samples": ("set of samples", "sets of samples")}
    names = [(each.count, *words.get(each.kind, ("runtime file", "runtime files"))) for each in kinds]
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in names)


def _parsed(text: str) -> list[tuple[int, str]]:
    found = re.findall(r"^(\d{1,12}) (\S+)$", text, flags=re.MULTILINE)
    return [(int(kib) * 1024, entry) for kib, entry in found]


def _summed(entries: list[tuple[int, str]]) -> tuple[CachedKind, ...]:
    found = []
    for kind, form in KINDS.items():
        sizes = [size for size, entry in entries if form.fullmatch(entry)]
        if sizes:
            found.append(CachedKind(kind=kind, count=len(sizes), size_bytes=sum(sizes)))
    return tuple(found)
