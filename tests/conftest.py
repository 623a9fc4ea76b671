"""Fixtures that every room's tests share."""

from __future__ import annotations

import pytest

pytest_plugins = ["sshd_board", "emulated_board"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden files are readable summaries; this writes them anew, to be read before they are committed."""
    parser.addoption("--update-goldens", action="store_true", help="write the golden files anew")


@pytest.fixture(autouse=True)
def edgekit_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configuration, cache and store of a test are its own; nothing of the user's is read or written."""
    monkeypatch.setenv("EDGEKIT_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("EDGEKIT_SSH_CONFIG", raising=False)
