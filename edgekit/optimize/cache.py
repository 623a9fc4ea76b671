"""Steps cached by content: a folder per key, complete or absent."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.core.decode import to_json
from edgekit.core.errors import UsageError
from edgekit.core.hashing import sha256_json

_RECORD = "step.json"


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
            record: dict[str, Any] = json.loads((folder / _RECORD).read_bytes())
        except (OSError, ValueError):
            return None
        return folder, record

    @contextmanager
    def making(self, name: str, key: Any) -> Iterator[Making]:
        """A fresh folder to work in; it takes its final name when the block ends without an error.

        Raises:
            UsageError: the cache cannot be written to.
        """
        final = self.folder(name, key)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=self.root))
        except OSError as error:
            raise UsageError(
                f"cannot write to the cache {self.root}: {error.strerror}",
                hint="free some space, or set EDGEKIT_HOME to a folder that you can write to",
            ) from error
        try:
            making = Making(work)
            yield making
            (work / _RECORD).write_text(json.dumps(to_json(making.record), indent=1))
            if final.exists():
                os.replace(final, work / ".replaced")  # noqa: PTH105 - a folder onto a new name, atomically
            work.replace(final)
            shutil.rmtree(final / ".replaced", ignore_errors=True)
            making.folder = final
        finally:
            shutil.rmtree(work, ignore_errors=True)


class Making:
    """A step being made.

    Attributes:
        folder: where to write; after the block, where the result lives.
        record: JSON values kept beside the result.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: dict[str, Any] = {}
