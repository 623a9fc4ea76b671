"""Boards side by side want the same library at the same moment: it is downloaded once, and everybody gets it whole."""

from __future__ import annotations

import platform
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgekit.core import places
from edgekit.core.hashing import sha256_file
from edgekit.runner.runtimes import fetch_library


@pytest.fixture
def shop(tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip finds a wheel in, instead of a network."""
    tag = f"cp311-cp311-manylinux_2_17_{platform.machine()}"
    about = "ai_edge_litert-2.1.0.dist-info"
    with zipfile.ZipFile(tmp_path / f"ai_edge_litert-2.1.0-{tag}.whl", "w") as wheel:
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: ai-edge-litert\nVersion: 2.1.0\n")
        wheel.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        wheel.writestr(f"{about}/RECORD", "")
        wheel.write(library, "ai_edge_litert/libLiteRt.so")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return tmp_path


def test_six_boards_that_want_one_library_at_once_get_it_from_one_download(shop: Path, library: str) -> None:
    machine = platform.machine()
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda _: fetch_library("2.1.0", machine), range(6)))
    assert len(set(found)) == 1
    assert found[0].sha256 == sha256_file(Path(library))
    assert sha256_file(found[0].path) == found[0].sha256
    folder = places.cache_dir() / "runtimes" / machine / "2.1.0"
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "libLiteRt.so", "library.json"]
