"""Stores whose bytes were changed: every command ends in time, with what can be read or a named error."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from kept_results import fill

from edgekit.core.errors import StoreError
from edgekit.core.notice import Notice
from edgekit.report.collected import collect
from edgekit.report.html.page import page
from edgekit.results.check import check
from edgekit.results.query import Query
from edgekit.results.store import Store, open_store
from edgekit.results.transfer import lines_of


def kept(path: Path) -> bytes:
    """A closed store with one of everything, as bytes."""
    fill(open_store(str(path)))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.read_bytes()


def whole_reports(store: Store) -> None:
    page(collect(store))


READERS: tuple[Callable[[Store], object], ...] = (
    lambda store: store.list(limit=None),
    whole_reports,
    check,
    lambda store: list(lines_of(store, Query(), list[Notice]())),
)


@pytest.fixture
def sound(tmp_path: Path) -> bytes:
    return kept(tmp_path / "sound.sqlite")


def read_everything(path: Path) -> int:
    """All readers over one file; how many of them got to the end."""
    done = 0
    for reader in READERS:
        with suppress(StoreError):
            reader(open_store(str(path)))
            done += 1
    return done


def flips(lot: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(lot.choice((1, 3, 40))):
        changed[lot.randrange(len(changed))] ^= 1 << lot.randrange(5)
    return bytes(changed)


def holes(lot: random.Random, content: bytes) -> bytes:
    start, length = lot.randrange(len(content)), lot.choice((16, 512, 4096))
    return content[:start] + bytes(len(content[start : start + length])) + content[start + length :]


def cuts(lot: random.Random, content: bytes) -> bytes:
    return content[: lot.randrange(1, len(content))]


def strangers(lot: random.Random, content: bytes) -> bytes:
    """A page of the file is another page of it."""
    size = 4096
    pages = [content[place : place + size] for place in range(0, len(content), size)]
    pages[lot.randrange(len(pages))] = lot.choice(pages)
    return b"".join(pages)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flips, holes, cuts, strangers])
def test_a_damaged_store_is_read_as_far_as_it_goes_or_refused_by_name(
    damage: Callable[[random.Random, bytes], bytes], sound: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "results.sqlite"
    ended = []
    for seed in range(5):
        path.write_bytes(damage(random.Random(seed), sound))
        for name in ("results.sqlite-wal", "results.sqlite-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        ended.append(read_everything(path))
    assert len(ended) == 5  # nothing but StoreError came, whatever was damaged


def test_the_sound_store_is_read_by_all(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    path.write_bytes(sound)
    assert read_everything(path) == len(READERS)
    assert len(open_store(str(path)).list(limit=None)) > 6
