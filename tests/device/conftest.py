"""Devices for this room's tests: every contract test runs over each transport."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cpu_tree import CpuTree
from sshd_board import Sshd

from edgekit.device.connect import Device, connect
from edgekit.device.target import resolve


@pytest.fixture(params=["local", "busybox", "ssh"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """An open device, once over each transport, and once as a board that has nothing but busybox."""
    with _opened(request, request.param) as opened:
        yield opened


#: about a second a test, against a tenth over ssh
EMULATED = pytest.param("emulated", marks=[pytest.mark.board, pytest.mark.slow])


@pytest.fixture(params=["local", "busybox", "ssh", "adb", "termux", EMULATED])
def every_device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """As ``device``, and Android over adb and in Termux, and the emulated arm64 board."""
    with _opened(request, request.param) as opened:
        yield opened


@pytest.fixture(params=["local", "ssh", EMULATED])
def python_device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """Those of ``every_device`` that have a Python."""
    with _opened(request, request.param) as opened:
        yield opened


def _opened(request: pytest.FixtureRequest, kind: str) -> Device:
    if kind in ("local", "busybox"):
        return _here(request, kind)
    if kind == "ssh":
        return connect(resolve(request.getfixturevalue("sshd_board").alias))
    if kind == "termux":
        request.getfixturevalue("termux_board")
        return connect(resolve(host="termux", profile="android-arm64-termux"))
    if kind == "adb":
        phone = request.getfixturevalue("adb_device")
        return connect(resolve("phone", host=phone.serial, profile="android-arm64-adb"))
    board = request.getfixturevalue("arm64_board")
    config = board.write_config(request.getfixturevalue("tmp_path") / "ssh_config")
    opened = connect(resolve(host=board.name, profile="generic-arm64", ssh_config=config))
    opened.transport.run(["sh", "-c", "find . /tmp /run/lock -mindepth 1 -maxdepth 1 ! -name .ssh -exec rm -rf {} +"])
    return opened


def _here(request: pytest.FixtureRequest, kind: str) -> Device:
    folder, monkeypatch = request.getfixturevalue("tmp_path"), request.getfixturevalue("monkeypatch")
    if kind == "busybox":
        busybox = shutil.which("busybox") or pytest.skip("no busybox here: apt-get install busybox")
        (folder / "applets").mkdir()
        subprocess.run([busybox, "--install", "-s", str(folder / "applets")], check=True)
        monkeypatch.setenv("PATH", str(folder / "applets"))
    (folder / "home").mkdir()
    monkeypatch.setenv("HOME", str(folder / "home"))
    return connect(resolve("local"))


@pytest.fixture
def pi4(sshd_board: Sshd) -> Iterator[Device]:
    """The shared board, open."""
    with connect(resolve("pi4")) as opened:
        yield opened


@pytest.fixture
def cpu_board(
    sshd_factory: Callable[..., Sshd], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., CpuTree]:
    """Starts a board ``pi4`` with two small and two big cores; ``profile`` is TOML for its profile."""
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    monkeypatch.setenv("EDGEKIT_PROFILES", str(profiles))

    def profile(text: str) -> None:
        (profiles / "pi4.toml").write_text(f'title = "a board"\n{text}\n')

    def start(
        *,
        clusters: dict[int, Sequence[int]] | None = None,
        busybox: bool = False,
        profile: str = "",
        **options: Any,
    ) -> CpuTree:
        start.profile(profile)  # type: ignore[attr-defined]
        tree = CpuTree(tmp_path / "cpu", clusters or {1_800_000: (0, 1), 2_400_000: (2, 3)}, **options)
        start.started.append(sshd_factory(cpus=tree.folder, busybox=busybox))  # type: ignore[attr-defined]
        return tree

    start.started, start.profile = [], profile  # type: ignore[attr-defined]
    return start


@pytest.fixture
def never_asked() -> Callable[[str], str]:
    """For connections that must not need a person."""

    def ask(question: str) -> str:
        raise AssertionError(f"asked: {question}")

    return ask
