"""Wheels for boards: checked against their RECORD, cut down to what runs models, always put together the same way."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from platform import machine

import pytest

from edgekit.core import places
from edgekit.core.errors import DependencyError
from edgekit.runner import runtimes_wheels
from edgekit.runner.elf import read_elf
from edgekit.runner.runtimes_archive import read_wheel
from edgekit.runner.runtimes_pip import platform_tags, wheel_name
from edgekit.runner.runtimes_releases import MODULE_RELEASES
from edgekit.runner.runtimes_wheels import fetch_module, held_numpy, wheels_folder

RELEASE = next(r for r in MODULE_RELEASES if r.module == "tflite_runtime" and r.version == "2.14.0")
INFO = "tflite_runtime-2.14.0.dist-info"
PYTHON = (3, 11, 2)


def digest(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def a_wheel(
    folder: Path, content: dict[str, bytes], *, name: str, info: str, record: dict[str, str] | None = None
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    rows = {member: digest(data) for member, data in content.items()} | (record or {})
    lines = [f"{member},{said},{len(content.get(member, b''))}\n" for member, said in rows.items()]
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in content.items():
            archive.writestr(member, data)
        archive.writestr(f"{info}/RECORD", "".join([*lines, f"{info}/RECORD,,\n"]))
    return path


def the_module(library: str, **more: bytes) -> dict[str, bytes]:
    real = Path(library).read_bytes()
    return {
        "tflite_runtime/__init__.py": b"",
        "tflite_runtime/interpreter.py": b"class Interpreter: pass\n",
        "tflite_runtime/_pywrap_tensorflow_interpreter_wrapper.so": real,
        "tflite_runtime/nobody_needs_it.so": real,
        "tflite_runtime/tools/compiler.py": b"",
        f"{INFO}/METADATA": b"Name: tflite-runtime\nVersion: 2.14.0\n",
        **more,
    }


def put(library: str, **options) -> Path:
    """A module's wheel in the cache, as if pip had put it there."""
    name = f"tflite_runtime-2.14.0-cp311-cp311-manylinux2014_{machine()}.whl"
    return a_wheel(wheels_folder(machine(), PYTHON), the_module(library), name=name, info=INFO, **options)


def fetch(**options):
    return fetch_module(RELEASE, abi=machine(), python=PYTHON, libc_version="2.36", with_numpy=False, **options)


