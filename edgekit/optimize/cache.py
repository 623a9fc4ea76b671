"""Steps cached by content: a folder per key, complete or absent."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edgekit.core.decode import to_json
from edgekit.core.errors import UsageError
from edgekit.core.files import alone
from edgekit.core.hashing import sha256_json

_RECORD = "step.json"
_REPLACED = ".replaced"
_ROOM = "free some space, or set EDGEKIT_HOME to a folder that you can write to"
_ABANDONED_S = 2 * 24 * 3600.0  # no step may take that long

_unfinished: set[Path] = set()


@atexit.register
def _remove_unfinished() -> None:
    """Folders of threads that Ctrl-C does not wait for; what they waited for has died by now."""
    for work in tuple(_unfinished):
        shutil.rmtree(work, ignore_errors=True)


class StepCache:
    """Results of steps under one folder. A result is there whole (it was renamed into place) or not at all.

    Args:
        root: e.g. ``cache_dir() / "steps"``.
        reuse: False makes every step again (``--no-cache``); what is made is kept all the same.
    """

    def __init__(self, root: Path, *, reuse: bool = True) -> None:
        self.root = root
        self.reuse = reuse

    def folder(self, name: str, key: Any) -> Path:
        """Where the result of step ``name`` lives; ``key`` is everything that it depends on, as JSON values."""
        return self.root / f"{name}-{sha256_json(to_json(key))[:20]}"

    def lookup(self, name: str, key: Any) -> tuple[Path, dict[str, Any]] | None:
        """The folder and the record of a finished step; None where it must be made."""
        folder = self.folder(name, key)
        if not self.reuse:
            return None
        try:
            step = json.loads((folder / _RECORD).read_bytes())
            record: dict[str, Any] = step["record"]
            whole = all((folder / name).stat().st_size == size for name, size in step["files"].items())
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        return (folder, record) if whole else None

    @contextmanager
    def making(self, name: str, key: Any) -> Iterator[Making]:
        """A fresh folder to work in; it takes its final name when the block ends without an error.

        Raises:
            UsageError: the cache cannot be written to.
        """
        final = self.folder(name, key)
        with self._writing():
            self.root.mkdir(parents=True, exist_ok=True)
            self._sweep()
            work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=self.root))
            _unfinished.add(work)
        try:
            making = Making(work)
            try:
                yield making
            except UsageError as error:
                if str(work) not in error.message:
                    raise
                raise UsageError(error.message, hint=_ROOM, details=error.details) from error
            with self._writing():
                step = {"record": to_json(making.record), "files": _sizes(work)}
                (work / _RECORD).write_text(json.dumps(step, indent=1))
                self._put_in_place(work, final, name, key)
            making.folder = final
        finally:
            shutil.rmtree(work, ignore_errors=True)
            _unfinished.discard(work)

    def _put_in_place(self, work: Path, final: Path, name: str, key: Any) -> None:
        """Renames, one run at a time: what another run was quicker to put there is in use already and stays."""
        with alone(self.root.with_name(f"{self.root.name}.lock")):
            if self.lookup(name, key) is not None:
                return
            with suppress(FileNotFoundError):
                final.replace(work / _REPLACED)
            work.replace(final)
            shutil.rmtree(final / _REPLACED, ignore_errors=True)

    def _sweep(self) -> None:
        """Removes what runs that were killed have left behind, once nobody can be working there any more."""
        for folder in self.root.glob(".*-*"):
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime > _ABANDONED_S:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(
                f"cannot write to the cache {self.root}: {error.strerror or error}",
                hint=_ROOM,
            ) from error


class Making:
    """A step being made.

    Attributes:
        folder: where to write; after the block, where the result lives.
        record: JSON values kept beside the result.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: dict[str, Any] = {}


def _sizes(folder: Path) -> dict[str, int]:
    """Every file below a folder with its size: a user may tidy up the cache by hand."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}
