"""Devices for this room's tests: every contract test runs over each transport."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from sshd_board import Sshd

from edgekit.device.connect import Device, connect
from edgekit.device.target import resolve


@pytest.fixture(params=["local", "busybox", "ssh"])
def device(request: pytest.FixtureRequest, tmp_path, monkeypatch) -> Iterator[Device]:
    """An open device, once over each transport, and once as a board that has nothing but busybox."""
    if request.param == "busybox":
        busybox = shutil.which("busybox") or pytest.skip("no busybox here: apt-get install busybox")
        (tmp_path / "applets").mkdir()
        subprocess.run([busybox, "--install", "-s", str(tmp_path / "applets")], check=True)
        monkeypatch.setenv("PATH", str(tmp_path / "applets"))
    if request.param != "ssh":
        (tmp_path / "home").mkdir()
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        name = "local"
    else:
        name = request.getfixturevalue("sshd_board").alias
    with connect(resolve(name)) as opened:
        yield opened


@pytest.fixture
def pi4(sshd_board: Sshd) -> Iterator[Device]:
    """The shared board, open."""
    with connect(resolve("pi4")) as opened:
        yield opened


@pytest.fixture
def never_asked() -> Callable[[str], str]:
    """For connections that must not need a person."""

    def ask(question: str) -> str:
        raise AssertionError(f"asked: {question}")

    return ask