@pytest.fixture(autouse=True)
def without_network(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def test_an_archive_holds_what_the_interpreter_needs_and_nothing_else(library):
    put(library)
    archive = fetch()
    with tarfile.open(archive.path) as packed:
        names = set(packed.getnames())
    assert names == {
        "tflite_runtime/__init__.py",
        "tflite_runtime/interpreter.py",
        "tflite_runtime/_pywrap_tensorflow_interpreter_wrapper.so",
        f"{INFO}/METADATA",
    }
    assert archive.glibc_needed == read_elf(Path(library)).versions["GLIBC"]
    assert archive.unpacked_bytes > Path(library).stat().st_size


def test_the_same_wheels_make_the_same_archive(library, monkeypatch):
    put(library)
    first = fetch()
    shutil.rmtree(wheels_folder(machine(), PYTHON))
    put(library)
    again = fetch()
    assert (again.sha256, again.path) == (first.sha256, first.path)


def test_an_archive_in_a_cache_that_was_copied_is_used(library, monkeypatch, tmp_path):
    put(library)
    first = fetch()
    shutil.copytree(places.cache_dir(), tmp_path / "elsewhere" / "cache")
    monkeypatch.setenv("EDGEKIT_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(runtimes_wheels, "make_archive", lambda *_: pytest.fail("made again"))
    moved = fetch()
    assert moved.sha256 == first.sha256
    assert moved.path.is_relative_to(tmp_path)


def test_a_damaged_archive_is_made_again(library):
    put(library)
    first = fetch()
    first.path.write_bytes(first.path.read_bytes()[:-10])
    assert fetch().sha256 == first.sha256
    assert hashlib.sha256(first.path.read_bytes()).hexdigest() == first.sha256


@pytest.mark.parametrize(
    ("content", "record", "words"),
    [
        ({"tflite_runtime/a.py": b"changed"}, {"tflite_runtime/a.py": digest(b"as it was")}, "RECORD says"),
        ({"tflite_runtime/a.py": b"unknown"}, {"tflite_runtime/a.py": ""}, "RECORD says"),
        ({"../../evil.py": b""}, {}, "leaves its folder"),
        ({"/evil.py": b""}, {}, "leaves its folder"),
    ],
)
def test_a_wheel_that_is_not_what_it_says_is_refused(content, record, words, tmp_path):
    wheel = a_wheel(tmp_path, content, name="x-1-cp311-cp311-linux_armv7l.whl", info="x-1.dist-info", record=record)
    with pytest.raises(DependencyError, match=words) as caught:
        read_wheel(wheel)
    assert str(wheel) in caught.value.hint


def test_a_zip_file_without_record_is_no_wheel(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        archive.writestr("x.py", "")
    with pytest.raises(DependencyError, match="no RECORD"):
        read_wheel(tmp_path / "x.whl")


def test_a_library_of_another_architecture_in_a_wheel_is_refused(library):
    other = "armv7l"
    name = f"tflite_runtime-2.14.0-cp311-cp311-manylinux_2_34_{other}.whl"
    a_wheel(wheels_folder(other, PYTHON), the_module(library), name=name, info=INFO)
    with pytest.raises(DependencyError, match=f"not for {other}"):
        fetch_module(RELEASE, abi=other, python=PYTHON, libc_version="2.36", with_numpy=False)


def test_without_a_network_the_command_to_run_elsewhere_is_named():
    with pytest.raises(DependencyError) as caught:
        fetch()
    assert "pip download" in caught.value.hint
    assert "tflite-runtime==2.14.0" in caught.value.hint
    assert str(wheels_folder(machine(), PYTHON)) in caught.value.hint


def test_a_numpy_wheel_put_into_the_cache_is_found_if_it_fits(library):
    folder = wheels_folder("armv7l", PYTHON)
    for name in ("numpy-2.1.0-cp311-cp311-linux_armv7l.whl", "numpy-1.26.4-cp39-cp39-linux_armv7l.whl"):
        a_wheel(folder, {}, name=name, info="numpy.dist-info")
    assert held_numpy("armv7l", PYTHON, RELEASE) is None
    wanted = a_wheel(folder, {}, name="numpy-1.26.4-cp311-cp311-linux_armv7l.whl", info="numpy.dist-info")
    assert held_numpy("armv7l", PYTHON, RELEASE) == wanted


def test_tags_of_wheels_do_not_promise_more_than_the_boards_glibc():
    tags = platform_tags("aarch64", "2.31")
    assert "manylinux_2_31_aarch64" in tags
    assert "manylinux_2_34_aarch64" not in tags
    assert "manylinux_2_34_armv7l" in platform_tags("armv7l", "2.31", ["manylinux_2_34"])
    assert wheel_name(Path("numpy-1.26.4-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl")).fits(
        "aarch64", PYTHON
    )


def test_the_record_of_an_archive_names_no_folder_of_this_machine(library):
    put(library)
    archive = fetch()
    record = json.loads((archive.path.parent / "tflite_runtime-2.14.0.json").read_text())
    assert record["path"] == archive.path.name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "version", "abi", "python", "glibc", "needs"),
    [
        ("ai_edge_litert", "2.3.0", "aarch64", (3, 13), "2.41", "2.34"),
        ("ai_edge_litert", "2.1.0", "aarch64", (3, 9), "2.31", "2.30"),
        ("ai_edge_litert", "1.4.0", "aarch64", (3, 9), "2.31", "2.30"),
        ("tflite_runtime", "2.14.0", "aarch64", (3, 11), "2.36", "2.27"),
        ("tflite_runtime", "2.14.0", "armv7l", (3, 11), "2.36", "2.27"),
        ("tflite_runtime", "2.11.0", "armv7l", (3, 9), "2.31", "2.27"),
    ],
)
def test_the_real_wheels_need_what_the_table_says(module, version, abi, python, glibc, needs, monkeypatch):
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name)
    release = next(r for r in MODULE_RELEASES if (r.module, r.version) == (module, version))
    archive = fetch_module(release, abi=abi, python=python, libc_version=glibc, with_numpy=False)
    assert archive.glibc_needed == needs == release.glibc[abi]
    assert 0.5 < archive.size_bytes / release.archive_bytes[0] < 2


@pytest.mark.slow
def test_numpy_is_not_published_for_32_bit_arm(monkeypatch):
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name)
    with pytest.raises(DependencyError, match="numpy<2 for armv7l"):
        fetch_module(RELEASE, abi="armv7l", python=PYTHON, libc_version="2.36", with_numpy=True)
