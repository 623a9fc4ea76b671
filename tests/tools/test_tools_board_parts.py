"""What tools/board does before any machine starts."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "board"
NOBODY = 65534


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TOOL))
    return importlib.import_module("packages")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unlike pytest's, one that other users can reach."""
    with tempfile.TemporaryDirectory(prefix="edgekit-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def uris(*repositories: str) -> str:
    return "".join(f"'{text}/InRelease' some_name_InRelease 0 \n" for text in repositories)


def test_the_mirror_is_the_one_that_apt_uses(packages: Any) -> None:
    text = uris(
        "https://containers.invalid/linux/debian/dists/bookworm",
        "http://mirror.invalid/debian/dists/bookworm",
        "http://mirror.invalid/debian/dists/bookworm-updates",
        "http://mirror.invalid/debian-security/dists/bookworm-security",
        "http://apt.invalid/pub/repos/apt/dists/bookworm-pgdg",
    )
    assert packages.mirror_of(text, "bookworm") == (
        "http://mirror.invalid/debian",
        "http://mirror.invalid/debian-security",
    )


def test_the_mirror_of_another_debian_release_serves_too(packages: Any) -> None:
    text = uris("http://mirror.invalid/debian/dists/trixie", "http://mirror.invalid/debian/dists/trixie-updates")
    assert packages.mirror_of(text, "bookworm") == ("http://mirror.invalid/debian", None)


def test_a_list_of_mirrors_is_a_mirror(packages: Any) -> None:
    base = "mirror+file:/etc/apt/mirrors/debian"
    text = uris(f"{base}.list/dists/bookworm", f"{base}-security.list/dists/bookworm-security")
    assert packages.mirror_of(text, "bookworm") == (f"{base}.list", f"{base}-security.list")


def test_another_distribution_has_no_mirror(packages: Any) -> None:
    assert packages.mirror_of(uris("http://archive.invalid/ubuntu/dists/noble"), "bookworm") == (None, None)


def test_missing_packages_are_named_with_the_command_that_adds_them(folder: Path) -> None:
    programs = folder / "bin"
    programs.mkdir()
    for name in ("apt-get", "dpkg-deb"):
        (programs / name).symlink_to("/bin/true")
    done = as_ordinary_user(folder, {"PATH": str(programs), "EDGEKIT_HOME": str(folder / "home")}, "start")
    assert done.returncode == 3
    last = done.stderr.splitlines()[-1].strip()
    assert last.startswith("sudo apt-get install --no-install-recommends ")
    assert {"qemu-system-arm", "qemu-utils", "device-tree-compiler"} <= set(last.split())


def test_a_machine_without_apt_is_told_so(folder: Path) -> None:
    (folder / "bin").mkdir()
    done = as_ordinary_user(folder, {"PATH": str(folder / "bin"), "EDGEKIT_HOME": str(folder / "home")}, "start")
    assert done.returncode == 3
    assert "apt-get is missing" in done.stderr


def test_without_a_board_status_is_empty_and_stop_is_content() -> None:
    assert json.loads(run("list", "--json").stdout)["boards"] == []
    assert run("stop").returncode == 0
    shell = run("ssh", "true")
    assert shell.returncode == 5
    assert "python tools/board start --name emulated-pi4" in shell.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--name", "../escape"],
        ["--memory", "12"],
        ["--port", "0"],
        ["--cpu", "cortex-x"],
        ["--suite", "sid"],
        ["--arch", "i386"],
        ["--with", "-y"],
    ],
    ids=["name", "memory", "port", "cpu", "suite", "arch", "package"],
)
def test_a_wrong_option_is_a_usage_error(options: list[str]) -> None:
    done = run("start", *options)
    assert done.returncode == 2
    assert options[0] in done.stderr


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True)


def as_ordinary_user(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Root's Python and working tree may be out of an ordinary user's reach: a copy runs by the system's Python."""
    if os.geteuid() != 0:
        command = [sys.executable, TOOL, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)
    python = next((path for path in (sys.executable, "/usr/bin/python3") if may_run(path)), None)
    if python is None:
        pytest.skip("no Python that an ordinary user may run")
    shutil.copytree(TOOL, folder / "board", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "home").mkdir()
    (folder / "home").chmod(0o777)
    command = [python, str(folder / "board"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, user=NOBODY, group=NOBODY, cwd="/")


def may_run(python: str) -> bool:
    command = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 10))"]
    try:
        return subprocess.run(command, user=NOBODY, group=NOBODY, cwd="/", capture_output=True).returncode == 0
    except OSError:
        return False
