"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest

pytest_plugins = ["sshd_board", "adb_board", "termux_board", "faulty_network", "emulated_board", "shelf"]


def pytest_configure() -> None:
    """A shell without job control starts its background jobs deaf to Ctrl-C, and they hand that on: tests press it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden files are readable summaries; this writes them anew, to be read before they are committed."""
    parser.addoption("--update-goldens", action="store_true", help="write the golden files anew")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[pytest.TestReport]:
    """In CI a missing Debian package is a failure, and so is a fault (tests/FAULTS.md) that was not injected."""
    report = yield
    wanted = "apt-get install" in str(report.longrepr) or re.match(r"test_f\d\d_", item.name)
    if report.skipped and os.environ.get("CI") and wanted:
        report.outcome = "failed"
    return report


@pytest.fixture(autouse=True, scope="session")
def lock_of_this_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests run side by side on this machine, and what fixtures of a wider scope measure must not wait either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_LOCK_DIR", str(tmp_path_factory.mktemp("lock")))
        yield


@pytest.fixture(autouse=True)
def lock_of_this_test(
    lock_of_this_process: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a test leaves locked when it ends is not in the way of the next one."""
    monkeypatch.setenv("EDGEKIT_LOCK_DIR", str(tmp_path_factory.mktemp("lock")))


@pytest.fixture(autouse=True)
def edgekit_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configuration, cache and store of a test are its own; nothing of the user's is read or written."""
    home = str(tmp_path_factory.mktemp("home"))
    monkeypatch.setenv("EDGEKIT_HOME", home)
    monkeypatch.delenv("EDGEKIT_SSH_CONFIG", raising=False)
    monkeypatch.delenv("EDGEKIT_PROFILES", raising=False)
