"""Writes tests/FAULTS.md: every fault with the tests that inject it, as pytest collects them.

    python tools/faults.py            write it anew
    python tools/faults.py --check    fail when it is stale, or when a fault has no test

A test belongs to fault 28 when its name begins with ``test_f28_``. One that is skipped or expected to fail does not
count; one that skips itself fails in CI (tests/conftest.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import sys
from pathlib import Path

import pytest
from fault_names import FAULTS, REQUIRED

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests" / "FAULTS.md"
#: fixture → the kind of board behind it
BOARDS = {
    "_shared_sshd": "OpenSSH",
    "sshd_board": "OpenSSH",
    "sshd_factory": "OpenSSH",
    "arm64_board": "emulated ARM",
    "emulated_boards": "emulated ARM",
    "adb_device": "adb",
    "adb_factory": "adb",
    "termux_board": "Termux",
    "shelf": "OpenSSH, many",
}
#: parameter of `device` and its kin → the kind of board
WAYS = {
    "local": "this machine",
    "busybox": "busybox",
    "ssh": "OpenSSH",
    "adb": "adb",
    "termux": "Termux",
    "emulated": "emulated ARM",
}
_NAME = re.compile(r"test_f(\d\d)_(\w+)")


@dataclasses.dataclass(slots=True)
class Test:
    """One test function: the boards it runs on, and which of them need minutes."""

    words: str
    place: str
    boards: dict[str, bool]


class Collector:
    """pytest's plugin: what it has collected."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Takes the items over."""
        self.items = list(session.items)


def collect(root: Path) -> dict[int, list[Test]]:
    """Fault → its tests under ``root``/tests, in the order of the files. Exits where a file cannot be collected."""
    files = [path for path in sorted((root / "tests").rglob("test_*.py")) if _NAME.search(path.read_text())]
    collector, said = Collector(), io.StringIO()
    os.chdir(root)
    with contextlib.redirect_stdout(said):
        status = pytest.main(
            ["--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *map(str, files)], plugins=[collector]
        )
    if status != pytest.ExitCode.OK:
        sys.exit(f"the tests cannot be collected:\n{said.getvalue()[-3000:]}")
    found: dict[int, dict[str, Test]] = {}
    for item in collector.items:
        named = _NAME.match(item.name)
        if not named or any(item.get_closest_marker(mark) for mark in ("skip", "xfail")):
            continue
        place = item.path.relative_to(root).as_posix()
        tests = found.setdefault(int(named[1]), {})
        test = tests.setdefault(f"{place}::{named[0]}", Test(named[2].replace("_", " "), place, {}))
        slow = item.get_closest_marker("slow") is not None
        for board in boards_of(item):
            test.boards[board] = test.boards.get(board, True) and slow
    return {number: list(tests.values()) for number, tests in sorted(found.items())}


def boards_of(item: pytest.Item) -> set[str]:
    """The kinds of boards that an item runs on; this machine alone where it uses none."""
    chosen = getattr(item, "callspec", None)
    ways = {
        WAYS[value] for value in (chosen.params.values() if chosen else ()) if isinstance(value, str) and value in WAYS
    }
    fixtures = {BOARDS[name] for name in getattr(item, "fixturenames", ()) if name in BOARDS}
    return ways | fixtures or {"this machine"}


def table(found: dict[int, list[Test]]) -> str:
    """The file's text."""
    lines = [
        "# Faults, and the tests that inject them",
        "",
        "Written by `python tools/faults.py` from the tests that pytest collects; a test holds it against them.",
        "In brackets: the boards of a test. *slow*: minutes, run by CI on every change.",
    ]
    for number, tests in found.items():
        injected, follows = FAULTS[number]
        lines += ["", f"## F{number:02d} {injected}", "", f"Must follow: {follows}.", ""]
        for test in tests:
            boards = ", ".join(f"{name} *slow*" if slow else name for name, slow in sorted(test.boards.items()))
            lines.append(f"- {test.words} [{boards}] `{test.place}`")
    total = sum(len(tests) for tests in found.values())
    return "\n".join([*lines, "", f"{total} tests for {len(found)} faults.", ""])


def main() -> None:
    """Writes or checks."""
    found = collect(ROOT)
    unknown = [f"F{number:02d}" for number in found if number not in FAULTS]
    if unknown:
        sys.exit(f"tests name faults that tools/fault_names.py does not know: {', '.join(unknown)}")
    text = table(found)
    if sys.argv[1:] == ["--check"]:
        missing = [f"F{number:02d}" for number in REQUIRED if number not in found]
        if missing:
            sys.exit(f"faults without a test: {', '.join(missing)}")
        if not TABLE.exists() or TABLE.read_text() != text:
            sys.exit("tests/FAULTS.md is stale: python tools/faults.py")
        return
    if sys.argv[1:]:
        sys.exit(__doc__)
    TABLE.write_text(text)
    missing = [f"F{number:02d}" for number in REQUIRED if number not in found]
    print(f"{TABLE.relative_to(ROOT)}: {len(found)} faults; without a test: {', '.join(missing) or 'none'}")


if __name__ == "__main__":
    main()
