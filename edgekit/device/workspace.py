"""Our folder on a board: files get there whole, checked by size and hash on the board itself, or not at all."""

from __future__ import annotations

import contextlib
import re
import secrets
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgekit.core import units
from edgekit.core.errors import DeviceError, EdgekitError, TransferError
from edgekit.core.hashing import sha256_file
from edgekit.device.board_cache import BOUND, BoardCache, reserve
from edgekit.device.facts_parse import disk_free, disk_size
from edgekit.device.transport.protocol import Completed, OnBytes, Transport, printable

#: shell function `sha256_of FILE BYTES` (`hash` is an alias in mksh): openssl uses the processor's SHA instructions,
#: which pays for its slow start on large files
HASH = r"""
sha256_of() {
  {
    { [ "$2" -gt 4000000 ] && openssl dgst -sha256 -r < "$1"; } || sha256sum < "$1" || busybox sha256sum < "$1" ||
    toybox sha256sum < "$1" || openssl dgst -sha256 -r < "$1" ||
    python3 -I -S -c 'import hashlib, sys
h = hashlib.sha256()
for block in iter(lambda: sys.stdin.buffer.read(1 << 20), b""): h.update(block)
print(h.hexdigest())' < "$1"
  } 2>/dev/null | { read -r digest rest; printf '%s\n' "$digest"; }
}
"""

# $1 folder, $2 name, $3 expected size. Prints what is there, its hash where the size fits, may we write; then df
_PREPARE = (
    HASH
    + r"""
LC_ALL=C; export LC_ALL; umask 077
mkdir -p -- "$1" || exit 21
file=$1/$2 digest=- writable=no
find "$1/" -maxdepth 1 -name '.edgekit-*.part' -mtime +0 -exec rm -f -- {} + 2>/dev/null
if [ -L "$file" ]; then kind=link
elif [ -f "$file" ]; then kind=file
elif [ -d "$file" ]; then kind=folder
elif [ -e "$file" ]; then kind=special
else kind=none; fi
if [ $kind = file ] && [ -r "$file" ]; then
  if [ "$(($(wc -c < "$file")))" = "$3" ]; then digest=$(sha256_of "$file" "$3"); fi
fi
case $1 in */releases/*) ;; *) touch -c -- "$file" "$1" 2>/dev/null ;; esac # used now: see device.board_cache
if [ -w "$1" ]; then writable=yes; fi
printf '%s %s %s\n' $kind "${digest:--}" $writable
df -Pk "$1/"
exit 0
"""
)

# $1 temporary file, $2 destination, $3 mode, $4 size, $5 hash; $6 and on: of `bound`, or nothing. Prints size and hash
# of what has arrived, and renames it where both are right
_VERIFY = (
    HASH
    + BOUND
    + r"""
LC_ALL=C; export LC_ALL
[ -f "$1" ] && [ ! -L "$1" ] || { echo '- -'; exit 0; }
size=$(($(wc -c < "$1")))
digest=$(sha256_of "$1" "$size")
if [ "$size" = "$4" ] && [ "$digest" = "$5" ]; then
  chmod "$3" "$1" || exit 22
  sync "$1" 2>/dev/null || sync 2>/dev/null
  if [ -d "$2" ] && [ ! -L "$2" ]; then echo "$2 is a folder" >&2; exit 22; fi
  mv -fT -- "$1" "$2" 2>/dev/null || { if [ -L "$2" ]; then rm -f -- "$2"; fi; mv -f -- "$1" "$2"; } || exit 22
  sync "${2%/*}/" 2>/dev/null || sync 2>/dev/null
fi
printf '%s %s\n' "$size" "${digest:--}"
if [ "$size" = "$4" ] && [ "$digest" = "$5" ] && [ -n "${6-}" ]; then bound "$6" "$7" "$8"; fi
exit 0
"""
)

