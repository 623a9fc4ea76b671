"""Where one board's plan is put together: what fits its facts, what it has already, what was ruled out."""

from __future__ import annotations

import hashlib
from typing import Literal

from edgekit.device.facts import Facts
from edgekit.device.provision_plan import Choice, Item, RuledOut, Runner
from edgekit.device.provision_present import Present
from edgekit.device.provision_stock import Stock, Supplied
from edgekit.runner.elf import loads
from edgekit.runner.payload_file import PAYLOAD_NAME, payload_content

LIBRARY = "LiteRT C API"


class Desk:
    """Collects choices and what was ruled out for one board."""

    def __init__(self, board: str, facts: Facts, stock: Stock, present: Present | None) -> None:
        self.board, self.facts, self.stock, self.present = board, facts, stock, present
        self.choices: list[Choice] = []
        self.ruled_out: list[RuledOut] = []
        self.python = facts.python.path if facts.python else None

    def rule_out(self, what: str, reason: str) -> None:
        """Keeps the first reason that is given for a thing."""
        if all(out.what != what for out in self.ruled_out):
            self.ruled_out.append(RuledOut(what=what, reason=reason))

    def loads(self, needed: str | None) -> bool:
        """Whether what needs this glibc loads on the board, as far as that is known."""
        return loads(needed, self.facts.libc_version)

    def glibc(self) -> str:
        """The glibc of the board, in words."""
        return f"the board has {self.facts.libc_version or 'an unknown one'}"

    def has(self, sha256: str | None, size_bytes: int | None) -> str:
        """The folder on the board that has our file, by its hash and by its size; empty: it is not there."""
        if self.present is None or sha256 is None:
            return ""
        folder = f"runtime/{sha256[:12]}"
        files = self.present.files.items()
        return folder if any(name.startswith(f"{folder}/") and size == size_bytes for name, size in files) else ""

    def unfit(self, supplied: Supplied) -> str:
        """Why a file of the user's cannot run on this board; empty: it can."""
        elf = supplied.elf
        if self.facts.abi and elf.abi != self.facts.abi:
            return f"it is built for {elf.abi}, the board runs {self.facts.abi}"
        if self.facts.libc and elf.libc and elf.libc != self.facts.libc:
            return f"it is built for {elf.libc}, the board has {self.facts.libc}"
        needed = elf.versions.get("GLIBC") if elf.libc == "glibc" else None
        return "" if self.loads(needed) else f"it needs glibc {needed}, {self.glibc()}"

    def runner_item(self, runner: Runner) -> Item:
        """Our own runner, as a part of a choice."""
        if runner == "native":
            native = self.stock.native
            size, digest, name = (native.size_bytes or 0, native.sha256, "edgekit-runner") if native else (0, None, "")
        else:
            content = payload_content()
            size, digest, name = len(content), hashlib.sha256(content).hexdigest(), PAYLOAD_NAME
        return Item(
            what="runner",
            name=name,
            version="",
            size_bytes=size,
            exact=True,
            source="edgekit",
            on_board=bool(folder := self.has(digest, size)),
            folder=folder,
        )

    def supplied_item(self, what: Literal["runner", "library"], supplied: Supplied) -> Item:
        """A file of the user's, as a part of a choice."""
        return Item(
            what=what,
            name=supplied.path.name,
            version=supplied.version,
            size_bytes=supplied.size_bytes,
            exact=True,
            source="supplied",
            on_board=bool(folder := self.has(supplied.sha256, supplied.size_bytes)),
            folder=folder,
        )
