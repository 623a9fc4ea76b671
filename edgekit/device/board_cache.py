"""What a board keeps so that it is not sent again: models, samples, runtimes. What was used longest ago makes room."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
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
_RESERVE_BYTES = 64 << 20

# Names of any other form are not ours, and links are never followed. An entry goes by being renamed first: half of a
# module's folder would pass for a whole one
_ENTRIES = r"""
LC_ALL=C; export LC_ALL
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
oldest() { ls -1dtr "$@" 2>/dev/null | while IFS= read -r each; do if ours "$each"; then echo "$each"; fi; done; }
entries() { oldest models/???????????? samples/*.raw rows/*.raw runtime/????????????; }
remove() {
  size=$(kib "$1") gone=${1%/*}/.edgekit-gone.$$
  if [ -d "$1" ]; then chmod -R u+w "$1" 2>/dev/null; fi
  mv -- "$1" "$gone" && rm -rf -- "$gone" && echo "$size $1"
}
"""

# $1 workspace. Prints `KIB ENTRY` for each, oldest use first
_LIST = _ENTRIES + 'cd "$1" 2>/dev/null || exit 0; for each in $(entries); do echo "$(kib "$each") $each"; done'

# $1 workspace, $2 KiB that an upload needs, or `all`; $3 KiB that shall be free before it; $4 entries that stay, with a
# blank before and behind each. Prints what is gone. Nothing goes where all of it would not be enough. What interrupted
# commands left goes first: who holds the board's lock uploads nothing else meanwhile
_MAKE_ROOM = (
    _ENTRIES
    + r"""
cd "$1" 2>/dev/null || exit 0
need=$2 wish=$3 keep=$4
free() {
  set -- $(df -Pk . | tail -n 1)
  while [ $# -gt 1 ]; do case $2 in *% | -) printf '%s' "$1"; return ;; esac; shift; done
  printf 2000000000 # not known: nothing goes
}
for each in models samples rows runtime models/???????????? runtime/????????????; do
  if [ -d "$each" ] && [ ! -L "$each" ] && [ ! -L "${each%/*}" ]; then
    rm -rf -- "$each"/.edgekit-gone.* "$each"/.edgekit-*.part "$each"/packages.part.* 2>/dev/null
  fi
done
if [ "$need" != all ]; then
  room=$(free)
  if [ "$room" -lt "$need" ]; then
    for each in $(entries); do case $keep in *" $each "*) ;; *) room=$((room + $(kib "$each"))) ;; esac; done
    [ "$room" -ge "$need" ] || exit 0
  fi
fi
for each in $(entries); do
  if [ "$need" != all ] && [ "$(free)" -ge "$wish" ]; then break; fi
  case $keep in *" $each "*) ;; *) remove "$each" ;; esac
done
"""
)

#: shell function `bound WORKSPACE MOST KEEP`: that many models stay, and that many sets of samples
BOUND = (
    _ENTRIES
    + r"""
bound() {
  cd "$1" || return 0
  most=$2 keep=$3
  for kind in 'models/????????????' 'samples/*.raw'; do
    set -- $(oldest $kind)
    while [ $# -gt "$most" ]; do
      case $keep in *" $1 "*) ;; *) remove "$1" >/dev/null ;; esac
      shift
    done
  done
}
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
        most: how many models stay there, and how many sets of samples; None: as many as its disk holds.
    """

    def __init__(self, name: str, *, most: int | None = None) -> None:
        self._name = name
        self._most = most
        self._needed: set[str] = set()
        self._removed: list[tuple[int, str]] = []

    def needs(self, relative: str) -> None:
        """An entry stays while this command runs; ``relative``: a path below the workspace that is in it, or is it."""
        found = next((match for kind in KINDS.values() if (match := kind.match(relative))), None)
        if found:
            self._needed.add(found[0])

    def make_room(
        self, sh: Callable[..., Completed], root: str, needed_bytes: int | None, *, reserve_bytes: int = 0
    ) -> None:
        """Removes what was used longest ago, until there is room; nothing, where all of it would not be enough.

        Args:
            sh: runs a script on the board, whose lock is held.
            root: of the workspace.
            needed_bytes: of an upload; None: remove all that this command does not need.
            reserve_bytes: that shall be free besides, as far as the cache can give them.
        """
        needed = _ALL if needed_bytes is None else str(_kib(needed_bytes))
        wished = str(_kib((needed_bytes or 0) + reserve_bytes))
        self._removed += _parsed(sh(_MAKE_ROOM, root, needed, wished, self._kept, timeout_s=_LIMIT_S).text)

    def bound(self, root: str, relative: str) -> tuple[str, ...]:
        """Arguments of the shell function ``bound`` after a file has come to ``relative``; empty: nothing to do."""
        if self._most is None or not relative.startswith("models/"):
            return ()
        return (root, str(self._most), self._kept)

    @property
    def _kept(self) -> str:
        return f" {' '.join(sorted(self._needed))} "

    @property
    def removed(self) -> tuple[CachedKind, ...]:
        """What this command has removed so far."""
        return _summed(self._removed)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What was removed to make room, if anything was."""
        if not self._removed:
            return ()
        message = (
            f"{self._name}: {described(self.removed)}, used longest ago, made room on its disk ({_size(self.removed)})"
        )
        return (Notice(code="made-room", message=message, hint="what is needed again is sent again"),)


def reserve(disk_bytes: int | None) -> int:
    """What stays free on a disk of this size for everything else that runs there, as far as the cache can give it."""
    return min(_RESERVE_BYTES, (disk_bytes or 0) // 32)


def cached(workspace: Workspace, *, but: Collection[str] = ()) -> tuple[CachedKind, ...]:
    """What a board's cache holds ``but`` for some entries; only reads.

    Raises:
        DeviceError: the board does not answer.
    """
    found = _parsed(workspace.sh(_LIST, workspace.root, timeout_s=_LIMIT_S).text)
    return _summed([(size, entry) for size, entry in found if entry not in but])


def amount(kinds: tuple[CachedKind, ...]) -> str:
    """``3 models, 1 runtime file (12 MB)``."""
    return f"{described(kinds)} ({_size(kinds)})"


def described(kinds: tuple[CachedKind, ...]) -> str:
    """``3 models, 1 runtime file``."""
    words = {"models": ("model", "models"), "samples": ("set of samples", "sets of samples")}
    names = [(each.count, *words.get(each.kind, ("runtime file", "runtime files"))) for each in kinds]
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in names)


def _size(kinds: tuple[CachedKind, ...]) -> str:
    return units.size(sum(each.size_bytes for each in kinds))


def _kib(size_bytes: int) -> int:
    return -(-size_bytes // 1024)


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