_TIME_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A file that is on the board now.

    Attributes:
        path: absolute path there.
        sha256: as computed on the board.
        size_bytes: of the file.
        uploaded_bytes: 0 where it was there already.
    """

    path: str
    sha256: str
    size_bytes: int
    uploaded_bytes: int


class Workspace:
    """A folder of ours on a board.

    Args:
        transport: an open way to the board.
        root: absolute path there; made when the first file is pushed.
        name: the board's name, for messages.
        cache: what of the board's cache the running command needs; None: only what goes through this object.
    """

    def __init__(self, transport: Transport, root: str, *, name: str, cache: BoardCache | None = None) -> None:
        if not root.startswith("/"):
            raise TransferError(f"{name}: the workspace {printable(root)!r} is not an absolute path")
        self.transport = transport
        self.root = root.rstrip("/") or "/"
        self.name = name
        self.cache = cache or BoardCache(name)

    def path(self, relative: str) -> str:
        """The absolute path on the board of a name below the workspace.

        Raises:
            TransferError: the name leaves the workspace, or no file system takes it.
        """
        parts = relative.split("/")
        if any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts) or re.search(
            r"[\x00-\x1f\x7f]", relative
        ):
            raise TransferError(
                f"{self.name}: {printable(relative)[:200]!r} cannot be a path in the workspace",
                hint="rename the file: no empty parts, no `..`, no control characters, at most 255 bytes a part",
            )
        return f"{self.root}/{relative}"

    def push_bytes(self, content: bytes, relative: str, *, executable: bool = False) -> Pushed:
        """Pushes a small content; see :meth:`push_file`."""
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            local = Path(folder) / "content"
            local.write_bytes(content)
            return self.push_file(local, relative, executable=executable)

    def push_file(
        self, local: Path, relative: str, *, executable: bool = False, on_bytes: OnBytes | None = None
    ) -> Pushed:
        """Brings ``local`` to ``relative`` below the workspace, unless the same content is there already.

        Space is checked first, and made where the board's cache has some to give; the bytes go to a temporary name, are
        hashed on the board and renamed. A link at the destination is replaced, never followed; a folder or a special
        file is refused.

        Raises:
            TransferError: no space, no permission, read-only, damaged on the way, or the local file is not readable.
            DeviceError: the connection was lost, a command there ran too long.
        """
        destination = self.path(relative)
        self.cache.needs(relative)
        try:
            size = local.stat().st_size
            with local.open("rb"), ThreadPoolExecutor(1) as aside:
                # a hash takes a third of an upload over loopback: it is computed meanwhile
                digest = aside.submit(sha256_file, local)
                if self._there(destination, size, digest):
                    return Pushed(path=destination, sha256=digest.result(), size_bytes=size, uploaded_bytes=0)
                self._upload(local, destination, size, digest, "700" if executable else "600", on_bytes)
                return Pushed(path=destination, sha256=digest.result(), size_bytes=size, uploaded_bytes=size)
        except TransferError:
            self._leave_no_folder(relative)
            raise
        except OSError as error:
            raise TransferError(f"cannot read {local}: {error.strerror or error}", hint="check the path") from error

    def sh(self, script: str, *arguments: str, timeout_s: float = _TIME_LIMIT_S) -> Completed:
        """Runs a POSIX shell script on the board with ``$1`` … set; nothing is ever pasted into its text."""
        return self.transport.run(["sh", "-c", script, "sh", *arguments], timeout_s=timeout_s)

    def _leave_no_folder(self, relative: str) -> None:
        """Removes the folders that were made for a file that did not arrive, as far as they are empty."""
        folder = relative.rpartition("/")[0]
        if folder:
            with contextlib.suppress(EdgekitError):
                self.sh('cd "$1" && rmdir -p -- "$2" 2>/dev/null', self.root, folder, timeout_s=5)

    def _there(self, destination: str, size: int, digest: Future[str]) -> bool:
        """Makes the folder; True where the content is there already; else makes sure that it can be put there."""
        folder, _, name = destination.rpartition("/")
        done = self.sh(_PREPARE, folder, name, str(size))
        said = re.match(r"(link|file|folder|special|none) (\S+) (yes|no)\n", done.text)
        if done.exit_status != 0 or not said:
            raise self._refused(f"cannot write to {folder}", done)
        kind, found, writable = said.groups()
        if kind in ("folder", "special"):
            what = "a folder" if kind == "folder" else "a special file"
            raise TransferError(f"{self.name}: {destination} is {what} on the board", hint="remove or rename it there")
        if kind == "file" and found != "-" and found == digest.result():
            return True
        if writable == "no":
            raise TransferError(
                f"{self.name}: no permission to write to {folder}",
                hint="choose another workspace in the profile or the inventory, or make the folder the user's",
            )
        disk = done.text[said.end() :]
        self.check_room(size, what=name, folder=folder, free=disk_free(disk), spare=reserve(disk_size(disk)))
        return False

    def check_room(self, size: int, *, what: str, folder: str, free: int | None, spare: int = 0) -> None:
        """Whether so much fits; what the board's cache holds, and this command does not need, makes room.

        Args:
            size: bytes.
            what: for messages.
            folder: where it shall lie.
            free: bytes that are free there; None: not known, which passes.
            spare: bytes that should be free then; what cannot be had of them is no error.

        Raises:
            TransferError: there is no space.
        """
        if free is not None and free < size + spare:
            self.cache.make_room(self.sh, self.root, size, reserve_bytes=spare)
            free = disk_free(self.sh('df -Pk "$1/"', folder).text)
        if free is not None and free < size:
            raise TransferError(
                f"{self.name}: no space: {what} needs {units.size(size)}, {folder} has {units.size(free)}",
                hint="free some space on the board, or choose another workspace in its profile",
                details={"needs_bytes": size, "free_bytes": free, "path": folder},
            )

    def _upload(
        self, local: Path, destination: str, size: int, digest: Future[str], mode: str, on_bytes: OnBytes | None
    ) -> None:
        temporary = f"{destination.rpartition('/')[0]}/.edgekit-{secrets.token_hex(8)}.part"
        try:
            self.transport.push(local, temporary, on_bytes)
            self._put_in_place(temporary, destination, size, digest.result(), mode)
        except BaseException:
            with contextlib.suppress(EdgekitError):
                self.transport.run(["rm", "-f", "--", temporary], timeout_s=5)
            raise

    def _put_in_place(self, temporary: str, destination: str, size: int, digest: str, mode: str) -> None:
        bounds = self.cache.bound(self.root, destination.removeprefix(f"{self.root}/"))
        done = self.sh(_VERIFY, temporary, destination, mode, str(size), digest, *bounds)
        if done.exit_status != 0:
            raise self._refused(f"cannot put {destination} in place", done)
        arrived, _, found = done.text.strip().partition(" ")
        if arrived != str(size):
            raise TransferError(
                f"{self.name}: {destination}: only {arrived} of {size} bytes arrived",
                hint="the disk of the board is probably full: free some space there and try again",
            )
        if not re.fullmatch(r"[0-9a-f]{64}", found):
            raise TransferError(
                f"{self.name}: nothing on the board can compute a SHA-256",
                hint="it needs one of sha256sum, busybox, toybox, openssl or python3",
            )
        if found != digest:
            raise TransferError(
                f"{self.name}: {destination} was damaged on the way (SHA-256 {found[:12]}…, not {digest[:12]}…)",
                hint="try again; if it happens again, check the board's disk or SD card",
            )

    def _refused(self, what: str, done: Completed) -> DeviceError:
        why = done.complaint or f"exit status {done.exit_status}"
        hints = {
            "Read-only": "the file system is mounted read-only: choose another workspace, or remount it",
            "ermission": "the user needs write permission there, or choose another workspace in the profile",
            "No space": "free some space on the board",
            "Not a directory": "a file stands where a folder is needed: remove it on the board",
        }
        hint = next((hint for word, hint in hints.items() if word in why), None)
        return TransferError(f"{self.name}: {what}: {why}", hint=hint)
