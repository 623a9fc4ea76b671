"""What is installed here, and the command that adds what is missing."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from edgekit.verbs.doctor import doctor


def test_what_is_installed_is_found_with_its_version():
    found = {item.name: item for item in doctor()}
    assert found["paramiko"].found == metadata.version("paramiko")
    assert found["python"].found == ".".join(map(str, sys.version_info[:3]))
    assert all(item.found for item in found.values() if item.required)
    assert all(item.fix == "" for item in found.values() if item.found)
    assert all(item.needed_for for item in found.values())


def test_what_is_missing_comes_with_the_command_that_adds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {item.name: item for item in doctor()}
    assert found["ssh"].found is None
    assert not found["ssh"].required
    assert "openssh-client" in found["ssh"].fix


def test_a_machine_without_tensorflow_is_told_the_extra():
    # without site-packages nothing is installed, as far as anybody can tell
    code = (
        "from edgekit.verbs.doctor import doctor\n"
        "print([item.fix for item in doctor() if item.name in ('tensorflow', 'ai-edge-quantizer', 'paramiko')])"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-S", "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(
        ["pip install edgekit", "pip install 'edgekit[optimize]'", "pip install 'edgekit[quantize]'"]
    )


def test_nothing_heavy_is_imported_to_find_out():
    code = (
        "import sys; from edgekit.verbs.doctor import doctor; doctor(); "
        "print([name for name in ('tensorflow', 'keras', 'paramiko', 'sqlalchemy', 'numpy') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
