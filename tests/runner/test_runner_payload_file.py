"""The one file that boards get: the same bytes everywhere, the standard library alone, words for a Python too old."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from payload_process import PAYLOAD, old_pythons, python_3, start

import edgekit.runner.payload_file
from edgekit.core.errors import DeviceError
from edgekit.runner.answer import read_answer
from edgekit.runner.payload_file import pack, payload_content, payload_sources

SHA256 = hashlib.sha256(payload_content()).hexdigest()


def test_the_same_modules_make_the_same_bytes_whatever_their_order_and_whatever_the_time(monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    backwards = dict(reversed(payload_sources().items()))
    assert pack(backwards) == payload_content() == PAYLOAD.read_bytes()
    with zipfile.ZipFile(io.BytesIO(payload_content())) as packed:
        assert packed.namelist() == sorted(packed.namelist())
        for entry in packed.infolist():
            assert (entry.compress_type, entry.date_time) == (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0))


@pytest.mark.parametrize("python", old_pythons(9) or [sys.executable])
def test_another_python_and_a_fresh_copy_of_the_files_make_the_same_bytes(python, tmp_path):
    source = Path(edgekit.runner.payload_file.__file__)
    shutil.copy(source, tmp_path)
    shutil.copytree(source.with_name("payload"), tmp_path / "payload", copy_function=shutil.copyfile)
    for path in tmp_path.rglob("*"):
        path.chmod(0o755)
        os.utime(path, (2_000_000_000, 2_000_000_000))
    (tmp_path / "payload" / "notes.py~").write_text("an editor's copy")
    code = "import hashlib, payload_file; print(hashlib.sha256(payload_file.payload_content()).hexdigest())"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == SHA256


def imported(source: bytes) -> set[str]:
    """The packages that a module imports absolutely; of relative imports, how many folders they go up."""
    names = set()
    for node in ast.walk(ast.parse(source, feature_version=(3, 7))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0] if node.level == 0 else f"level {node.level}")
    return names


@pytest.mark.parametrize("name", payload_sources())
def test_a_module_is_python_3_7_and_imports_only_the_standard_library_and_its_neighbours(name):
    assert imported(payload_sources()[name]) <= sys.stdlib_module_names | {"level 1"}


@pytest.mark.parametrize("python", old_pythons() or [sys.executable])
def test_nothing_is_imported_on_a_board_that_would_show_in_the_memory_figures(python):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import payload.main; print(*sys.modules)"
    done = subprocess.run(
        [python, "-I", "-S", "-c", code, str(PAYLOAD)], capture_output=True, text=True, check=True, cwd="/"
    )
    there = set(done.stdout.split())
    assert "payload.trial" in there
    assert there.isdisjoint(
        {"typing", "subprocess", "hashlib", "contextlib", "dataclasses", "logging", "payload.kinds"}
    )
    assert not any(name.startswith("edgekit") for name in there)


def test_a_failure_that_nobody_thought_of_is_told_with_its_place_and_its_line():
    done = start({"mode": "memory"})
    assert (done.status, done.answer["error"]) == (3, {"code": "unexpected", "message": "KeyError: 'cpus'"})
    told = done.stderr.decode()
    assert f'"{PAYLOAD}/payload/trial.py", line ' in told
    assert 'set_cpus(job["cpus"])' in told


def test_a_python_that_is_too_old_says_so_in_its_last_line():
    old = python_3(6)
    if old is None:
        pytest.skip("no Python 3.6 here")
    done = start({"mode": "probe"}, python=old)
    with pytest.raises(DeviceError, match=r"status 1 .*: SyntaxError: future feature annotations is not defined"):
        read_answer(done.stdout, done.stderr, done.status, board="pi4")
