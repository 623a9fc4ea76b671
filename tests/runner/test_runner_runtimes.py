"""Which library a board gets, what is read from its ELF file, and how it is fetched."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from platform import machine

import pytest

from edgekit.core import places
from edgekit.core.errors import DependencyError
from edgekit.runner import runtimes
from edgekit.runner.elf import as_numbers, loads, read_elf
from edgekit.runner.runtimes import fetch_library, library_offers


def a_wheel(folder: Path, member: str, content: bytes, version: str = "2.1.0") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"ai_edge_litert-{version}-cp311-cp311-manylinux_2_27_{machine()}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


@pytest.fixture
def without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pip finds nothing, as on a machine without a network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def test_the_needs_of_a_real_library_are_read(library):
    elf = read_elf(Path(library))
    assert elf.machine == machine()
    assert elf.bits == 64
    assert "libstdc++.so.6" in elf.needed
    assert as_numbers(elf.versions["GLIBC"]) >= (2, 16)
    assert as_numbers(elf.versions["GLIBCXX"]) >= (3, 4)


@pytest.mark.parametrize("keep", [0, 10, 64, 1000, 0.5])
def test_a_truncated_or_empty_library_is_a_named_error(keep, library, tmp_path):
    content = Path(library).read_bytes()
    path = tmp_path / "libLiteRt.so"
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(DependencyError) as caught:
        read_elf(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_versions_are_compared_as_numbers():
    assert as_numbers("2.4") < as_numbers("2.34")
    assert as_numbers("3.4.30") > as_numbers("3.4.9")


def test_this_machines_own_library_needs_no_download(without_network):
    offer = library_offers(machine())[0]
    assert offer.held == "installed"
    library = fetch_library(offer.version, machine())
    assert library.source == "installed"
    assert library.path.is_file()
    assert library.sha256 == runtimes.sha256_file(library.path)


@pytest.mark.parametrize("abi", ["armv7l", "armv6l", "riscv64", ""])
def test_nothing_is_offered_for_an_abi_without_a_library(abi):
    assert library_offers(abi) == ()


def test_what_needs_a_newer_glibc_does_not_load_and_an_unknown_one_is_taken_for_enough():
    assert loads("2.34", "2.36")
    assert loads("2.9", "2.34")
    assert not loads("2.34", "2.28")
    assert loads(None, "2.28")
    assert loads("2.34", None)


def test_without_a_network_the_command_to_run_elsewhere_is_named(without_network):
    with pytest.raises(DependencyError) as caught:
        fetch_library("2.1.0", "aarch64")
    assert "pip download" in caught.value.hint
    assert "ai-edge-litert==2.1.0" in caught.value.hint
    assert str(places.cache_dir() / "runtimes" / "aarch64" / "2.1.0") in caught.value.hint


def test_a_wheel_put_into_the_cache_by_hand_is_used_and_remembered(without_network, library):
    folder = places.cache_dir() / "runtimes" / machine() / "2.1.0"
    a_wheel(folder, "ai_edge_litert/libLiteRt.so", Path(library).read_bytes())
    first = fetch_library("2.1.0", machine())
    assert first.path == folder / "libLiteRt.so"
    assert json.loads((folder / "library.json").read_text())["sha256"] == first.sha256
    assert not list(folder.glob("*.whl"))
    assert fetch_library("2.1.0", machine()) == first


def test_a_damaged_cached_library_is_not_used(without_network, library):
    folder = places.cache_dir() / "runtimes" / machine() / "2.1.0"
    a_wheel(folder, "ai_edge_litert/libLiteRt.so", Path(library).read_bytes())
    path = fetch_library("2.1.0", machine()).path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DependencyError, match="cannot download"):
        fetch_library("2.1.0", machine())


@pytest.mark.parametrize(
    ("member", "content", "words"),
    [
        ("ai_edge_litert/other.txt", b"", "no LiteRT library"),
        ("ai_edge_litert/libLiteRt.so", b"\x7fELF nonsense", "ELF"),
    ],
)
def test_a_wheel_with_something_else_in_it_is_refused(member, content, words, without_network):
    folder = places.cache_dir() / "runtimes" / "aarch64" / "2.1.0"
    a_wheel(folder, member, content)
    with pytest.raises(DependencyError, match=words):
        fetch_library("2.1.0", "aarch64")


def test_a_library_of_another_architecture_is_refused(without_network, library):
    other = "aarch64" if machine() == "x86_64" else "x86_64"
    folder = places.cache_dir() / "runtimes" / other / "2.1.0"
    a_wheel(folder, "ai_edge_litert/libLiteRt.so", Path(library).read_bytes())
    with pytest.raises(DependencyError, match="built for"):
        fetch_library("2.1.0", other)


def test_a_file_that_is_no_zip_is_removed_and_fetched_again(without_network):
    folder = places.cache_dir() / "runtimes" / "aarch64" / "2.1.0"
    folder.mkdir(parents=True)
    (folder / "ai_edge_litert-2.1.0-cut.whl").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DependencyError, match="cannot download"):
        fetch_library("2.1.0", "aarch64")
    assert not list(folder.glob("*.whl"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("glibc", "version", "needs"), [("2.36", None, "2.34"), ("2.31", "2.1.0", "2.30"), ("2.30", "2.1.0", "2.30")]
)
def test_the_real_wheels_for_arm_are_chosen_by_the_boards_glibc(glibc, version, needs):
    offer = next(offer for offer in library_offers("aarch64") if loads(offer.glibc_needed, glibc))
    assert version in (None, offer.version)
    library = fetch_library(offer.version, "aarch64")
    assert library.glibc_needed == needs
    assert read_elf(library.path).machine == "aarch64"
    assert runtimes._KNOWN_GLIBC["aarch64", library.version] == library.glibc_needed
