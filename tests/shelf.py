"""Many loopback boards at once, each a machine of its own as far as edgekit can tell: disk, ``/tmp``, ``/run/lock``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sshd_board import ROOT, Sshd, start_sshd


@dataclass
class Shelf:
    """Boards that run.

    Attributes:
        boards: ``board-1`` and so on; ``config`` is an ssh configuration that knows them all.
    """

    boards: list[Sshd]
    config: Path

    @property
    def names(self) -> list[str]:
        return [board.alias for board in self.boards]

    @property
    def listed(self) -> str:
        """As ``--device`` takes them."""
        return ",".join(self.names)


@contextlib.contextmanager
def shelf_of(count: int, folder: Path) -> Iterator[Shelf]:
    """Starts so many boards; skips where this machine cannot keep them apart."""
    if not ROOT:
        pytest.skip("needs root, for boards that are kept apart")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "shelf"
    with contextlib.ExitStack() as stack:
        boards = []
        for number in range(1, count + 1):
            board = start_sshd(folder / f"board-{number}", alias=f"board-{number}")
            stack.callback(board.stop)
            boards.append(board)
        config.write_text("".join(f"Include {board.config}\n" for board in boards))
        yield Shelf(boards=boards, config=config)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Shelf]]:
    """``shelf(3)`` starts three boards, which ``EDGEKIT_SSH_CONFIG`` and the inventory know by their names."""
    with contextlib.ExitStack() as stack:

        def start(count: int) -> Shelf:
            found = stack.enter_context(shelf_of(count, tmp_path / "shelf"))
            monkeypatch.setenv("EDGEKIT_SSH_CONFIG", str(found.config))
            for name in found.names:
                add(name)
            return found

        yield start


def add(name: str) -> None:
    """An inventory entry whose address is the ssh alias of the same name."""
    from edgekit.device import inventory

    inventory.add(inventory.InventoryEntry(name=name, host=name))
